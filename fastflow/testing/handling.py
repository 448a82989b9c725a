"""Rules 2.1 to 2.13, 4.1 and 4.2: what a consumer owes its producers, and a producer_consumer both sides.

Each check gets a `Kit`, and raises `Broken` with what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fastflow.runtime import Subscription
from fastflow.testing.trial import (
    OPEN,
    OURS,
    Broken,
    Fail,
    Feed,
    Kit,
    NotLooked,
    SetUpFailed,
    Trial,
    Watch,
    copy_of,
    say,
    unharmed,
)

__all__ = ["CHECKS"]

@contextmanager
def fed(kit: Kit, watch: Watch | None = None, feeds: int = 1, **options: Any) -> Iterator[Trial]:
    """A trial whose consumers, if it has any, ask for all there is."""
    with kit.trial(watch, feeds, **options) as trial:
        trial.ask(kit.limit)
        yield trial


def in_flight(trial: Trial) -> bool:
    """Whether events wait in the stage's input."""
    return any(edge.counters[1] > edge.counters[2] for edge in trial.inputs)


def asks_for_its_events(kit: Kit) -> None:
    """2.1."""
    with fed(kit) as trial:
        trial.drive()
        asked, sent, acked = trial.inputs[0].counters
        if acked < kit.sample_count and trial.stage.alive:
            raise Broken(f"asked {asked}, sent {sent}, acked {acked} of {kit.sample_count} events, and nothing moves",
                         "all of them asked for and handled",
                         'call subscription.ask(n), or return "automatic" from handle_subscribe')
    watch = Watch()
    watch.manual = True
    with fed(kit, watch, stays=True) as trial:
        trial.drive()
        asked, sent, _ = trial.inputs[0].counters
        if sent > asked:
            raise Broken(f"{sent} events for {asked} asked", "no more than asked", OURS)


@contextmanager
def calls_on(watch: Watch, edge: Subscription) -> Iterator[list[tuple[str, str]]]:
    """Which of ask and cancel are called on a subscription, and in which callback."""
    calls: list[tuple[str, str]] = []

    def listen(original: Callable[..., None], name: str) -> Callable[..., None]:
        def call(subscription: Subscription, *args: Any, **keywords: Any) -> None:
            if subscription is edge:
                calls.append((name, watch.inside[-1] if watch.inside else "no callback"))
            original(subscription, *args, **keywords)

        return call

    # A subscription has no attributes of its own, so its class is listened to for as long as the trial takes.
    kind: Any = type(edge)
    originals = {name: getattr(kind, name) for name in ("ask", "cancel")}
    for name, original in originals.items():
        setattr(kind, name, listen(original, name))
    try:
        yield calls
    finally:
        for name, original in originals.items():
            setattr(kind, name, original)


def no_calls_at_the_end(kit: Kit) -> None:
    """2.3."""
    for how in ("end", "fail", "cancel"):
        watch = Watch()
        with fed(kit, watch, stays=True) as trial, calls_on(watch, trial.inputs[0]) as calls:
            trial.drive()
            if how == "cancel":
                Subscription.cancel(trial.inputs[0])
            else:
                trial.feeds[0].info(Fail(RuntimeError("the producer failed")) if how == "fail" else "end")
            trial.drive()
            late = [call for call in calls if call[1] in ("handle_cancel", "handle_end")]
            if late:
                raise Broken(f"{late[0][0]}() of the subscription that has ended, in {late[0][1]}", "no call on it",
                             "leave it alone: it has ended already")


def no_calls_after_the_end(kit: Kit) -> None:
    """2.4."""
    watch = Watch()
    try:
        with fed(kit, watch, feeds=2, stays=True) as trial, calls_on(watch, trial.inputs[0]) as calls:
            trial.drive()
            trial.feeds[0].info("end")
            trial.drive()
            del calls[:]
            trial.clock.advance(1)
            trial.drive()
            trial.feeds[1].info("end")
            trial.drive()
            if calls:
                raise Broken(f"{calls[0][0]}() of a subscription after its end, in {calls[0][1]}", "no call on it",
                             "forget the subscription in handle_cancel")
    except SetUpFailed:
        return                                          # one producer only: there is none to go on with


def second_producer(kit: Kit) -> None:
    """2.5."""
    with fed(kit) as trial:
        with suppress(SetUpFailed):
            trial.add_feed()
        trial.drive()
        for number, edge in enumerate(trial.inputs):
            if edge.counters[2] < kit.sample_count and (trial.stage.alive or trial.failure is not None):
                if number and edge.closed:
                    continue                            # refused, by a cancel
                raise Broken(f"{edge.counters[2]} of {kit.sample_count} events of producer {number + 1} of 2 handled, "
                             f"then {say(trial.failure) if trial.failure else 'nothing moves'}",
                             "both are served, or the second is refused",
                             "ask on each subscription, or raise in handle_subscribe when there is one already")


def cancels_when_done(kit: Kit) -> None:
    """2.6."""
    with fed(kit, stays=True) as trial:
        trial.drive(lambda: in_flight(trial))
        if trial.stage.alive:
            trial.stage.stop()
        trial.drive()
        if not trial.inputs[0].closed or len(trial.told[0]) != 1:
            raise Broken(f"{trial.inputs[0]!r} after the stage has ended; its producer heard {trial.told[0]}",
                         "a closed subscription, and one word to the producer", OURS)


def asks_from_threads(kit: Kit) -> None:
    """2.7."""
    watch = Watch()
    watch.manual = True
    with kit.trial(watch, batches=[], stays=True, max_demand=1 << 15, min_demand=0) as trial:
        trial.drive()
        edge = trial.inputs[0]
        before = edge.wanted                    # beyond the capacity too: the stage may have asked for all of that
        if not trial.stage.alive:
            return

        def ask() -> None:
            for _ in range(1000):
                edge.ask(1)

        trial.race([ask] * 8)
        asked = edge.wanted - before
        if asked < 8000 or (asked > 8000 and not before):
            raise Broken(f"asked {asked} after 1000 asks for 1 from each of 8 threads", "8000", OURS)


def in_flight_at_a_cancel(kit: Kit) -> None:
    """2.8."""
    watch = Watch()
    with fed(kit, watch, stays=True) as trial:
        trial.drive(lambda: in_flight(trial))
        edge = trial.inputs[0]
        edge.cancel()
        handled = watch.count("handle_events", edge)
        trial.drive()
        numbers = trial.feeds[0].statistics()
        if watch.count("handle_events", edge) != handled:
            raise Broken("handle_events after the cancel", "no event of that subscription", OURS)
        if numbers["emitted"] != edge.counters[2] + numbers["buffered"]:
            raise Broken(f"{numbers['emitted']} emitted, {edge.counters[2]} handled, {numbers['buffered']} back",
                         "what was not handled is back at the producer", OURS)


def normal_end(kit: Kit) -> None:
    """2.9."""
    for which in ("without events", "that had ended before", "with events"):
        with fed(kit, feeds=0) as trial:
            if which == "that had ended before":
                feed = trial.rt.start(Feed([], True, []))
                trial.drive()
                feed.stop("normal")
                trial.subscribe_to(feed, [])
            else:
                trial.add_feed(batches=[] if which == "without events" else None)
            trial.drive()
            unharmed(trial, f"at the normal end of a producer {which}")
            if kit.ends_with_input and trial.stage.alive and not trial.feeds[0].alive:
                raise Broken(f"{trial.stage!r} after the end of its only producer, one {which}", "a normal end",
                             "don't wait for what can't come any more: there is no event, message or timer on its way")
            if not kit.ends_with_input and not trial.stage.alive:
                raise Broken(f"{trial.stage!r} with cancel={kit.cancel!r}", "it goes on", OURS)


def failure_is_taken(kit: Kit) -> None:
    """2.10."""
    for when in ("before", "after"):
        error = RuntimeError("the producer was made to fail")
        with fed(kit, stays=True, batches=[] if when == "before" else None) as trial:
            trial.drive()
            if not trial.stage.alive:
                continue
            trial.feeds[0].info(Fail(error))
            trial.drive()
            _ends_by(kit, trial, error, f"{when} its events")


def _ends_by(kit: Kit, trial: Trial, error: BaseException, when: str) -> None:
    """A stage ends by the failure of its producer, or survives it, as its subscription says."""
    reason = OPEN if trial.stage.alive else trial.stage.join()
    if kit.cancel == "temporary":
        if reason != OPEN:
            raise Broken(f"the stage ended with {say(reason)}, its producer having failed {when}",
                         "it goes on, with cancel='temporary'", "mend the callback that failed")
    elif reason is not error:
        raise Broken(f"the stage {'goes on' if reason == OPEN else 'ended with ' + say(reason)}, its producer having "
                     f"failed {when}", f"it ends with {error!r}",
                     "let handle_cancel and terminate take an error for a reason; to survive it, subscribe with "
                     "cancel='temporary'")


def batches_stay(kit: Kit) -> None:
    """2.11."""
    watch = Watch()
    kept: list[tuple[Any, Any]] = []
    found: list[str] = []

    def look(events: Any, when: str) -> None:
        if when == "before":
            kept.append((events, copy_of(events)))
        elif copy_of(events) != kept[-1][1]:
            found.append("a batch that had changed when handle_events returned")

    watch.around_events = look
    with fed(kit, watch) as trial:

        def read() -> None:
            at_rest = False
            while not at_rest:
                at_rest = trial.at_rest.is_set()        # one more look after that
                for events, copy in kept[-3:]:
                    if copy_of(events) != copy:
                        found.append("a batch that was changed while another thread read it")

        trial.race([read])
        found += ["a kept batch that had changed at the end" for events, copy in kept if copy_of(events) != copy]
        if found:
            raise Broken(found[0], "the events as they came", "write to a copy: events.copy(), or list(events)")


def subscribed_once(kit: Kit) -> None:
    """2.12."""
    watch = Watch()
    with fed(kit, watch) as trial:
        trial.drive()
        edge = trial.inputs[0]
        calls = [name for name, args in watch.calls
                 if name in ("handle_subscribe", "handle_events") and any(arg is edge for arg in args)]
        if calls[:1] != ["handle_subscribe"] or calls.count("handle_subscribe") != 1:
            raise Broken(f"calls {calls[:3]}", "handle_subscribe once, and first", OURS)


def callbacks_return(kit: Kit) -> None:
    """2.13."""
    with fed(kit) as trial:
        trial.drive()
        unharmed(trial, "given the samples")
        if trial.stage._seat.has_warned("return"):
            raise Broken("something returned from a callback, which was dropped", "None: a consumer emits nothing",
                         "make it an ff.ProducerConsumer, or return None")
    with fed(kit, stays=True) as trial:
        trial.drive()
        trial.inputs[0].cancel()
        trial.drive()
        unharmed(trial, "at a cancel")
    for callback in ("handle_events", "handle_cancel", "handle_info"):
        watch, error = Watch(), RuntimeError("made to fail, to see who hears of it")
        watch.failing[callback] = error
        with fed(kit, watch, stays=True) as trial:
            if callback == "handle_info":
                trial.stage.info(Fail(error))
            elif callback == "handle_cancel":
                try:
                    trial.add_feed(stays=True)
                except SetUpFailed:
                    continue                            # one producer only: at a cancel, there is none left to tell
            trial.drive()
            if callback == "handle_cancel" and trial.stage.alive:
                trial.inputs[0].cancel()
                trial.drive()
            if callback in watch.failing and callback != "handle_info":
                continue                                # never called: a native stage, or one that has ended
            if trial.failure is not error and (callback == "handle_info" or not trial.stage.alive):
                raise Broken(f"{trial.stage!r} after {callback} failed", f"ended with {error!r}",
                             "let the error leave the callback")
            if trial.failure is error and error not in trial.told[-1]:
                raise Broken(f"the producer heard {trial.told[-1]} after {callback} failed", f"{error!r}", OURS)
    if kit.failing is not None:
        with fed(kit, make=kit.failing) as trial:
            trial.drive()
            if trial.failure is None:
                raise Broken(f"{trial.stage!r}, which is to fail", "it ends with its error",
                             "let the error leave the callback")


# -- both sides --


def both_sides(kit: Kit) -> None:
    """4.1, its own part: back-pressure is passed on."""
    with kit.trial(stays=True, batches=list(kit.events) * 20) as trial:
        trial.drive()
        asked, _, acked = trial.inputs[0].counters
        if trial.received or trial.sent:
            raise Broken(f"{trial.received} events, though nobody has asked", "none", OURS)
        most = trial.inputs[0].capacity + acked
        if asked > most:
            raise Broken(f"asked {asked} upstream, {acked} handled, though nobody asks", f"at most {most}", OURS)


def failure_is_passed_on(kit: Kit) -> None:
    """4.2."""
    error = RuntimeError("the producer was made to fail")
    with fed(kit, stays=True) as trial:
        trial.drive()
        if not trial.stage.alive:
            raise NotLooked("it ends by itself before its producer fails")
        before = trial.received
        trial.feeds[0].info(Fail(error))
        trial.drive()
        end = trial.heard[0].end()
        if kit.cancel == "temporary":
            if end != OPEN:
                raise Broken(f"its consumer heard {say(end)}", "nothing, with cancel='temporary'",
                             "mend the callback that failed")
            trial.add_feed()
            trial.drive()
            if trial.inputs[1].counters[2] < kit.sample_count:
                raise Broken(f"{trial.inputs[1].counters[2]} of {kit.sample_count} events of the next producer handled",
                             "all of them", "keep asking: a failed producer is only one of several")
        elif end is not error:
            raise Broken(f"its consumer heard {say(end)}", f"{error!r}, as its producer failed with it",
                         "let handle_cancel take an error for a reason; to survive it, give cancel='temporary'")
        if trial.received < before:
            raise Broken(f"{trial.received} events", f"at least {before}", OURS)


CHECKS: dict[str, Callable[[Kit], None]] = {
    "2.1": asks_for_its_events,
    "2.3": no_calls_at_the_end,
    "2.4": no_calls_after_the_end,
    "2.5": second_producer,
    "2.6": cancels_when_done,
    "2.7": asks_from_threads,
    "2.8": in_flight_at_a_cancel,
    "2.9": normal_end,
    "2.10": failure_is_taken,
    "2.11": batches_stay,
    "2.12": subscribed_once,
    "2.13": callbacks_return,
    "4.1": both_sides,
    "4.2": failure_is_passed_on,
}
