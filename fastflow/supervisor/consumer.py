"""Consumer supervisors: a child for each event.

    producer ──events──▶ ConsumerSupervisor ──starts──▶ child(event)   at most max_demand at a time
             ◀──demand──                    ◀──ends───

    def fetch(url):
        ...                                     # may block: it has a thread of its own

    with ff.Runtime() as rt:
        urls = rt.start(ff.FromIterable(["a", "b", "c"]))
        rt.start(ff.ConsumerSupervisor(fetch), subscribe_to=[(urls, dict(max_demand=2))])

**Children** are functions, which run on threads of their own, or stages, which run in the same runtime: a template to
whose constructor's arguments the event is appended.  A thread that ends sends its word as mail; a stage that ends is
heard of at once.  What that means is decided in `fastflow.supervisor.accounts`.

**Restarts.**  A child that fails is logged, and with ``restart="transient"`` started again with the same event, at
once; the event counts until the child has ended well.  Too many failures end the supervisor with `ff.GaveUp`.

**When not to use it.**  A thread for each event costs some 100 microseconds.  For work that is done in less, or with
NumPy, handle batches in an `ff.Consumer`.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastflow.errors import Closed, OptionError, WaitTimeout, nearest
from fastflow.runtime import Ref, Subscription
from fastflow.runtime.threads import ChildThread
from fastflow.stage import Consumer, Stage, kind_of
from fastflow.supervisor.accounts import Children, Verdict
from fastflow.supervisor.window import RestartWindow, gave_up, text_of

if TYPE_CHECKING:
    from fastflow.runtime.seat import Seat

__all__ = ["ConsumerSupervisor", "count_children", "start_child", "terminate_child", "which_children"]

log = logging.getLogger("fastflow.supervisor")

#: Children at a time when nobody says: what max_demand of numbers would allow is far too many threads.
DEFAULT_CHILDREN = 1000

Child = Ref | ChildThread


class _Again:
    """Mail of a supervisor to itself: start a child again."""

    def __init__(self, number: int) -> None:
        self.number = number


class _GiveUp:
    """Mail of a supervisor to itself: fail."""

    def __init__(self, child: str) -> None:
        self.child = child


class _Bury:
    """Mail of a supervisor to itself: let the runtime forget the stages that have ended."""


class ConsumerSupervisor(Consumer):
    """A consumer that starts a supervised child for each event.

    Of each producer at most `max_demand` children run at a time, 1000 when nobody says.  When children of a producer
    have ended, and are at least `min_demand` and 1, as many events more are asked for.  It ends when all its
    producers have ended and all children too.

    Parameters
    ----------
    child : callable or Stage
        A function of an event, which gets a thread of its own; or a template of a consumer or producer_consumer, to
        whose arguments the event is appended: ``Save("out")`` of ``def __init__(self, folder, event=None)``.
    restart : {"temporary", "transient"}, default "temporary"
        Start a child again never, or when it has failed.
    max_restarts : int, default 3
        More failures of children that are to be started again ...
    max_seconds : float, default 5.0
        ... within so many seconds end the supervisor.
    shutdown : float, "brutal", "infinity" or None, default 5.0
        Seconds that children may take to end when the supervisor does: all are told at once.  "brutal": threads are
        not waited for, and stages are ended without their `terminate`; "infinity" or None: as long as it takes.
        While it waits, no other stage takes a turn.
    strategy : {"one_for_one"}
        There is no other: children know nothing of each other.

    Raises
    ------
    OptionError
        For a child or an option that can't be.

    Notes
    -----
    A thread can't be killed.  A function that may take long looks at ``ff.supervisor.this_child().stopping``; one that
    has not ended in time is logged by name, and left behind.

    Examples
    --------
    >>> import fastflow as ff
    >>> seen = []
    >>> ff.run([1, 2, 3], ff.ConsumerSupervisor(seen.append), max_demand=1)
    >>> seen
    [1, 2, 3]
    """

    def __init__(
        self,
        child: Callable[[Any], Any] | Stage,
        restart: str = "temporary",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        shutdown: float | str | None = 5.0,
        *,
        strategy: str = "one_for_one",
    ) -> None:
        if strategy != "one_for_one":
            raise OptionError(
                f"strategy of a ConsumerSupervisor: got {strategy!r}, expected 'one_for_one', since its children are "
                "of different events and know nothing of each other; leave it out"
            )
        self._child = _checked_child(child)
        self._children = Children(_checked_restart(restart), RestartWindow(max_restarts, max_seconds))
        self._shutdown, self._brutal = _checked_shutdown(shutdown)
        self._handles: dict[int, Child] = {}
        self._numbers: dict[Child, int] = {}
        self._events: dict[int, tuple[Any, ...]] = {}
        self._sources_ended = False
        self._threads = 0
        self._ended: list[Seat] = []
        self._ended_before: list[Seat] = []

    # -- callbacks --

    def setup(self) -> None:
        """Say how long the end may take."""
        if self._place is not None and not isinstance(self._child, Stage):
            grace = 0.0 if self._brutal else float("inf") if self._shutdown is None else self._shutdown
            self._seat.runtime.outside_work.set_grace(self, grace)

    def handle_subscribe(self, role: str, options: dict[str, Any], subscription: Subscription) -> str:
        """Ask a new producer for as many events as there may be children."""
        most, whole = subscription.capacity, subscription.producer_place.whole
        least = options.get("min_demand")
        if "max_demand" not in options:
            most = min(most, max(DEFAULT_CHILDREN, whole, 0 if least is None else least + 1))
        self._sources_ended = False
        subscription.ask(self._children.joined(subscription, most, most // 2 if least is None else least, whole))
        return "manual"

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """Its children remain."""
        self._children.left(subscription)

    def handle_events(self, events: Any, source: Subscription) -> None:
        """Start a child for each event."""
        numbers, excess = self._children.admit(source, len(events))
        if excess:
            log.error("supervisor %r has received %d events in excess from %r: more was asked for by hand than "
                      "max_demand allows; they get children all the same", self._name, excess, source.producer.name)
        for number, event in zip(numbers, _each(events), strict=True):
            self._events[number] = (event,)
            error = self._start_now(number)
            if error is not None:
                log.error("supervisor %r: a child could not be started for an event of %r, which counts as handled",
                          self._name, source.producer.name, exc_info=error)
                self._remove(number, self._children.not_started(number))

    def handle_info(self, message: Any) -> None:
        """Mail to itself; anything else is none of its business."""
        if isinstance(message, _Again):
            self._start_again(message.number)
        elif isinstance(message, _GiveUp):
            children = self._children
            raise gave_up(self._name, message.child, children.window, children.causes) from None
        elif isinstance(message, _Bury):
            self._bury()
        else:
            super().handle_info(message)

    def _sources_over(self, finish: Callable[[], None]) -> None:
        self._sources_ended = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._sources_ended and not self._children:
            self.finish()

    def result(self) -> dict[str, int]:
        """Return how many children have ended well, and how many not; and how often one was started again."""
        children = self._children
        return {"succeeded": children.succeeded, "failed": children.failed, "restarted": children.restarted}

    def terminate(self, reason: Any) -> None:
        """Tell all children at once to end, and wait for them."""
        children = list(self._handles.values())
        threads = [child for child in children if isinstance(child, ChildThread)]
        for thread in threads:
            thread.stopping.set()
        for child in children:
            if isinstance(child, Ref):
                self._end_stage(child._seat)
        until = None if self._shutdown is None else time.monotonic() + self._shutdown
        if not self._brutal:
            for thread in threads:
                thread.join(None if until is None else max(0.0, until - time.monotonic()))
        self._leave_behind(threads)
        self._handles.clear()
        self._numbers.clear()
        self._events.clear()
        self._seat.runtime.outside_work.set_grace(self, 0.0)

    def _leave_behind(self, threads: list[ChildThread]) -> None:
        """Nobody waits for these threads any more."""
        for thread in threads:
            self._release(thread)
            error = None if thread.alive else thread.take_error()
            if error is not None:
                log.error("supervisor %r: child %r failed when it was told to end", self._name, thread.name,
                          exc_info=error)
            thread.report = _report_late
        alive = [thread.name for thread in threads if thread.alive]
        if alive and not self._brutal:
            log.error(
                "supervisor %r leaves children behind, which still run %g s after they were told to end: %s. A thread "
                "can't be killed; let the function look at ff.supervisor.this_child().stopping, or raise shutdown",
                self._name, self._shutdown, ", ".join(alive[:20]) + (", ..." if len(alive) > 20 else ""),
            )

    # -- starts --

    @property
    def _seat(self) -> Seat:
        seat: Seat = self._place.host  # type: ignore[union-attr]  # it has a place when it is started
        return seat

    @property
    def _name(self) -> str:
        return self._seat.name

    def _start_now(self, number: int) -> BaseException | None:
        """Start a child; returns what went wrong."""
        event = self._events[number]
        try:
            if isinstance(self._child, Stage):
                self._start_stage(number, event)
            else:
                self._start_thread(number, event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  whatever it was, the event has had its chance
            return error
        return None

    def _set_handle(self, number: int, handle: Child | None) -> None:
        """By what a child is known from now on."""
        before = self._handles.pop(number, None)
        if before is not None:
            del self._numbers[before]
        if handle is not None:
            self._handles[number] = handle
            self._numbers[handle] = number

    def _start_thread(self, number: int, event: tuple[Any, ...]) -> None:
        runtime = self._seat.runtime
        self._threads += 1
        thread = ChildThread(
            f"fastflow-{self._name}-{self._threads}",
            self._child,  # type: ignore[arg-type]  # no stage, or we were not here
            event,
            # As mail, even when nobody drives: what follows must happen on the thread that drives next.
            lambda child: runtime.scheduler.post(self._thread_ended, number, child),
        )
        before = self._handles.get(number)
        runtime.outside_work.begin()
        thread.counted = True
        # Known before it runs: a Ctrl-C may come in between, and then it must be told to end like the others.
        self._set_handle(number, thread)
        try:
            thread.start()
        except KeyboardInterrupt:
            raise
        except BaseException:
            self._release(thread)
            self._set_handle(number, before)
            raise

    def _start_stage(self, number: int, event: tuple[Any, ...]) -> None:
        template: Any = self._child
        cls = type(template)
        # A template with the event behind its arguments, without a call of __init__: that comes in its own place.
        stage = cls.__new__(cls, *template._arguments, *event, **template._keywords)
        ref = self._seat.runtime.start(stage)
        self._set_handle(number, ref)
        ref._seat.watch(partial(self._stage_ended, number))
        if ref._seat.ended:
            ref._seat.runtime.scheduler.post(self._stage_ended, number, ref._seat)

    def _start_again(self, number: int) -> None:
        if number not in self._children:
            return
        error = self._start_now(number)
        if error is None:
            self._children.started(number)
        else:
            self._child_ended(number, error)

    # -- ends --

    def _release(self, thread: ChildThread) -> None:
        """The runtime waits for it no more."""
        if thread.counted:
            thread.counted = False
            self._seat.runtime.outside_work.end()

    def _thread_ended(self, number: int, thread: ChildThread) -> None:
        """The word of a thread, as mail."""
        self._release(thread)
        if self._handles.get(number) is thread:
            self._child_ended(number, thread.take_error())
        else:
            _report_late(thread)

    def _stage_ended(self, number: int, seat: Seat) -> None:
        """A child that is a stage has ended; a failure of its own is the supervisor's to judge, and nobody else's."""
        failures, reason = seat.runtime.failures, seat.reason
        if isinstance(reason, BaseException):
            own = failures.get(id(reason))
            if own is not None and own[1] is seat:
                del failures[id(reason)]
        self._ended.append(seat)
        if len(self._ended) == 1 and not self._ended_before:
            self._tell_itself(_Bury())
        if number in self._handles:
            self._child_ended(number, reason if isinstance(reason, BaseException) else None)

    def _child_ended(self, number: int, error: BaseException | None) -> None:
        """A child has ended, or could not be started again: do what that means."""
        name = self._handles[number].name
        if self._seat.ending:
            if error is not None:
                log.error("supervisor %r: child %r failed when it was told to end", self._name, name, exc_info=error)
            return
        cause = None if error is None else text_of(error)
        verdict = self._children.exited(number, cause, self._now())
        if verdict.what == "unknown":
            return
        if verdict.what == "restart":
            log.warning("supervisor %r starts child %r again, which failed with %s", self._name, name, cause)
            self._tell_itself(_Again(number))
            return
        if error is not None:
            log.error("supervisor %r: child %r failed", self._name, name, exc_info=error)
        if verdict.what == "give up":
            self._tell_itself(_GiveUp(repr(name)))
        self._remove(number, verdict)

    def _remove(self, number: int, verdict: Verdict) -> None:
        """A child is gone for good: ask for the next event, or end."""
        self._set_handle(number, None)
        self._events.pop(number, None)
        if verdict.ask and isinstance(verdict.producer, Subscription):
            verdict.producer.ask(verdict.ask)
        if verdict.what == "gone":
            self._end_if_done()

    def _tell_itself(self, message: Any) -> None:
        """A message, for a turn of its own."""
        self._seat.receive("info", message, None)

    def _bury(self) -> None:
        """Let go of stages that had ended before the last turn: since then, none of them can stand in the run queue."""
        for seat in self._ended_before:
            seat.runtime.forget(seat)
        self._ended_before, self._ended = self._ended, []
        if self._ended_before:
            self._tell_itself(_Bury())

    def _end_stage(self, seat: Seat) -> None:
        end = partial(seat.kill, "brutal") if self._brutal else partial(seat.end, "shutdown")
        if seat.place.busy:
            seat.runtime.execute_soon(end)
        else:
            end()

    # -- from outside, between two turns --

    def _must_run(self, what: str) -> None:
        if self._seat.ending:
            raise Closed(f"{what} of {self._name!r}: it has ended ({self._seat.reason!r}), expected it to run; start "
                         "another")

    def _start_one(self, arguments: tuple[Any, ...]) -> Child:
        self._must_run("start_child")
        number = self._children.admit_one()
        self._events[number] = arguments
        error = self._start_now(number)
        if error is not None:
            self._remove(number, self._children.not_started(number))
            raise error
        return self._handles[number]

    def _tell_to_end(self, child: Child) -> ChildThread | None:
        """Tell a child to end; returns the thread to wait for, if there is one."""
        self._must_run("terminate_child")
        number = self._numbers.get(child) if isinstance(child, (Ref, ChildThread)) else None
        if number is None:
            raise KeyError(f"terminate_child of {self._name!r}: got {child!r}, expected one of its "
                           f"{len(self._children)} children; see which_children")
        verdict = self._children.stop(number)
        if verdict is not None:
            self._remove(number, verdict)
        elif isinstance(child, Ref):
            self._end_stage(child._seat)
        else:
            child.stopping.set()
            return child
        return None

    def _settle(self, thread: ChildThread) -> None:
        """A thread has ended: see to it now, although its mail may not have been handled yet."""
        number = self._numbers.get(thread)
        if number is not None and not thread.alive:
            self._thread_ended(number, thread)

    def _which(self) -> list[Child | str]:
        self._must_run("which_children")
        return [
            "restarting" if self._children.state(number) == "restarting" else handle
            for number, handle in sorted(self._handles.items(), key=lambda item: item[0])
        ]

    def _count(self) -> dict[str, int]:
        self._must_run("count_children")
        supervisors = isinstance(self._child, ConsumerSupervisor)
        return {
            "specs": 1,
            "active": self._children.active,
            "supervisors": len(self._children) if supervisors else 0,
            "workers": 0 if supervisors else len(self._children),
        }


def _report_late(thread: ChildThread) -> None:
    """The end of a thread that its supervisor has left behind: an error must not be silent."""
    error = thread.take_error()
    if error is not None:
        log.error("child %r failed after its supervisor had ended", thread.name, exc_info=error)


# -- what can be done to a supervisor --


def _supervisor_of(ref: Ref, what: str) -> ConsumerSupervisor:
    if not isinstance(ref, Ref) or not issubclass(ref._seat.cls, ConsumerSupervisor):
        raise TypeError(f"{what}: got {ref!r}, expected the ref of an ff.ConsumerSupervisor, as rt.start returned it")
    stage: ConsumerSupervisor = ref._seat.stage
    return stage


def start_child(ref: Ref, *args: Any) -> Ref | ChildThread:
    """Start a child that no event has brought; it counts towards nobody's demand.

    Parameters
    ----------
    ref : Ref
        A consumer supervisor; from any thread, also when nobody drives its runtime.
    *args
        What the function gets, or what is appended to the template's arguments.

    Returns
    -------
    Ref or ChildThread
        The child.

    Raises
    ------
    Closed
        The supervisor has ended.
    BaseException
        What went wrong when it was started.
    """
    stage = _supervisor_of(ref, "start_child")
    child: Ref | ChildThread = ref._seat.runtime.execute(stage._start_one, args)
    return child


def terminate_child(ref: Ref, child: Ref | ChildThread) -> None:
    """Tell a child to end, and wait for it; it is not started again.

    In a callback of the same runtime it is told only, as to wait would be to wait for itself.

    Parameters
    ----------
    ref : Ref
        A consumer supervisor.
    child : Ref or ChildThread
        One of its children; one that is about to be started again is gone at once.

    Raises
    ------
    KeyError
        It is not one of its children, or has ended.
    WaitTimeout
        A function still ran after `shutdown` seconds; a thread can't be killed, so it runs on, and counts.
    Closed
        The supervisor has ended.
    """
    stage = _supervisor_of(ref, "terminate_child")
    runtime = ref._seat.runtime
    thread = runtime.execute(stage._tell_to_end, child)
    if thread is None or stage._brutal or (runtime.driven and runtime.here):
        return
    if not thread.join(stage._shutdown):
        raise WaitTimeout(
            f"terminate_child of {ref.name!r}: {thread.name!r} still runs {stage._shutdown:g} s after it was told to "
            "end, and a thread can't be killed; let its function look at ff.supervisor.this_child().stopping"
        )
    runtime.execute(stage._settle, thread)


def which_children(ref: Ref) -> list[Ref | ChildThread | str]:
    """List the children of a consumer supervisor, the oldest first.

    Parameters
    ----------
    ref : Ref
        A consumer supervisor.

    Returns
    -------
    list of Ref, ChildThread or "restarting"
        The last for a child that has failed and is about to be started again.

    Raises
    ------
    Closed
        The supervisor has ended.
    """
    stage = _supervisor_of(ref, "which_children")
    children: list[Ref | ChildThread | str] = ref._seat.runtime.execute(stage._which)
    return children


def count_children(ref: Ref) -> dict[str, int]:
    """Count the children of a consumer supervisor.

    Parameters
    ----------
    ref : Ref
        A consumer supervisor.

    Returns
    -------
    dict
        ``specs``, always 1; ``active``, those that run; ``supervisors`` and ``workers``, all of that kind, also those
        that are about to be started again.

    Raises
    ------
    Closed
        The supervisor has ended.
    """
    stage = _supervisor_of(ref, "count_children")
    counts: dict[str, int] = ref._seat.runtime.execute(stage._count)
    return counts


# -- checks --


def _checked_child(child: Any) -> Callable[[Any], Any] | Stage:
    where = "child of a ConsumerSupervisor"
    if isinstance(child, type) and issubclass(child, Stage):
        raise OptionError(f"{where}: got the class {child.__name__}, expected a template; write "
                          f"{child.__name__}(), where the event comes behind its arguments, so that needs a default")
    if isinstance(child, Stage):
        if kind_of(type(child)) == "producer":
            raise OptionError(
                f"{where}: got the producer {type(child).__name__}, expected a function, a consumer or a "
                "producer_consumer, since nobody would subscribe to a producer for each event; make it an ff.Consumer"
            )
        return child
    if isinstance(child, (list, tuple, dict, set)):
        raise OptionError(
            f"{where}: got a {type(child).__name__} of {len(child)}, expected a single one, as the template of all "
            "children; give one function or stage"
        )
    if not callable(child):
        raise OptionError(f"{where}: got {child!r}, expected a function of an event, or a stage as a template")
    if inspect.iscoroutinefunction(child) or inspect.isgeneratorfunction(child) or inspect.isasyncgenfunction(child):
        raise OptionError(
            f"{where}: got {child!r}, which only returns something to be awaited or iterated, expected a function that "
            "does its work when it is called; wrap it in one"
        )
    return child  # type: ignore[no-any-return]  # callable() narrows it to a callable that returns object


def _checked_restart(restart: Any) -> Any:
    where = "restart of a ConsumerSupervisor"
    if restart == "permanent":
        raise OptionError(
            f"{where}: got 'permanent', expected 'temporary' or 'transient', since a child that is started again after "
            "a normal end would never give its event's place to another; give restart='transient'"
        )
    if not isinstance(restart, str):
        raise OptionError(f"{where}: got {restart!r}, expected 'temporary' or 'transient'")
    if restart not in ("temporary", "transient"):
        raise OptionError(f"{where}: {nearest('restart', restart, ('temporary', 'transient'))}")
    return restart


def _checked_shutdown(shutdown: Any) -> tuple[float | None, bool]:
    """Seconds, None for ever, and whether nobody is waited for."""
    if shutdown is None or shutdown == "infinity":
        return None, False
    if shutdown == "brutal":
        return 0.0, True
    if isinstance(shutdown, bool) or not isinstance(shutdown, (int, float)) or not 0 <= shutdown < float("inf"):
        raise OptionError(
            f"shutdown of a ConsumerSupervisor: got {shutdown!r}, expected seconds from 0 up, 'brutal', or 'infinity' "
            "(None) for as long as it takes"
        )
    return float(shutdown), False


def _each(events: Any) -> Iterator[Any]:
    """Events one by one, as objects of their own."""
    for event in events:
        yield event.copy() if isinstance(event, np.ndarray) else event
