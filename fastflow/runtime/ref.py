"""Refs and subscriptions: what a user holds of a running stage.

    ref = rt.start(Total(), subscribe_to=[counter])
    ref.call("how far?")      ask it something, and wait for the answer
    ref.cast("reset")         tell it something
    ref.result()              wait until it has ended; what it came to

A ref may be used from any thread; what it asks for is done on the scheduler's, between two turns.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastflow._scheduler import Reply
from fastflow._sender import Edge
from fastflow.errors import WaitTimeout
from fastflow.runtime.options import event_count, wait_seconds

if TYPE_CHECKING:
    from fastflow.runtime.seat import Seat

__all__ = ["Ref", "Subscription"]


#: What users need of a subscription; the rest is between the scheduler and its sides.
_OF_SUBSCRIPTIONS = frozenset((
    "ask", "cancel", "capacity", "closed", "consumer", "counters", "min_demand", "options", "producer", "resubscribe",
    "statistics", "tag",
))


class Subscription(Edge):
    """What joins one producer to one consumer."""

    __slots__ = ("__weakref__",)

    @property
    def producer(self) -> Ref:
        """The side that events come from."""
        ref: Ref = self.producer_place.host.ref
        return ref

    @property
    def consumer(self) -> Ref:
        """The side that they go to."""
        ref: Ref = self.consumer_place.host.ref
        return ref

    @property
    def tag(self) -> Any:
        """What the subscriber gave it."""
        return self.options.tag

    def ask(self, n: int) -> None:
        """Ask for `n` events more; what is beyond the capacity waits on this side.

        Parameters
        ----------
        n : int
            Events; 0 does nothing.

        Raises
        ------
        DemandError, TypeError
            If it is negative, or no whole number.
        """
        n = event_count(n, f"ask of the subscription of {self.consumer.name!r} to {self.producer.name!r}")
        if n:
            consumer = self.consumer_place.host
            consumer.runtime.execute_soon(self.add_demand, n)

    def cancel(self, reason: Any = "cancel") -> None:
        """End the subscription; what was not handled goes back to the producer.

        Parameters
        ----------
        reason : object
            What `handle_cancel` of both sides gets; an exception counts as a failure.
        """
        if isinstance(reason, type) and issubclass(reason, BaseException):
            raise TypeError(f"cancel: got the class {reason.__name__} as the reason, expected an exception or anything "
                            f"else; write {reason.__name__}(...)")
        consumer = self.consumer_place.host
        consumer.runtime.execute_soon(consumer.cancel_subscription, self, reason)

    def resubscribe(self, reason: Any = "resubscribe", **options: Any) -> Subscription:
        """Replace this subscription by a new one to the same producer, in one step.

        The consumer goes on, whatever its cancel mode.  What was not handled goes back to the producer first.

        Parameters
        ----------
        reason : object
            What `handle_cancel` of both sides gets for the old one.
        **options
            Of the new one; those that are left out are the old one's.

        Returns
        -------
        Subscription
            The new one; this one is closed.
        """
        consumer = self.consumer_place.host
        subscription: Subscription = consumer.runtime.execute(consumer.resubscribe, self, reason, options)
        return subscription

    def statistics(self) -> dict[str, int]:
        """Return what has happened on it so far, in events.

        Returns
        -------
        dict
            ``asked``, ``sent`` and ``acked``, which only grow; ``buffered``, sent or waiting for it and not yet
            handled; ``discarded``, what it should have had and never will (a reader that conflates acknowledges what
            it discards; one that drops was never sent it).
        """
        asked, sent, acked = self.counters
        return {"asked": asked, "sent": sent, "acked": acked, "buffered": self.waiting, "discarded": self.discarded}

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name.startswith("__") or name in _OF_SUBSCRIPTIONS]

    def __repr__(self) -> str:
        asked, sent, acked = self.counters
        state = "closed" if self.closed else f"asked {asked:,}, sent {sent:,}, acked {acked:,}"
        return f"<Subscription {self.producer.name} -> {self.consumer.name}: {state}>"


class Ref:
    """The place that a stage holds.

    Attributes
    ----------
    name : str
        The stage's name, or one made from its class.
    alive : bool
        Whether the stage has not ended.
    """

    __slots__ = ("__weakref__", "_seat")

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    @property
    def name(self) -> str:
        """The stage's name."""
        return self._seat.name

    @property
    def pid(self) -> int:
        """Process that the stage runs in: this one."""
        return os.getpid()

    @property
    def alive(self) -> bool:
        """Whether the stage has not ended."""
        return not self._seat.ended

    def subscribe(self, to: Ref | str, tag: Any = None, **options: Any) -> Subscription:
        """Subscribe this consumer to a producer.

        Parameters
        ----------
        to : Ref or str
            The producer, or its name.
        tag : object, optional
            A name for the subscription, your own.
        **options
            ``max_demand`` and ``min_demand``, in events; ``cancel``: "auto", "permanent", "transient" or "temporary";
            ``convert`` and ``writable``: bools.  Of a broadcast: ``selector``, a function from a batch to a mask, and
            ``lag``: "block", "drop" or "conflate".  Of a partition dispatcher: ``partition``, which is required.
            Of a dispatcher of your own: what it knows.

        Returns
        -------
        Subscription

        Raises
        ------
        KeyError
            No stage has that name.
        OptionError, DemandError
            An option is unknown, is missing, or can't have that value.
        GraphError
            Events would flow in a circle, or somebody has that place already.
        Closed
            This stage has ended.
        """
        seat = self._seat
        producer = seat.runtime.find(to)
        if tag is not None:
            options["tag"] = tag
        subscription: Subscription = seat.runtime.execute(seat.subscribe, producer._seat, options)
        return subscription

    def async_subscribe(self, to: Ref | str, tag: Any = None, **options: Any) -> None:
        """Subscribe without waiting for it; what goes wrong is logged.

        A producer that is unknown ends this stage, unless it said ``cancel="temporary"``.

        Parameters
        ----------
        to : Ref or str
            The producer, or its name.
        tag : object, optional
            A name for the subscription, your own.
        **options
            As for `subscribe`.
        """
        if tag is not None:
            options["tag"] = tag
        self._seat.runtime.execute_soon(self._seat.subscribe_somehow, to, options)

    def call(self, request: Any, timeout: float | None = 5.0) -> Any:
        """Ask the stage, and wait for its answer.

        Parameters
        ----------
        request : object
            What `handle_call` gets.
        timeout : float or None, default 5.0
            Seconds to wait; None for ever.  An answer that comes later is dropped.

        Returns
        -------
        object
            What `handle_call` returned, or replied later.

        Raises
        ------
        WaitTimeout
            No answer came in time.
        Closed
            The stage has ended, or ends before it answers.
        NotDriven
            Nobody drives the runtime, so nobody would answer.
        """
        what = f"call to {self.name!r}"
        timeout = wait_seconds(timeout, what)
        self._seat.runtime.must_not_be_paused(what)
        return self._seat.call(request, timeout)

    async def acall(self, request: Any, timeout: float | None = 5.0) -> Any:
        """`call` for asyncio: the event loop goes on while this waits.

        Parameters
        ----------
        request : object
            What `handle_call` gets.
        timeout : float or None, default 5.0
            Seconds to wait; None for ever.  An answer that comes later, or after the task was cancelled, is dropped.

        Returns
        -------
        object
            What `handle_call` returned, or replied later.

        Raises
        ------
        WaitTimeout, Closed, NotDriven
            As `call` does.
        """
        return await self._seat.acall(request, wait_seconds(timeout, f"call to {self.name!r}"))

    def cast(self, request: Any) -> None:
        """Tell the stage something; `handle_cast` gets it."""
        self._seat.send("cast", request)

    def info(self, message: Any) -> None:
        """Send the stage a message; `handle_info` gets it."""
        self._seat.send("info", message)

    def sync_info(self, message: Any, timeout: float | None = 5.0) -> None:
        """Send the stage a message that comes behind the events that wait now; return when it stands in line.

        `handle_info` gets it when all that is buffered at this time has been sent, or discarded; at once when nothing
        is.  In a producer_consumer it comes behind the input that has arrived, too.

        Parameters
        ----------
        message : object
            What `handle_info` gets.
        timeout : float or None, default 5.0
            Seconds to wait; None for ever.
        """
        seat = self._seat
        timeout = wait_seconds(timeout, f"sync_info of {self.name!r}")
        if seat.runtime.here:
            seat.runtime.execute_soon(seat.receive_in_order, message)
            return
        queued = Reply()
        seat.runtime.post(seat.receive_in_order, message, queued)
        queued.wait(timeout, f"sync_info of {self.name!r}")

    def async_info(self, message: Any) -> None:
        """Send the same without waiting until it stands in line."""
        self._seat.runtime.execute_soon(self._seat.receive_in_order, message)

    def hold(self) -> None:
        """Hold back a producer's demand: others may ask, it is not told, and nothing leaves; until `release`."""
        self._seat.runtime.execute(self._seat.hold, True)

    def release(self) -> None:
        """Let a producer whose demand was held back go on, with all that was asked for meanwhile."""
        self._seat.runtime.execute(self._seat.hold, False)

    @property
    def held(self) -> bool:
        """Whether demand is held back."""
        return self._seat.place.held

    def kill(self, reason: Any = "killed", timeout: float | None = 5.0) -> None:
        """End the stage after the turn under way, without its `terminate`, as if it had failed.

        Its consumers hear of an abnormal end, and `result` raises `Killed`.

        Parameters
        ----------
        reason : object
            Stands in the error's text.
        timeout : float or None, default 5.0
            Seconds to wait until it has ended; None for ever.
        """
        seat = self._seat
        timeout = wait_seconds(timeout, f"kill of {self.name!r}")
        seat.runtime.execute_soon(seat.kill, reason)
        if not seat.runtime.here:
            seat.wait_done("kill", timeout)

    def stop(self, reason: Any = "shutdown", timeout: float | None = 5.0) -> None:
        """Stop the stage after the turn under way, and wait until it has ended."""
        seat = self._seat
        timeout = wait_seconds(timeout, f"stop of {self.name!r}")
        seat.runtime.execute_soon(seat.end, "shutdown" if reason is None else reason)
        if not seat.runtime.here:
            seat.wait_done("stop", timeout)

    def join(self, timeout: float | None = None) -> Any:
        """Wait until the stage has ended.

        Parameters
        ----------
        timeout : float or None
            Seconds; None waits for ever.

        Returns
        -------
        str or BaseException
            "normal", "shutdown", or what killed it.  A failure that was joined counts as fetched.
        """
        self._wait("join", timeout)
        self._seat.fetch()
        return self._seat.reason

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the stage has ended; what its `result` returned.

        Parameters
        ----------
        timeout : float or None
            Seconds; None waits for ever.

        Raises
        ------
        BaseException
            What killed the stage, as it was raised, with a note that says where.
        """
        self._wait("result", timeout)
        self._seat.fetch()
        if isinstance(self._seat.reason, BaseException):
            raise self._seat.reason.with_traceback(self._seat.extras.traceback)
        return self._seat.value

    def _wait(self, what: str, timeout: float | None) -> None:
        """Wait until the stage has ended, which takes turns."""
        timeout = wait_seconds(timeout, f"{what} of {self.name!r}")
        if self.alive:
            self._seat.runtime.must_not_be_paused(f"{what} of {self.name!r}")
        try:
            self._seat.wait_done(what, timeout)
        except WaitTimeout as error:
            why = self._seat.runtime.why_nothing_moves()
            if why:
                error.add_note(f"nothing moves: {why}")
            raise

    def estimate_buffered_count(self) -> int:
        """Events emitted and not yet sent: in the buffer, and in the queues of partitions."""
        return self._seat.place.waiting

    def statistics(self) -> dict[str, float]:
        """Return what the stage has done so far.

        Returns
        -------
        dict
            In events: ``asked`` of it and not yet sent; ``sent`` to and ``acked`` by all of its consumers together;
            ``emitted``, ``handled``, ``buffered``, ``discarded``.  ``turns`` taken; ``callback_seconds`` in
            `handle_events` and `handle_demand`, estimated from the ``sampled_turns``, one in 64.
        """
        place = self._seat.place
        sent, acked = place.totals
        return {
            "asked": place.pending,
            "sent": sent,
            "acked": acked,
            "emitted": place.emitted,
            "handled": place.handled,
            "buffered": place.waiting,
            "discarded": place.discarded,
            "turns": place.turn_count,
            "callback_seconds": place.callback_seconds,
            "sampled_turns": place.sampled_turns,
        }

    def __repr__(self) -> str:
        state = "running" if self.alive else f"ended: {self._seat.reason!r}"
        return f"<Ref {self.name} ({self._seat.kind}): {state}>"
