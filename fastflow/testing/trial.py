"""One stage on trial: producers before it, consumers behind it, all driven by hand.

    Feed ──samples──▶ the stage ──events──▶ Hand
                                ◀──asks────

A `Kit` knows the stage and what its user said of it; each of its trials is a fresh stage in a runtime of its own.  No
thread drives and no time passes: turns are taken until nothing moves, then the clock jumps to the next timer.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastflow.runtime import Ref, Runtime, Subscription
from fastflow.schema import Batch
from fastflow.stage import Consumer, Producer, Stage, kind_of
from fastflow.testing.clock import ManualClock

__all__ = [
    "OPEN",
    "OURS",
    "Broken",
    "Fail",
    "Feed",
    "Hand",
    "Kit",
    "NotLooked",
    "SetUpFailed",
    "Trial",
    "Watch",
    "came",
    "copy_of",
    "say",
    "unharmed",
]

#: Room for asks on the subscriptions of a trial, in events.
CAPACITY = 1 << 14
#: Turns without an event sent or handled, the clock standing still, after which a stage counts as restless.
STILL_TURNS = 5_000
#: Timers in a row that bring no event, after which nothing more is expected of them.
IDLE_TIMERS = 100
#: Seconds for threads: a deadline, never a pause.
DEADLINE_S = 30.0

#: What the end of a subscription is while it has none.
OPEN = "no end"
#: What to do about what no stage can break.
OURS = "this is the runtime's to keep: report it"


class Broken(Exception):
    """A rule is broken: what was got, what was expected, what to do."""

    def __init__(self, got: str, expected: str, do: str) -> None:
        super().__init__(got, expected, do)
        self.got, self.expected, self.do = got, expected, do


class NotLooked(Exception):
    """A rule can't be looked at with this stage, and why."""


class SetUpFailed(Exception):
    """A subscription of the trial itself was refused: `reason` says why, `rule` which rule that is against."""

    def __init__(self, rule: str, reason: BaseException) -> None:
        super().__init__(rule, reason)
        self.rule, self.reason = rule, reason


def say(error: Any) -> str:
    """An error and its notes, as one line."""
    if not isinstance(error, BaseException):
        return repr(error)
    return "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])


def plain(events: Any) -> list[str]:
    """A batch as texts, one an event, which compare as the events do, NaN too."""
    if isinstance(events, Batch):
        columns = [events[name].tolist() for name in events.columns]
        return [repr(row) for row in zip(*columns, strict=True)]
    return [repr(event) for event in (events if isinstance(events, list) else events.tolist())]


class Fail(NamedTuple):
    """A message that makes a watched stage fail, or a `Feed`."""

    error: BaseException


# -- the two ends --


class Feed(Producer):
    """Gives sample batches, then ends, or stays open until it is told to end.

    Parameters
    ----------
    batches : sequence
        Batches.
    stays : bool
        Whether it stays open behind them.
    heard : list
        Takes the reasons of its cancelled subscriptions.
    """

    def __init__(self, batches: Sequence[Any], stays: bool, heard: list[Any]) -> None:
        self._batches, self._stays, self._heard = batches, stays, heard
        self._at = 0

    def handle_demand(self, demand: int) -> Any:
        """Give the next batch."""
        batch = None
        if self._at < len(self._batches):
            batch = self._batches[self._at]
            self._at += 1
        if self._at == len(self._batches) and not self._stays:
            self.finish()
        return batch

    def handle_info(self, message: Any) -> None:
        """Fail, or end."""
        if isinstance(message, Fail):
            raise message.error
        self.finish()

    def handle_cancel(self, reason: Any, subscription: Any) -> None:
        """Note the reason."""
        self._heard.append(reason)


class Heard:
    """What a `Hand` has heard, in order, and whether two calls were ever nested."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any, Any]] = []
        self.nested = False
        self.threads: set[int] = set()
        self.depths: set[int] = set()

    def events(self, subscription: Any = None) -> list[str]:
        """The events that came, on one subscription or on all, as texts."""
        return [event for what, source, events in self.log if what == "events"
                and subscription in (None, source) for event in events]

    def end(self, subscription: Any = None) -> Any:
        """Why the subscription ended, or OPEN."""
        ends = [reason for what, source, reason in self.log if what == "cancel" and subscription in (None, source)]
        return ends[0] if ends else OPEN


class Hand(Consumer):
    """Asks for nothing by itself, and writes down what it hears.

    Parameters
    ----------
    heard : Heard
        Where to.
    react : callable, optional
        Called with "subscribe" or "events" and the subscription, in that callback.
    """

    def __init__(self, heard: Heard, react: Callable[[str, Any], None] | None = None) -> None:
        self._heard, self._react = heard, react
        self._inside = False

    @contextmanager
    def _call(self, what: str, subscription: Any, content: Any) -> Iterator[None]:
        heard = self._heard
        heard.nested = heard.nested or self._inside
        heard.threads.add(threading.get_ident())
        self._inside = True
        heard.log.append((what, subscription, content))
        try:
            yield
        finally:
            self._inside = False

    def handle_subscribe(self, role: str, options: dict[str, Any], subscription: Any) -> str:
        """Note it, and ask by hand."""
        with self._call("subscribe", subscription, None):
            if self._react is not None:
                self._react("subscribe", subscription)
        return "manual"

    def handle_events(self, events: Any, source: Any) -> None:
        """Note the events."""
        with self._call("events", source, plain(events)):
            if self._react is not None:
                self._heard.depths.add(_stack_depth())
                self._react("events", source)

    def handle_cancel(self, reason: Any, subscription: Any) -> None:
        """Note the end."""
        with self._call("cancel", subscription, reason):
            pass


def _stack_depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


# -- the stage itself, watched --


class Watch:
    """Which callbacks of a stage were called, and what to do to them.

    Attributes
    ----------
    calls : list of (str, tuple)
        Callback and arguments, in order.
    inside : list of str
        Callbacks under way.
    manual : bool
        Have the stage ask for nothing by itself.
    failing : dict
        Errors to raise, by callback, once each.
    around_events : callable, optional
        Called with a batch before and after handle_events: ``around_events(events, "before")``.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.inside: list[str] = []
        self.manual = False
        self.failing: dict[str, BaseException] = {}
        self.around_events: Callable[[Any, str], None] | None = None

    def count(self, callback: str, subscription: Any = None) -> int:
        """How often a callback was called, for one subscription or at all."""
        return sum(name == callback and (subscription is None or any(arg is subscription for arg in args))
                   for name, args in self.calls)


def is_native(cls: type[Stage]) -> bool:
    """Whether a stage's events never reach Python."""
    return hasattr(cls, "make_kernel")


def watched(template: Stage, watch: Watch) -> Stage:
    """The same template, of a class whose callbacks are watched."""
    cls = type(template)
    names = ["handle_subscribe", "handle_cancel", "handle_info"]
    if kind_of(cls) != "producer":
        names.append("handle_end")
    if not is_native(cls):
        for name, base in (("handle_demand", Producer), ("handle_events", Consumer)):
            if getattr(cls, name, None) is not getattr(base, name) and hasattr(cls, name):
                names.append(name)
    space = {name: _watched_callback(name, getattr(cls, name), watch) for name in names}
    kind: Any = type(cls.__name__, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__, **space})
    given: Any = template
    stage: Stage = kind(*given._arguments, **given._keywords)
    return stage


def _watched_callback(name: str, original: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    def callback(self: Any, *args: Any) -> Any:
        if name == "handle_info" and args and isinstance(args[0], Fail):
            raise args[0].error
        watch.calls.append((name, args))
        if name in watch.failing:
            raise watch.failing.pop(name)
        watch.inside.append(name)
        around = watch.around_events if name == "handle_events" and watch.inside.count(name) == 1 else None
        try:
            if around is not None:
                around(args[0], "before")
            value = original(self, *args)
            if around is not None:
                around(args[0], "after")
        finally:
            watch.inside.pop()
        if name == "handle_subscribe" and watch.manual and args[0] == "producer":
            return "manual"
        return value

    callback.__name__ = name
    return callback


# -- the kit and its trials --


class Stream(NamedTuple):
    """All that a stage emits when it is asked for it.

    Attributes
    ----------
    events : list of list of str
        What each consumer got.
    ends : list
        Why each subscription ended, or OPEN.
    discarded : int
        Events that a bounded buffer had no room for.
    """

    events: list[list[str]]
    ends: list[Any]
    discarded: int

    @property
    def total(self) -> int:
        """Events that came, of all consumers."""
        return sum(len(events) for events in self.events)


class Kit:
    """A stage to be looked at, and what its user says of it; see `fastflow.testing.conformance`."""

    def __init__(
        self,
        make_stage: Callable[[], Stage],
        events: Sequence[Any],
        expected: int | None,
        endless: bool,
        failing: Callable[[], Stage] | None,
        options: dict[str, Any],
        subscribe: Sequence[dict[str, Any]],
        upstream: dict[str, Any],
        nudge: Callable[[Ref], object] | None,
        limit: int,
    ) -> None:
        self.make_stage = make_stage
        self.events = events
        self.expected = expected
        self.endless = endless
        self.failing = failing
        self.options = options
        self.subscribe = subscribe
        self.upstream = upstream
        self.nudge = nudge
        self.limit = limit
        template = self.template()
        self.cls = type(template)
        self.kind = kind_of(self.cls)
        self.emits, self.takes = self.cls._emits, self.cls._takes
        self.native = is_native(self.cls)
        own = {**template._own_options(), **options}
        #: Batches that are delivered whole take asks of at least so many events.
        self.unit = max(1, own.get("whole", self.cls.whole))
        self.cancel = upstream.get("cancel", "auto")
        self.sample_count = sum(len(batch) for batch in events)
        self._streams: dict[str, Stream] = {}

    def template(self, make: Callable[[], Stage] | None = None) -> Stage:
        """A fresh template."""
        template = (make or self.make_stage)()
        if not isinstance(template, Stage):
            raise TypeError(f"make_stage: got {type(template).__name__} from it, expected a stage; return a fresh "
                            "template, say lambda: Counter(0, 100)")
        return template

    def try_to_start(self) -> None:
        """Start the stage once: what its ``__init__`` or `setup` raises is no verdict."""
        Trial(self, None, None).stop()

    @contextmanager
    def trial(self, watch: Watch | None = None, feeds: int = 1, **options: Any) -> Iterator[Trial]:
        """A fresh stage with `feeds` producers, and consumers as the user said; stopped at the end."""
        trial = Trial(self, watch, options.pop("make", None))
        try:
            if self.emits:
                for given in options.pop("subscribe", self.subscribe):
                    trial.add_hand(**given)
            if self.takes:
                for _ in range(feeds):
                    trial.add_feed(**options)
            yield trial
        finally:
            trial.stop()

    def stream(self, ask: str) -> Stream:
        """What it emits: asked for all "at once", or "by ones"."""
        if ask not in self._streams:
            with self.trial() as trial:
                if ask == "at once":
                    trial.ask(self.limit)
                    trial.drive()
                else:
                    for _ in range(200):
                        if not trial.drive_on(self.unit):
                            break
                    trial.drive()
                self._streams[ask] = Stream([heard.events() for heard in trial.heard],
                                            [heard.end() for heard in trial.heard], trial.discarded)
        return self._streams[ask]

    @property
    def longest(self) -> Stream:
        """The longer of the two."""
        return max(self.stream("at once"), self.stream("by ones"), key=lambda stream: stream.total)

    @property
    def total(self) -> int:
        """How many events there are to be had, as far as is known."""
        return self.longest.total

    @property
    def ends_with_input(self) -> bool:
        """Whether a normal end of its producers ends the stage."""
        return not self.takes or self.cancel in ("auto", "permanent")


class Trial:
    """One stage in a runtime of its own.

    Attributes
    ----------
    stage : Ref
        The one on trial.
    outputs : list of Subscription
        Of the hands, in their order.
    inputs : list of Subscription
        To the feeds, in their order.
    at_rest : threading.Event
        Set when nothing moves any more in a `race`.
    """

    def __init__(self, kit: Kit, watch: Watch | None, make: Callable[[], Stage] | None) -> None:
        self.kit = kit
        self.clock = ManualClock()
        self.rt = Runtime(clock=self.clock)
        template = kit.template(make)
        self.stage = self.rt.start(template if watch is None else watched(template, watch), **kit.options)
        self.hands: list[Ref] = []
        self.heard: list[Heard] = []
        self.outputs: list[Subscription] = []
        self.feeds: list[Ref] = []
        self.told: list[list[Any]] = []
        self.at_rest = threading.Event()
        self.inputs: list[Subscription] = []

    # -- the ends --

    def add_hand(self, react: Callable[[str, Any], None] | None = None, **given: Any) -> Subscription:
        """Start another consumer and subscribe it to the stage."""
        heard = Heard()
        hand = self.rt.start(Hand(heard, react))
        try:
            edge = hand.subscribe(self.stage, **self.hand_options(given))
        except Exception as error:
            raise SetUpFailed("1.9", error) from error
        self.hands.append(hand)
        self.heard.append(heard)
        self.outputs.append(edge)
        return edge

    def hand_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Options of a subscription of a hand: it survives the end of the stage."""
        return {"max_demand": max(CAPACITY, self.kit.unit), "cancel": "temporary", **given}

    def add_feed(self, batches: Sequence[Any] | None = None, stays: bool = False, **given: Any) -> Subscription:
        """Start another producer, of the samples, and subscribe the stage to it."""
        told: list[Any] = []
        feed = self.rt.start(Feed(self.kit.events if batches is None else batches, stays, told))
        return self.subscribe_to(feed, told, **given)

    def subscribe_to(self, feed: Ref, told: list[Any], **given: Any) -> Subscription:
        """Subscribe the stage to a producer that is there."""
        try:
            edge = self.stage.subscribe(feed, **{**self.kit.upstream, **given})
        except Exception as error:
            raise SetUpFailed("2.13", error) from error
        self.feeds.append(feed)
        self.told.append(told)
        self.inputs.append(edge)
        return edge

    # -- what happens --

    def ask(self, n: int) -> None:
        """Ask for `n` events on the subscription of each hand."""
        for edge in self.outputs:
            edge.ask(n)

    def drive(self, until: Callable[[], bool] | None = None, each: Callable[[], None] | None = None) -> None:
        """Take turns until nothing moves, or `until`; `each` is called after every turn."""
        with self.rt.driving():
            self._drive(until, each)

    def drive_on(self, n: int) -> bool:
        """Ask for `n` events and take turns until some are sent; False: none came."""
        before = self.sent
        self.ask(n)
        self.drive(lambda: self.sent > before)
        return self.sent > before

    def _drive(self, until: Callable[[], bool] | None = None, each: Callable[[], None] | None = None) -> None:
        scheduler = self.rt.scheduler
        still = timers = 0
        while until is None or not until():
            before = self.progress
            taken = scheduler.run(1 if each is not None or until is not None else 64)
            if each is not None:
                each()
            if self.progress != before:
                still = timers = 0
                continue
            still += taken
            if still > STILL_TURNS:
                raise Broken(
                    f"{still:,} turns without an event sent or handled, and no end of them while the clock stood still",
                    "it comes to rest", "wait with self.after(seconds, ...), not by sending yourself messages at once")
            if taken or not scheduler.idle:
                continue
            due = scheduler.next_due()
            if due is not None and timers < IDLE_TIMERS:
                self.clock.seconds = max(self.clock.seconds, due)
                still, timers = 0, timers + 1
            elif not self._nudged():
                return

    def _nudged(self) -> bool:
        """Whether the user's nudge brought the stage to emit something more."""
        if self.kit.nudge is None or not self.stage.alive or not any(_wants(edge) for edge in self.outputs):
            return False
        before = self.stage.statistics()["emitted"]
        self.kit.nudge(self.stage)
        self.rt.scheduler.run()
        return self.stage.statistics()["emitted"] > before

    @property
    def sent(self) -> int:
        """Events sent to the hands."""
        return sum(edge.counters[1] for edge in self.outputs)

    @property
    def progress(self) -> int:
        """A number that grows with each event sent or handled, and with each end."""
        edges = self.outputs + self.inputs
        return sum(edge.counters[1] + edge.counters[2] + edge.closed for edge in edges)

    @property
    def received(self) -> int:
        """Events that the hands have got."""
        return sum(len(heard.events()) for heard in self.heard)

    @property
    def discarded(self) -> int:
        """Events that the stage's buffer had no room for."""
        return self.stage._seat.place.discarded

    @property
    def failure(self) -> BaseException | None:
        """What the stage failed with, if it did."""
        reason = None if self.stage.alive else self.stage.join()
        return reason if isinstance(reason, BaseException) else None

    def race(self, functions: Sequence[Callable[[], object]]) -> None:
        """Run functions in threads of their own, all at once, while this one drives."""
        ready = threading.Barrier(len(functions) + 1)
        errors: list[BaseException] = []

        def run(function: Callable[[], object]) -> None:
            try:
                ready.wait(DEADLINE_S)
                function()
            except BaseException as error:  # noqa: BLE001  raised below, in the caller's thread
                errors.append(error)

        threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
        until = time.monotonic() + DEADLINE_S
        with self.rt.driving():
            for thread in threads:
                thread.start()
            ready.wait(DEADLINE_S)
            try:
                self._drive()
            finally:
                self.at_rest.set()
            while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
                self._drive()
                threads[0].join(0.001)
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
            self._drive()
        if errors:
            raise Broken(say(errors[0]), "ask and cancel may be called from any thread", "see its traceback") \
                from errors[0]
        if any(thread.is_alive() for thread in threads):
            raise Broken(f"threads still at work after {DEADLINE_S} s", "they are done", "see what they wait for")

    def stop(self) -> None:
        """Stop everything, without a word about what is left."""
        self.rt.failures.clear()
        self.rt._stop_all(warn=False)
        self.rt.failures.clear()


def came(trial: Trial, events: int, when: str) -> None:
    """At least so many events must have come, if the stage has so many; what a bounded buffer discards counts."""
    wanted = min(events, trial.kit.total)
    if trial.received + trial.discarded < wanted:
        raise Broken(f"{trial.received} events {when}, then {say(trial.heard[0].end())}", f"at least {wanted}",
                     "answer every demand that there are events for; it is all that is asked and not yet sent")


def unharmed(trial: Trial, when: str) -> None:
    """The stage must not have failed."""
    if trial.failure is not None:
        raise Broken(f"{when}, the stage failed: {say(trial.failure)}", "it goes on, or ends normally",
                     "mend the callback that failed")


def _wants(edge: Subscription) -> bool:
    asked, sent, _ = edge.counters
    return not edge.closed and asked > sent


def copy_of(events: Any) -> Any:
    """What a batch holds, to compare it with later."""
    if isinstance(events, Batch):
        return [np.asarray(events[name]).tobytes() for name in events.columns]
    return list(map(repr, events)) if isinstance(events, list) else np.asarray(events).tobytes()
