"""`ff.stream`: a pipeline whose end is a loop.

    producers ──▶ steps ──▶ Stream, a consumer ──▶ hatch ──▶ the loop
              ◀──────────── ask ◀──── acknowledge ◀──── comes back

A batch is acknowledged, and the next one asked for, when the loop comes back for more: until then the events are in
flight, and the subscriptions' counters say so.  `prefetch=n` lets n batches lie in the hatch; its subscriptions are as
much wider, so a delivery is as large as without it.  Whatever the loop has not had goes back to the producers.

Who drives: somebody else, if the producers run under ``with rt:``; a thread behind, for `prefetch`; else the loop's
own thread, for as long as it waits.  The hatch belongs to the scheduler's thread; the loop's takes batches out of it,
and sends mail.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from fastflow._scheduler import Reply
from fastflow.errors import CallbackError, Closed, GraphError, OptionError, Stalled
from fastflow.pipeline.parts import assemble, check_names, producers_of, step_of, stop_early
from fastflow.runtime import Ref, Runtime, Subscription
from fastflow.runtime.options import event_count
from fastflow.runtime.report import stall_text
from fastflow.runtime.seat import Seat
from fastflow.stage import Consumer

__all__ = ["Batches", "stream"]

log = logging.getLogger("fastflow.pipeline")


def stream(source: Any, *steps: Any, prefetch: int = 0, seed: int = 0, **options: Any) -> Batches:
    """Iterate over what comes out of a pipeline, or of stages that run.

    The next batch is asked for when the loop comes back for it.  However the loop ends, its subscriptions are
    cancelled and its own stages stopped, and events that it has not had go back to their producers.

    Parameters
    ----------
    source : Producer, iterable, ndarray, Batch, callable that returns an iterable, Ref, or list of producers
        Where events come from.  A list of producers may have refs, producers, and pairs of one and the options of its
        subscription; their batches come as they arrive.  Refs belong to one runtime, in which the steps are started.
    *steps : ProducerConsumer or callable
        What they go through.
    prefetch : int, default 0
        Batches that a thread behind makes ahead of the loop.
    seed : int, default 0
        Of every stage's `rng`; with refs, that of their runtime holds.
    **options
        Of every subscription.

    Returns
    -------
    Batches
        An iterator over arrays, Batches or lists, each valid for as long as you keep it; ``close()`` or a ``with``
        block ends it early.

    Raises
    ------
    OptionError, DemandError, GraphError, TypeError
        For a source, a step or an option that can't be; at the call.
    Stalled
        In the loop: nothing can move any more, nobody else drives, and the stream has not ended.
    Closed
        In the loop: the runtime of its producers was stopped before they had ended.
    Exception
        In the loop: what a callback raised, behind the batches before it; not if its subscription is "temporary".

    Examples
    --------
    >>> import fastflow as ff
    >>> [int(batch.sum()) for batch in ff.stream(ff.Range(4), lambda x: x * 2)]
    [12]
    """
    ahead = event_count(prefetch, "prefetch of a stream")
    check_names(options, "prefetch", "seed")
    producers = producers_of(source)
    parts = [step_of(thing) for thing in steps]
    rt = _runtime_of([thing for thing, _ in producers if isinstance(thing, Ref)], seed)
    own = rt is None
    if rt is None:
        rt = Runtime(seed=seed)
    hatch = _Hatch(rt, ahead)
    parts.append((Stream(hatch), {"name": "stream"} if own else {}, {}))

    def build() -> None:
        before = len(rt.seats)
        try:
            hatch.seat = assemble(rt, producers, parts, options, ahead)._seat
            hatch.seat.place.suspend()          # no turn before the loop has begun
        except BaseException:
            hatch.seats = rt.seats[before:]
            hatch.stop_seats("shutdown")
            raise
        hatch.seats = rt.seats[before:]

    try:
        rt.execute(build)
    except BaseException:
        if own:
            stop_early(rt)
        raise
    return Batches(rt, own, hatch)


def _runtime_of(refs: list[Ref], seed: int) -> Runtime | None:
    """The runtime of the refs among the producers; None: there are no refs."""
    if not refs:
        return None
    first = refs[0]
    rt = first._seat.runtime
    for ref in refs:
        if ref._seat.runtime is not rt:
            raise GraphError(f"source: got stages of two runtimes, {first.name!r} and {ref.name!r}, expected all of "
                             "one; start them in one, or loop over two streams")
    if rt.closed:
        raise Closed(f"stream: the runtime of {first.name!r} is closed, expected an open one; stream inside of its "
                     "`with` block")
    if rt._thread_error is not None:
        raise rt._thread_error
    if seed:
        raise OptionError(f"seed of a stream: got {seed} with a ref, expected none, since stages that run have that of "
                          "their runtime; write ff.Runtime(seed=...)")
    _not_in_a_callback(rt)
    return rt


def _not_in_a_callback(rt: Runtime) -> None:
    if rt.driven and rt.here:
        raise CallbackError("stream: got a loop in a callback of the same runtime, expected one in another thread, "
                            "since it would wait for itself; subscribe the stage instead")


class Stream(Consumer):
    """The end of a stream: puts each batch into the hatch."""

    def __init__(self, hatch: _Hatch) -> None:
        self._hatch = hatch

    def handle_subscribe(self, role: str, options: dict[str, Any], subscription: Any) -> str:
        """Ask for nothing before the loop has begun; then by the rules."""
        self._hatch.subscribed(subscription)
        return "manual"

    def handle_events(self, events: Any, source: Any) -> None:
        """Hold the batch until the loop takes it."""
        self._hatch.arrived(events, source)

    def handle_cancel(self, reason: Any, subscription: Any) -> None:
        """End with the last producer."""
        if self._hatch.source_ended(reason, subscription):
            self.finish()

    def terminate(self, reason: Any) -> None:
        """Let the loop know."""
        self._hatch.over(reason)


class _Hatch:
    """What lies between the scheduler's thread and the loop's.

    `batches` and `ended` are read by both; the loop takes out, the scheduler puts in.  The rest is the scheduler's.
    """

    def __init__(self, rt: Runtime, ahead: int) -> None:
        self.rt, self.ahead = rt, ahead
        self.seat: Any = None                   # the Stream's
        self.seats: list[Seat] = []             # all that were started for the stream
        self.batches: deque[Any] = deque()
        self.ended = False
        self.reason: Any = None
        self.cut = False                        # the end came neither from the producers nor from the loop
        self.unseen: list[BaseException] = []   # failures of the stream's own stages that nobody has fetched
        self.pause: Callable[[], None] | None = None    # leaves the loop of turns, when the loop's own thread drives
        self.alone = False                      # nobody else can wake the stages: quiet is a stall
        self._room = ahead                      # batches that it may take; at 0 its stage is suspended
        self._unacknowledged: deque[Subscription] = deque()     # one entry a batch
        self._subscriptions: list[Subscription] = []
        self._open = 0
        self._begun = self._follows = self._leaving = False
        self._reply: Reply | None = None

    # -- from the stage's callbacks --

    def subscribed(self, subscription: Subscription) -> None:
        """One producer more."""
        subscription.late = True
        self._subscriptions.append(subscription)
        self._open += 1

    def arrived(self, events: Any, source: Subscription) -> None:
        """A batch: announced when the turn commits."""
        self.batches.append(events)
        self._unacknowledged.append(source)
        self._room -= 1
        if self._room <= 0:
            self.seat.place.suspend()
        if self.pause is not None:
            self.pause()
        elif self._reply is not None:
            self.rt.execute_soon(self._announce)

    def source_ended(self, reason: Any, subscription: Subscription) -> bool:
        """A producer has ended: True when it was the last."""
        self._open -= 1
        mode, failed = subscription.options.cancel, isinstance(reason, BaseException)
        if mode == "permanent" or (failed and mode in ("auto", "transient")):
            # The other subscriptions end too: what was delivered will be had by the loop before it hears of that.
            self._follows = True
            self._acknowledge(len(self._unacknowledged))
            return False
        return self._open == 0

    def over(self, reason: Any) -> None:
        """The stage ends; nothing more comes."""
        self.reason, self.ended = reason, True
        self.cut = reason != "normal" and not (isinstance(reason, BaseException) or self._follows or self._leaving)
        self._unacknowledged.clear()
        self._announce()
        if self.pause is not None:
            self.pause()

    # -- from the loop, as mail --

    def come_back(self, in_hand: bool) -> None:
        """The loop wants a batch, and is done with the one `in_hand`."""
        if not self._begun:
            self._begun = True
            for subscription in self._subscriptions:
                subscription.set_manual(False)
                subscription.start_asking()
        if in_hand:
            self._acknowledge(1)
        self._room += 1
        self.seat.place.resume()

    def wait(self, reply: Reply) -> None:
        """Set `reply` when there is a batch, or the end, or nobody drives any more."""
        if self.batches or self.ended:
            reply.set(None)
            return
        self._reply = reply
        self.rt.until_gone.append(reply)
        if self.alone:
            self.rt._quiet.append(reply)

    def leave(self, in_hand: bool) -> None:
        """The loop is over: cancel, give back what it has not had, and leave nothing behind."""
        self._leaving = True
        for subscription in self._subscriptions:
            subscription.set_manual(True)       # acknowledging asks for nothing any more
        if in_hand:
            self._acknowledge(1)
        self.stop_seats("normal")

    def stop_seats(self, reason: str) -> None:
        """End the stream's own stages, the last one first, and forget them."""
        for seat in reversed(self.seats):
            seat.end(reason if seat.kind != "producer" else "shutdown")
        for seat in self.seats:
            self.rt.forget(seat)
        self.unseen = [error for error, seat in list(self.rt.failures.values()) if seat in self.seats]
        for error in self.unseen:
            del self.rt.failures[id(error)]

    # -- both --

    def _acknowledge(self, batches: int) -> None:
        for _ in range(min(batches, len(self._unacknowledged))):
            self._unacknowledged.popleft().acknowledge_late()

    def _announce(self) -> None:
        reply, self._reply = self._reply, None
        if reply is None:
            return
        for waiting in (self.rt.until_gone, self.rt._quiet):
            if reply in waiting:
                waiting.remove(reply)
        reply.set(None)
        self.rt.scheduler.give_way(reply)


class Batches(Iterator[Any]):
    """What comes out of a pipeline, batch by batch; made by `ff.stream`.

    Leaving the loop, by ``break`` or by an exception, ends it when nobody holds it any more, which in CPython is at
    once for ``for batch in ff.stream(...)``.  To end it where you hold it by a name: `close`, or a ``with`` block.
    """

    def __init__(self, rt: Runtime, own: bool, hatch: _Hatch) -> None:
        self._rt, self._own, self._hatch = rt, own, hatch
        self._in_hand = False           # the loop has had a batch and not come back yet
        self._thread_is_ours = False
        self._over = False

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        """Wait for the next batch."""
        if self._over:
            raise StopIteration
        hatch = self._hatch
        try:
            self._come_back()
            if hatch.batches:
                self._in_hand = True
                return hatch.batches.popleft()
            if not hatch.ended:
                if self._rt._thread_error is not None:
                    raise self._rt._thread_error
                why = stall_text(self._upstream())
                raise Stalled(f"nothing can move any more, and the stream has not ended: {why}")
        except BaseException:
            self.close()
            raise
        self._end(5.0)
        self._raise_failures()
        raise StopIteration

    def _come_back(self) -> None:
        """Say that a batch is wanted; return when there is one, or none will come."""
        rt, hatch, in_hand = self._rt, self._hatch, self._in_hand
        if hatch.ended:
            return
        _not_in_a_callback(rt)
        rt.must_not_be_paused("stream")
        self._be_driven()
        self._in_hand = False
        if not rt.driven:
            self._drive(in_hand)
            return
        waits = not hatch.batches
        rt.scheduler.post(hatch.come_back, in_hand)
        while waits:
            reply = Reply()
            rt.scheduler.post(hatch.wait, reply)
            if rt.driven:
                reply.wait(None, "the next batch of a stream")
                waits = not (hatch.batches or hatch.ended or hatch.alone)
            if waits and not rt.driven:
                # Whoever drove has left meanwhile.
                self._be_driven()
                if not rt.driven:
                    self._drive(None)
                    return

    def _be_driven(self) -> None:
        """Have a thread behind, if batches are to be made ahead and nobody drives."""
        rt, hatch = self._rt, self._hatch
        if rt._thread_error is not None:
            raise rt._thread_error
        if hatch.ahead and not rt.driven and not rt.closed:
            rt.__enter__()
            self._thread_is_ours = hatch.alone = True

    def _drive(self, in_hand: bool | None) -> None:
        """Give the stages their turns in this thread, until there is a batch."""
        rt, hatch = self._rt, self._hatch
        hatch.pause = rt.scheduler.pause
        try:
            with rt.driving():
                if in_hand is not None:
                    hatch.come_back(in_hand)
                rt.drive(lambda: bool(hatch.batches) or hatch.ended)
        finally:
            hatch.pause = None

    def _upstream(self) -> list[Seat]:
        """The stages that the stream's events come through, its own end last."""
        found: list[Seat] = []
        open_ends = [self._hatch.seat]
        while open_ends:
            seat = open_ends.pop()
            if seat not in found:
                found.append(seat)
                open_ends += [subscription.producer._seat for subscription in seat.place.input_edges]
        return found[::-1]

    def _raise_failures(self) -> None:
        """Raise what has ended the stream; what has not is logged, since nobody else would ever hear of it."""
        hatch = self._hatch
        reason = hatch.reason
        if isinstance(reason, BaseException):
            self._rt.failures.pop(id(reason), None)         # fetched, whichever stage it was
            if isinstance(reason, StopIteration):
                # Raised here as it is, it would end the loop as if nothing had happened.
                raise RuntimeError("a callback raised StopIteration") from reason
            others = [error for error in hatch.unseen if error is not reason]
            if others:
                raise BaseExceptionGroup(f"{len(others) + 1} stages failed", [reason, *others])
            raise reason
        self._log_unseen()
        if hatch.cut:
            raise Closed("stream: its runtime was stopped before its producers had ended, so events may be missing; "
                         "leave the loop first")

    def _log_unseen(self) -> None:
        for error in self._hatch.unseen:
            log.error("a stage of a stream failed, and the loop did not wait for it", exc_info=error)

    def close(self, timeout: float | None = 5.0) -> None:
        """End the stream; nothing more comes.

        Parameters
        ----------
        timeout : float or None, default 5.0
            Seconds to wait for the turn under way; None for ever.

        Raises
        ------
        WaitTimeout
            A callback still runs; the stream ends behind it.
        """
        if not self._over:
            self._end(timeout)
            self._log_unseen()

    def _end(self, timeout: float | None) -> None:
        """Leave on the scheduler's thread, and wait for that."""
        self._over = True
        rt, hatch, in_hand = self._rt, self._hatch, self._in_hand
        try:
            if rt.here:
                rt.execute_soon(hatch.leave, in_hand)
            else:
                reply = Reply()
                rt.post(_answered, reply, hatch.leave, in_hand)
                reply.wait(timeout, "the end of a stream")
        finally:
            hatch.batches.clear()
            if self._own:
                rt._stop_all(warn=False, timeout=timeout)
            elif self._thread_is_ours:
                rt.leave(timeout)

    def __repr__(self) -> str:
        if self._over:
            return "<Batches of a stream: over>"
        lines = " ".join(repr(subscription) for subscription in self._hatch.seat.place.input_edges)
        return f"<Batches of a stream: {len(self._hatch.batches)} ahead, {lines or 'its producers have ended'}>"

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if getattr(self, "_over", True) or finalizing():
            return                      # at the end of the interpreter the threads behind stand still already
        try:
            self.close()
        except Exception:
            log.exception("a stream that nobody holds any more could not be ended")


def _answered(reply: Reply, function: Callable[..., Any], *args: Any) -> None:
    """Call a function, and let whoever waits know."""
    try:
        reply.set(function(*args))
    except BaseException as error:      # noqa: BLE001  raised again, where it is waited for
        reply.fail(error)
