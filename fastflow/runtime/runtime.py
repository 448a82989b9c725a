"""Runtimes: the stages of a program, and whoever drives their turns.

    with ff.Runtime() as rt:                 a thread behind drives, until nothing can move any more
        counter = rt.start(Counter(0, 10))
        total = rt.start(Total(), subscribe_to=[counter])
        print(total.result())

    rt = ff.Runtime(); ...; rt.run()         or this thread does

A runtime starts nothing by itself: before it is driven, stages can be started and subscribed, and nothing moves.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from fastflow import telemetry
from fastflow._scheduler import Reply, Scheduler
from fastflow.errors import CallbackError, Closed, GraphError, NameTaken, NotDriven, OptionError, WaitTimeout
from fastflow.runtime.joining import subscribe
from fastflow.runtime.options import wait_seconds
from fastflow.runtime.outside import OutsideWork
from fastflow.runtime.recipe import Recipe
from fastflow.runtime.ref import Ref, Subscription
from fastflow.runtime.report import Forgotten, run_line, stall_text, table, undelivered
from fastflow.runtime.seat import Seat
from fastflow.runtime.signals import ctrl_c
from fastflow.stage import Stage, check_stage_options

__all__ = ["Runtime"]

log = logging.getLogger("fastflow.runtime")

#: Stages without a name that have ended, of which the runtime still knows at least; of older ones it keeps the sums.
KEPT_ENDED = 1_000
#: Stages that are started together without a look for garbage in between.
MANY = 1_000
#: Seconds between two looks at the memory while a stage waits for some.
MEMORY_POLL_S = 0.05


#: What users need of a runtime; the rest is between it and its stages.
_OF_RUNTIMES = frozenset((
    "clock", "closed", "connect", "drain", "driven", "join", "names", "paused", "run", "seed", "start", "start_many",
    "stop", "subscriptions",
))


class Runtime:
    """The stages of a program, driven by one thread.

    Parameters
    ----------
    seed : int, default 0
        Of every stage's `rng`.
    clock : callable, optional
        Returns seconds; for timers.  By default `time.monotonic`.

    Examples
    --------
    >>> import fastflow as ff
    >>> with ff.Runtime() as rt:
    ...     numbers = rt.start(ff.Range(10))
    ...     total = rt.start(ff.Sum(), subscribe_to=[numbers])
    ...     print(total.result())
    45
    """

    def __init__(self, seed: int = 0, clock: Callable[[], float] | None = None) -> None:
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise TypeError(f"seed of a Runtime: got {seed!r}, expected an int")
        self.seed = seed.__index__()
        self.clock = time.monotonic if clock is None else clock
        self.scheduler = Scheduler(self.clock)
        self.scheduler.all_places = lambda: [seat.place for seat in self.seats]
        self.outside_work = OutsideWork(self.scheduler)
        self.seats: list[Seat] = []
        self.names: dict[str, Seat] = {}
        self.failures: dict[int, tuple[BaseException, Seat]] = {}
        self.closed = self._ending = False
        self.open_consumers = 0
        self._ended_seats = 0
        self._forgotten = Forgotten()
        self._open_seats = 0
        self._numbers: dict[str, int] = {}
        self._driver: int | None = None
        self._pausers: list[int] = []           # threads that are inside of `paused`
        self._door = threading.RLock()          # whoever begins to drive goes through it
        self._thread: threading.Thread | None = None
        self._thread_ends = False
        self._quiet: list[Reply] = []
        self._all_ended: list[Reply] = []
        self.until_gone: list[Reply] = []       # of those who wait for a batch, and drive when nobody else does
        self._thread_error: BaseException | None = None
        self._began = time.monotonic()

    # -- stages --

    def start(self, stage: Stage, **options: Any) -> Ref:
        """Start a stage from its template.

        Parameters
        ----------
        stage : Stage
            The template: the stage that runs is constructed from its arguments.  Attributes that were set on it
            after its construction are not carried over.
        **options
            Overrides of its options, among them ``name`` and ``subscribe_to``.

        Returns
        -------
        Ref

        Raises
        ------
        OptionError
            For an unknown option, or an attribute that hides a method.
        NameTaken
            If another stage has the name.
        Exception
            Whatever ``__init__`` or `setup` raised.
        """
        _check_template(stage, options)
        ref: Ref = self.execute(self._start, stage, options)
        return ref

    def _start(self, template: Stage, options: dict[str, Any]) -> Ref:
        self._must_be_open("start")
        recipe = Recipe(self, template, options)
        name = recipe.option("name")
        number = 0 if name is not None else self._next_number(recipe.base_name)
        return self._seat_one(recipe, name, number, self._producers(recipe)).ref

    def _producers(self, recipe: Recipe) -> list[tuple[Seat, dict[str, Any]]]:
        """Whom its stages subscribe to at their start, by which options."""
        producers = []
        for entry in recipe.option("subscribe_to"):
            to, given = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, {})
            if not isinstance(given, dict) or not isinstance(to, (str, Ref)):
                raise TypeError(f"subscribe_to of {recipe.base_name}: got {entry!r}, expected a ref or name, or a pair "
                                "of one and a dict of options; start the producer first, and write "
                                "[(counter, dict(max_demand=100))]")
            producers.append((self.find(to)._seat, given))
        return producers

    def _seat_one(
        self, recipe: Recipe, name: str | None, number: int, producers: list[tuple[Seat, dict[str, Any]]]
    ) -> Seat:
        """Start one stage of a recipe."""
        if name is not None and name in self.names and not self.names[name].ended:
            raise NameTaken(f"name {name!r}: got it a second time, expected a name that no other stage has; "
                            f"it belongs to {self.names[name].ref!r}")
        seat = Seat(recipe, name, number)
        seat.construct()
        self.seats.append(seat)
        self._open_seats += 1
        if recipe.kind == "consumer":
            self.open_consumers += 1
        if name is not None:
            self.names[name] = seat
        if telemetry.listened():
            telemetry.emit("stage.start", {}, {"stage": seat.name, "kind": seat.kind})
        try:
            for producer, given in producers:
                subscribe(seat, producer, given)
        except BaseException:
            self._unseat(seat)
            raise
        return seat

    def _unseat(self, seat: Seat) -> None:
        """A start that fails leaves nothing."""
        seat.end("shutdown")
        seat.place.leave_queue()
        if self.seats[-1] is seat:
            self.seats.pop()
        else:
            self.seats.remove(seat)
        if self.names.get(seat.name) is seat:
            del self.names[seat.name]

    def start_many(self, stage: Stage, n: int, **options: Any) -> list[Ref]:
        """Start `n` stages from one template, in much less time than one by one.

        Parameters
        ----------
        stage : Stage
            The template.
        n : int
            How many.
        **options
            As for `start`, but for ``name``: they can't share one.

        Returns
        -------
        list of Ref

        Examples
        --------
        >>> import fastflow as ff
        >>> rt = ff.Runtime()
        >>> numbers = rt.start(ff.Range(5), dispatcher="broadcast")
        >>> totals = rt.start_many(ff.Sum(), 3, subscribe_to=[numbers])
        >>> _ = rt.run()
        >>> [total.result() for total in totals]
        [10, 10, 10]
        """
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 0:
            raise OptionError(f"start_many: got {n!r}, expected how many stages to start, from 0 up")
        _check_template(stage, options)
        if options.get("name") is not None:
            raise OptionError(f"name of start_many: got {options['name']!r}, expected none, since {n} stages can't "
                              "share it; start one, or leave the name out")
        refs: list[Ref] = self.execute(self._start_many, stage, n, options)
        return refs

    def _start_many(self, template: Stage, n: int, options: dict[str, Any]) -> list[Ref]:
        self._must_be_open("start_many")
        recipe = Recipe(self, template, options)
        recipe.shared = True
        producers = self._producers(recipe)
        # What is made here lives on: to look through it again and again for garbage would take longer than to make it.
        collecting = n >= MANY and gc.isenabled()
        if collecting:
            gc.disable()
        seats: list[Seat] = []
        first = self._numbers.get(recipe.base_name, 0) + 1
        self._numbers[recipe.base_name] = first + n - 1
        try:
            for number in range(first, first + n):
                seats.append(self._seat_one(recipe, None, number, producers))
            return [seat.new_ref() for seat in seats]
        except BaseException:
            for seat in reversed(seats):
                self._unseat(seat)
            raise
        finally:
            if collecting:
                if not gc.get_freeze_count():
                    # All that there is now is taken for old, so that the next collection does not walk it at once.
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()

    def connect(self, *stages: Stage | Ref | str, **options: Any) -> list[Ref]:
        """Subscribe each stage to the one before it; templates are started.

        Parameters
        ----------
        *stages : Stage, Ref or str
            At least two, in the order in which events flow.
        **options
            Of every subscription.

        Returns
        -------
        list of Ref
        """
        if len(stages) < 2:
            raise GraphError(f"connect: got {len(stages)} stages, expected at least two; give them in order")
        refs: list[Ref] = []
        started = []
        try:
            for stage in stages:
                refs.append(self.start(stage) if isinstance(stage, Stage) else self.find(stage))
                if isinstance(stage, Stage):
                    started.append(refs[-1]._seat)
                if len(refs) > 1:
                    refs[-1].subscribe(refs[-2], **options)
        except BaseException:
            self.execute(self._take_back, started)
            raise
        return refs

    def _take_back(self, started: list[Seat]) -> None:
        """Leave nothing of stages that were started for something that can't be."""
        for seat in reversed(started):
            seat.end("shutdown")
            self.forget(seat)

    def find(self, to: Any) -> Ref:
        """The ref that is meant by a ref or a name."""
        if isinstance(to, str):
            return self[to]
        if isinstance(to, Ref):
            if to._seat.runtime is not self:
                raise GraphError(f"{to!r}: got a stage of another runtime, expected one of this; start both in one")
            return to
        hint = "start it first, and give its ref"
        if isinstance(to, type) and issubclass(to, Stage):
            hint = f"write {to.__name__}(...), and " + hint
        elif callable(to):
            hint = "wrap a function in ff.Map or ff.ForEach, " + hint
        raise TypeError(f"got {to!r} as a stage to subscribe to, expected a ref or a name; {hint}")

    def __getitem__(self, name: str) -> Ref:
        if name not in self.names:
            raise KeyError(f"no stage has the name {name!r}; there are: {', '.join(sorted(self.names)) or 'none'}")
        return self.names[name].ref

    def _next_number(self, name: str) -> int:
        """Among the unnamed stages of a class."""
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        return number

    def is_upstream(self, seat: Seat, other: Seat) -> bool:
        """Whether events of `seat` reach `other`."""
        seen, open_ends = set(), [other]
        while open_ends:
            for subscription in open_ends.pop().place.input_edges:
                producer = subscription.producer_place.host
                if producer is seat:
                    return True
                if id(producer) not in seen:
                    seen.add(id(producer))
                    open_ends.append(producer)
        return False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No stage takes a turn inside the block, so that nobody misses the start.

        Stages can be started and subscribed, and messages be sent; events move when the block is left.  So to wait
        inside it, for a result, a call or a batch, is an error.  Blocks may be nested; while nobody drives, they
        change nothing.

        Examples
        --------
        >>> import fastflow as ff
        >>> with ff.Runtime() as rt:
        ...     with rt.paused():
        ...         numbers = rt.start(ff.Range(5), dispatcher="broadcast")
        ...         totals = [rt.start(ff.Sum(), subscribe_to=[numbers]) for _ in range(3)]
        ...     print([total.result() for total in totals])
        [10, 10, 10]
        """
        if not self.driven:
            yield
            return
        self.execute(self.scheduler.hold_turns, 1)
        self._pausers.append(threading.get_ident())
        try:
            yield
        finally:
            self._pausers.remove(threading.get_ident())
            self.execute(self.scheduler.hold_turns, -1)

    def must_not_be_paused(self, what: str) -> None:
        """Refuse to wait for turns that this very thread holds up."""
        if threading.get_ident() in self._pausers:
            raise NotDriven(f"{what}: got a wait inside of `with rt.paused():`, where no stage takes a turn, so it "
                            "would wait for ever; leave that block first")

    # -- the scheduler's thread --

    @property
    def here(self) -> bool:
        """Whether this thread may touch the stages: it drives them, or nobody does."""
        return self._driver is None or self._driver == threading.get_ident()

    @property
    def here_alone(self) -> bool:
        """Whether no other thread can be waiting for an answer."""
        return self._driver is None

    @property
    def driven(self) -> bool:
        """Whether somebody drives."""
        return self._driver is not None

    def execute(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function on the scheduler's thread, and wait for what it returns."""
        if self.here:
            return function(*args)
        reply = Reply()

        def do() -> None:
            try:
                reply.set(function(*args))
            except BaseException as error:
                reply.fail(error)
            self.scheduler.give_way(reply)

        self.post(do)
        return reply.wait(None, "the scheduler")

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Mail to whoever drives.  If that one has left meanwhile, it is handled here: nobody else would."""
        self.scheduler.post(function, *args)
        if self._driver is None:
            with self._door:
                if self._driver is None:
                    self._driver = threading.get_ident()
                    self._step_down()

    def execute_soon(self, function: Callable[..., Any], *args: Any) -> None:
        """The same without waiting; from within a turn: when that commits."""
        if not self.here:
            self.post(function, *args)
            return
        current = self.scheduler.current
        if current is not None and current.busy:
            current.later(function, args)
        else:
            function(*args)

    def must_be_driven(self, what: str) -> None:
        """Refuse a wait that nobody would end."""
        if self._driver is None and not self.closed:
            raise NotDriven(f"{what}: nobody drives this runtime, so it would wait for ever; use `with rt:`, "
                            "or rt.run()")
        if self._driver == threading.get_ident():
            raise CallbackError(f"{what}: got a call from a callback, expected one from another thread, since it would "
                                "wait for itself; use cast")

    def why_nothing_moves(self) -> str:
        """What each stage waits for, unless something moves; the driver is asked, but not for long."""
        scheduler, reply = self.scheduler, Reply()

        def look() -> None:
            moves = not scheduler.idle or scheduler.next_due() is not None or self.outside_work.count
            reply.set("" if moves else stall_text(self.seats))

        scheduler.post(look)
        try:
            why: str = reply.wait(0.1)
        except WaitTimeout:
            return ""
        return why

    def _must_be_open(self, what: str) -> None:
        if self.closed:
            raise Closed(f"{what}: this runtime is closed, expected an open one; make a new ff.Runtime()")

    @contextmanager
    def driving(self) -> Iterator[None]:
        """This thread drives for the length of the block."""
        with self._door:
            if self._driver is not None:
                raise RuntimeError("this runtime is driven already; leave its `with` block first")
            self._driver = threading.get_ident()
        try:
            with ctrl_c(self.scheduler):
                yield
        finally:
            self._step_down()

    def _step_down(self) -> None:
        """Drive no more: whoever asked for something in the last moment gets its answer, or hears that."""
        while True:
            self.scheduler.handle_mail()
            gone, self.until_gone = self.until_gone, []
            self._driver = None
            self._answer(gone)
            with self._door:
                if not self.scheduler.mailbox or self._driver is not None:
                    return
                self._driver = threading.get_ident()

    def drive(self, finished: Callable[[], bool] | None = None, deadline: float | None = None) -> bool:
        """Give turns until nothing can move any more, or `finished`; False: the deadline came first."""
        scheduler = self.scheduler
        while True:
            scheduler.run()
            if finished is not None and finished():
                return True
            if not scheduler.idle:
                continue
            due = scheduler.next_due()
            if due is None and not self.outside_work.count and not scheduler.paused:
                self._answer(self._quiet)
                return True
            seconds = self._seconds_until(due)
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                seconds = left if seconds is None else min(seconds, left)
            wait = getattr(self.clock, "wait", None)
            if wait is not None and due is not None:
                wait(seconds)
            else:
                scheduler.sleep(seconds)

    def _seconds_until(self, due: float | None) -> float | None:
        """How long the driver may sleep, if no mail comes; None: until it does."""
        if due is not None:
            return max(0.0, due - self.clock())
        return MEMORY_POLL_S if self.scheduler.places_held_back else None

    def _behind(self) -> None:
        """The thread behind ``with rt:``."""
        scheduler = self.scheduler
        self._driver = threading.get_ident()
        try:
            while not self._thread_ends:
                scheduler.run()
                if not scheduler.idle:
                    continue
                due = scheduler.next_due()
                if due is None and not self.outside_work.count and not scheduler.paused:
                    self._answer(self._quiet)
                scheduler.sleep(self._seconds_until(due))
        except BaseException as error:
            self._thread_error = error
            for reply in (*self._quiet, *self._all_ended):
                reply.fail(error)
            for seat in self.seats:
                seat.done.fail(error)
        finally:
            self._step_down()
            if self._thread_error is not None:
                for seat in self.seats:
                    seat.fail_calls(self._thread_error)

    @staticmethod
    def _answer(replies: list[Reply]) -> None:
        for reply in replies:
            reply.set(None)
        replies.clear()

    def _wait_quiet(self, timeout: float | None) -> None:
        reply = Reply()
        self.scheduler.post(self._quiet.append, reply)
        reply.wait(timeout, "the end of a runtime's work")

    # -- driving --

    def __enter__(self) -> Runtime:
        self._must_be_open("with")
        with self._door:
            if self._driver is not None:
                raise RuntimeError("this runtime is driven already; use one `with` block at a time")
            self._driver = -1
        self._thread = threading.Thread(target=self._behind, name="fastflow", daemon=True)
        self._thread.start()
        return self

    def leave(self, timeout: float | None = 5.0) -> None:
        """Let the thread behind go; the stages stay as they are, and nobody drives them."""
        thread = self._thread
        if thread is None:
            return
        self.scheduler.post(self._let_go)
        if thread.ident == threading.get_ident():
            return
        thread.join(timeout)
        if thread.is_alive():
            raise WaitTimeout(f"leave of a runtime: a callback still runs after {timeout} s, and a thread can't be "
                              f"killed; it is in {self._where_it_is()}")
        self._thread, self._thread_ends, self._thread_error = None, self.closed, None

    def _let_go(self) -> None:
        self._thread_ends = True
        self.scheduler.pause()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None and self._thread_error is None and not self.closed:
                self._wait_quiet(None)
        finally:
            self._stop_all(warn=error is None)
        if self._thread_error is not None and error is None:
            raise self._thread_error
        if error is None:
            self.raise_failures()
        elif self.failures:
            for failure, seat in self.failures.values():
                if failure is not error:
                    log.error("stage %r failed as well", seat.name, exc_info=failure)

    def run(self, timeout: float | None = None) -> dict[str, Any]:
        """Drive in this thread until nothing can move any more, then stop what is left.

        Parameters
        ----------
        timeout : float, optional
            Seconds; after that everything is stopped and WaitTimeout raised.

        Returns
        -------
        dict
            What the stages that were given a name came to.
        """
        timeout = wait_seconds(timeout, "run")
        self._must_be_open("run")
        if self._driver is not None:
            raise RuntimeError("run: got a runtime that is driven already, expected one that is not; leave its `with` "
                               "block first")
        self.must_not_be_paused("run")
        deadline = None if timeout is None else time.monotonic() + timeout
        in_time = False
        try:
            with self.driving():
                with self.pause_after(timeout):
                    in_time = self.drive(lambda: self.closed or _is_past(deadline), deadline)
                over = self.scheduler.idle and not self.outside_work.count
                in_time = in_time and (not _is_past(deadline) or over)
        finally:
            self._stop_all(warn=in_time)
        self.raise_failures()
        if not in_time:
            raise WaitTimeout(f"run: not done within {timeout} s, and stopped; give a longer timeout, or see what "
                              "keeps it")
        return {name: seat.value for name, seat in self.names.items() if not isinstance(seat.reason, BaseException)}

    @contextmanager
    def pause_after(self, seconds: float | None) -> Iterator[None]:
        """Have a busy loop look at its deadline: it is paused after so many seconds."""
        if seconds is None:
            yield
            return
        alarm = threading.Timer(seconds, self.scheduler.post, (self.scheduler.pause,))
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
            alarm.join()

    def join(self, timeout: float | None = None) -> None:
        """Wait until every stage has ended."""
        timeout = wait_seconds(timeout, "join")
        if self.closed:
            return
        self.must_be_driven("join")
        self.must_not_be_paused("join")
        reply = Reply()
        self.scheduler.post(self._join, reply)
        reply.wait(timeout, "join of a runtime")

    def _join(self, reply: Reply) -> None:
        self._all_ended.append(reply)
        self._check_all_ended()

    def _check_all_ended(self) -> None:
        if self._all_ended and self._open_seats == 0:
            self._answer(self._all_ended)

    def drain(self, timeout: float | None = None) -> None:
        """Let the sources emit no more, and wait until what is on its way has been handled."""
        timeout = wait_seconds(timeout, "drain")
        if self.closed:
            return
        if self.driven:
            self.must_be_driven("drain")
            self.must_not_be_paused("drain")
        self.execute(self._drain)
        if self.driven:
            self._wait_quiet(timeout)

    def _drain(self) -> None:
        for seat in self.seats:
            if seat.kind == "producer" and not seat.ending:
                seat.place.finish()

    def stop(self, timeout: float | None = 5.0) -> None:
        """Stop every stage, the last started first, and close the runtime."""
        self._stop_all(warn=True, timeout=wait_seconds(timeout, "stop"))

    def _stop_all(self, warn: bool, timeout: float | None = 5.0) -> None:
        timeout = self.outside_work.with_grace(timeout)
        if self._thread is not None and self._thread.is_alive() and self._thread.ident != threading.get_ident():
            self.scheduler.post(self._end_all, warn)
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise WaitTimeout(
                    f"stop of a runtime: a callback still runs after {timeout} s, and a thread can't be killed; "
                    f"it is in {self._where_it_is()}"
                )
        elif not self.here:
            # Another thread drives it by run(): the end comes between two of its turns.
            reply = Reply()
            self.scheduler.post(self._end_all, warn, reply)
            reply.wait(timeout, f"stop of a runtime, which is in {self._where_it_is()}")
        else:
            self.execute_soon(self._end_all, warn)

    def _where_it_is(self) -> str:
        place = self.scheduler.current
        return "no stage" if place is None else f"stage {place.name!r}"

    def _end_all(self, warn: bool, reply: Reply | None = None) -> None:
        """Stop what is left, in reverse order; on the scheduler's thread."""
        if not self.closed:
            self._ending = True
            if warn and not self.failures:
                for line in undelivered(self.seats):
                    log.warning("%s", line)
            for seat in reversed(self.seats):
                seat.end("shutdown")
            self.closed = True
            log.info("%s", run_line(self.seats, self._forgotten, time.monotonic() - self._began))
            telemetry.emit("run.end", {"seconds": time.monotonic() - self._began}, {"stages": len(self.seats)})
        self._thread_ends = True
        self._answer(self._quiet)
        self._answer(self._all_ended)
        if reply is not None:
            reply.set(None)
        self.scheduler.pause()

    # -- failures --

    def new_failure(self, error: BaseException, seat: Seat) -> None:
        """A stage failed; unless somebody fetches that, it is raised at the end."""
        self.failures[id(error)] = (error, seat)
        telemetry.emit("stage.failed", {}, {"stage": seat.name, "error": repr(error)})

    def same_failure(self, error: BaseException, seat: Seat) -> None:
        """A stage ends because one that it was subscribed to failed: that is one failure, not two."""
        log.debug("stage %r ends because a producer of its failed: %r", seat.name, error)

    def raise_failures(self) -> None:
        """Raise what nobody has fetched."""
        failures = [error for error, _ in self.failures.values()]
        self.failures.clear()
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise BaseExceptionGroup(f"{len(failures)} stages failed", failures)

    def seat_ended(self, seat: Seat) -> None:
        """A stage has ended: its name is free for another."""
        self._open_seats -= 1
        self._ended_seats += 1
        if self._ended_seats > KEPT_ENDED + len(self.seats) // 2 and not self._ending:
            self._ended_seats = 0
            self.scheduler.post(self._forget_oldest)
        if seat.kind == "consumer":
            self.open_consumers -= 1
        if telemetry.listened():
            tags = {"stage": seat.name, "reason": repr(seat.reason)}
            telemetry.emit("stage.end", {"turns": seat.place.turn_count}, tags)
        if self._all_ended:
            self.scheduler.post(self._check_all_ended)

    def _forget_oldest(self) -> None:
        """A runtime that starts stages all day long must not keep them all; refs that users hold go on working."""
        if self._ending:
            return
        ended = [seat for seat in self.seats if seat.ended and not seat.named]
        old = set(ended[:-KEPT_ENDED])
        self.seats = [seat for seat in self.seats if seat not in old]
        self._ended_seats = len(ended) - len(old)
        for seat in old:
            self._forgotten.add(seat)
            seat.place.leave_queue()
        self.scheduler.post(_let_go_of, old)

    def forget(self, seat: Seat) -> None:
        """Keep nothing of a stage that has ended."""
        if seat in self.seats:
            self.seats.remove(seat)
        if self.names.get(seat.name) is seat:
            del self.names[seat.name]
        seat.place.leave_queue()
        # A turn of its own may be under way: it is let go of behind that.
        self.scheduler.post(_let_go_of, seat)

    # -- looks --

    def subscriptions(self) -> list[Subscription]:
        """All open subscriptions, producer by producer."""
        return [subscription for seat in self.seats for subscription in seat.place.output_edges]

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name.startswith("__") or name in _OF_RUNTIMES]

    def __repr__(self) -> str:
        return table(self.seats, self.closed, self.driven)


def _check_template(stage: Any, options: dict[str, Any]) -> None:
    """Refuse what no stage can be started from."""
    if isinstance(stage, type) and issubclass(stage, Stage):
        raise TypeError(f"start: got the class {stage.__name__}, expected a stage; write {stage.__name__}()")
    if not isinstance(stage, Stage):
        raise TypeError(f"start: got {type(stage).__name__}, expected a stage; derive it from ff.Producer, "
                        "ff.ProducerConsumer or ff.Consumer, or wrap a function in ff.Map")
    check_stage_options(type(stage), options)


def _is_past(deadline: float | None) -> bool:
    """Whether a deadline on the monotonic clock has passed."""
    return deadline is not None and time.monotonic() >= deadline


def _let_go_of(seat: Seat) -> None:
    """Nothing: the mail held the last reference."""
