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

from fastflow._output import Edge
from fastflow.runtime.options import event_count

if TYPE_CHECKING:
    from fastflow.runtime.seat import Seat

__all__ = ["Ref", "Subscription"]


class Subscription(Edge):
    """What joins one producer to one consumer.

    Attributes
    ----------
    producer, consumer : Ref
        The two sides.
    tag : object
        What the subscriber gave it.
    """

    producer: Ref
    consumer: Ref
    options: dict[str, Any]

    def __init__(self, producer: Ref, consumer: Ref, tag: Any) -> None:
        self.producer, self.consumer, self.tag = producer, consumer, tag

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
            self.consumer._seat.runtime.execute_soon(self.add_demand, n)

    def cancel(self, reason: Any = "cancel") -> None:
        """End the subscription; what was not handled goes back to the producer."""
        runtime = self.consumer._seat.runtime
        runtime.execute_soon(self.consumer._seat.cancel_subscription, self, reason)

    def statistics(self) -> dict[str, int]:
        """Events asked, sent and acked so far."""
        asked, sent, acked = self.counters
        return {"asked": asked, "sent": sent, "acked": acked}

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
        return not self._seat.done.is_set

    def subscribe(self, to: Ref | str, tag: Any = None, **options: Any) -> Subscription:
        """Subscribe this consumer to a producer.

        Parameters
        ----------
        to : Ref or str
            The producer, or its name.
        tag : object, optional
            A name for the subscription, your own.
        **options
            ``max_demand``, ``min_demand`` (events), ``cancel``, ``convert``.

        Returns
        -------
        Subscription
        """
        seat = self._seat
        producer = seat.runtime.find(to)
        if tag is not None:
            options["tag"] = tag
        subscription: Subscription = seat.runtime.execute(seat.subscribe, producer._seat, options)
        return subscription

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
        return self._seat.call(request, timeout)

    def cast(self, request: Any) -> None:
        """Tell the stage something; `handle_cast` gets it."""
        self._seat.send("cast", request)

    def info(self, message: Any) -> None:
        """Send the stage a message; `handle_info` gets it."""
        self._seat.send("info", message)

    def stop(self, reason: Any = "shutdown", timeout: float | None = 5.0) -> None:
        """Stop the stage after the turn under way, and wait until it has ended."""
        seat = self._seat
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
        self._seat.wait_done("join", timeout)
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
        self._seat.wait_done("result", timeout)
        self._seat.fetch()
        if isinstance(self._seat.reason, BaseException):
            raise self._seat.reason.with_traceback(self._seat.traceback)
        return self._seat.value

    def estimate_buffered_count(self) -> int:
        """Events emitted that wait for demand."""
        return self._seat.place.buffered

    def statistics(self) -> dict[str, int]:
        """Events emitted, handled, buffered and discarded, and turns taken, so far."""
        place = self._seat.place
        return {
            "emitted": place.emitted,
            "handled": place.handled,
            "buffered": place.buffered,
            "discarded": place.discarded,
            "turns": place.turn_count,
        }

    def __repr__(self) -> str:
        state = "running" if self.alive else f"ended: {self._seat.reason!r}"
        return f"<Ref {self.name} ({self._seat.kind}): {state}>"
