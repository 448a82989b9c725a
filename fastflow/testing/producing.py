"""Rules 1.1 to 1.11: what a producer owes its consumers.

Each check gets a `Kit`, and raises `Broken` with what it found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from fastflow.errors import FastflowError
from fastflow.testing.trial import OPEN, OURS, Broken, Fail, Kit, NotLooked, SetUpFailed, Trial, Watch, came, say

__all__ = ["CHECKS", "shares_of"]

#: Asks that every producer must be able to answer: one, a few, an odd number, more than most batches.
ASKS = (1, 2, 7, 1000)


def in_steps(kit: Kit, each: Callable[[Trial], None]) -> None:
    """Ask for 1, 2, 7 and 1000 events, and look after every turn."""
    with kit.trial() as trial:
        for n in ASKS:
            trial.ask(n)
            trial.drive(each=lambda: each(trial))


def never_more_than_asked(kit: Kit) -> None:
    """1.1."""

    def look(trial: Trial) -> None:
        for heard, edge in zip(trial.heard, trial.outputs, strict=True):
            asked, sent, acked = edge.counters
            got = len(heard.events())
            if not acked <= sent <= asked <= sum(ASKS) or got > sent:
                raise Broken(f"asked {asked}, sent {sent}, acked {acked}, and {got} events came",
                             f"acked <= sent <= asked <= {sum(ASKS)}", OURS)

    in_steps(kit, look)


def sends_what_it_has(kit: Kit) -> None:
    """1.2."""
    if kit.endless:
        raise NotLooked("it is endless: it never has fewer events than were asked for")
    small, large = kit.stream("by ones"), kit.stream("at once")
    if large.total + large.discarded < small.total:
        raise Broken(f"{large.total} events for one ask of {kit.limit:,}, and {small.total} for asks of {kit.unit}",
                     f"all {small.total} for the large ask",
                     "emit what there is, min(demand, what is left), and then call finish()")
    if kit.expected is not None and large.total + large.discarded != kit.expected:
        raise Broken(f"{large.total} events, then {large.ends[0]!r}", f"{kit.expected} events, as `expected` says",
                     "emit them all before finish(), or mend `expected`")


def one_call_after_the_other(kit: Kit) -> None:
    """1.3."""

    def look(trial: Trial) -> None:
        for heard in trial.heard:
            if heard.nested or len(heard.threads) > 1:
                raise Broken(f"nested calls: {heard.nested}, threads: {len(heard.threads)}",
                             "one call after the other, on one thread", OURS)

    in_steps(kit, look)


def failure_is_told(kit: Kit) -> None:
    """1.4."""
    for asked in (0, 3 * kit.unit):
        for callback in ("handle_info", "handle_demand" if kit.kind == "producer" else "handle_events"):
            watch, error = Watch(), RuntimeError("made to fail, to see who hears of it")
            with kit.trial(watch, stays=True) as trial:
                if asked:
                    trial.ask(asked)
                    trial.drive()
                if callback == "handle_info" and trial.stage.alive:
                    trial.stage.info(Fail(error))
                elif callback != "handle_info":
                    watch.failing[callback] = error
                    trial.ask(kit.unit)
                trial.drive()
                if trial.failure is not error:
                    if callback == "handle_info" and trial.stage.alive:
                        raise Broken(f"{trial.stage!r} after an error in a callback", f"ended with {error!r}",
                                     "don't catch what a callback of your own didn't raise")
                    continue                            # it had ended before, or is not called that way
                for heard in trial.heard:
                    if heard.end() is not error:
                        raise Broken(f"a consumer heard {say(heard.end())}", f"{error!r}, as the stage failed with it",
                                     "raise the error in the callback, and let it leave it")
    if kit.failing is not None:
        with kit.trial(make=kit.failing) as trial:
            trial.ask(kit.limit)
            trial.drive()
            ends = [heard.end() for heard in trial.heard]
            if not all(isinstance(end, BaseException) for end in ends):
                raise Broken(f"consumers heard {ends[0]!r} from a stage that fails",
                             "the error that it failed with",
                             "let the error leave the callback; a finish() after it says that all is well")


def end_is_told(kit: Kit) -> None:
    """1.5."""
    if kit.endless:
        raise NotLooked("it is endless: there is no end to look at")
    if not kit.ends_with_input:
        raise NotLooked(f"cancel={kit.cancel!r}: it doesn't end with its producers")
    stream = kit.longest
    end = next((end for end in stream.ends if end != "normal"), "normal")
    if isinstance(end, BaseException):
        raise Broken(f"{stream.total} events, then {say(end)}", "a normal end", "mend the error")
    if end != "normal":
        raise Broken(f"{end} after {stream.total} events, when nothing moved any more and more was asked for"
                     if stream.total < kit.limit else f"{stream.total:,} events, and no end in sight",
                     "a normal end",
                     "call finish() with the last event, or give endless=True, or a greater limit, if that is meant")


def closed_by_the_end(kit: Kit) -> None:
    """1.6."""
    with kit.trial() as trial:
        _to_the_end(trial)
        for edge in trial.outputs:
            if not edge.closed or edge in trial.rt.subscriptions():
                raise Broken(f"{edge!r} after the end", "closed, and off the list of subscriptions",
                             OURS)


def nothing_after_the_end(kit: Kit) -> None:
    """1.7."""
    with kit.trial() as trial:
        _to_the_end(trial)
        before = [list(heard.log) for heard in trial.heard]
        trial.ask(10)
        trial.stage.info("are you there?")
        for _ in range(2):
            trial.drive()
            trial.clock.advance(3600)
        for heard, log in zip(trial.heard, before, strict=True):
            if heard.log != log:
                raise Broken(f"{heard.log[len(log)]!r} after the end", "nothing",
                             OURS)


def _to_the_end(trial: Trial) -> None:
    """Ask for all of it; stop a stage that doesn't end by itself."""
    trial.ask(100 if trial.kit.endless else trial.kit.limit)
    trial.drive()
    if trial.stage.alive:
        trial.stage.stop()
        trial.drive()


def silent_after_a_cancel(kit: Kit) -> None:
    """1.8."""
    for in_flight in (True, False):
        with kit.trial() as trial:
            trial.drive_on(3 * kit.unit)
            if not in_flight:
                trial.drive()
            edge, heard = trial.outputs[0], trial.heard[0]
            edge.cancel()
            before = len(heard.events())
            trial.ask(10)
            trial.drive()
            if len(heard.events()) != before:
                raise Broken(f"{len(heard.events()) - before} events after the cancel", "none",
                             OURS)


def subscribing_returns_normally(kit: Kit) -> None:
    """1.9."""
    with kit.trial() as trial:
        try:
            trial.hands[0].subscribe(None)  # type: ignore[arg-type]
        except TypeError:
            pass
        else:
            raise Broken("a subscription to None", "a TypeError", OURS)
        trial.ask(3 * kit.unit)
        trial.drive()
        for heard in trial.heard:
            if not heard.log or heard.log[0][0] != "subscribe":
                raise Broken(f"{heard.log[:1]!r} first", "handle_subscribe before everything else",
                             OURS)
        came(trial, 3, "after a subscription to None was refused")


def subscribed_twice(kit: Kit) -> None:
    """1.10."""
    with kit.trial() as trial:
        first, heard = trial.outputs[0], trial.heard[0]
        try:
            second = trial.hands[0].subscribe(trial.stage, **trial.hand_options(kit.subscribe[0]))
        except FastflowError:
            second = None
        n = 5 * kit.unit
        for edge in [*trial.outputs, second]:
            if edge is not None:
                edge.ask(n)
        trial.drive()
        got = trial.received
        if trial.failure is not None or got < min(n, kit.total) or (first.closed and heard.end(first) == OPEN):
            raise Broken(
                f"{got} events after a second subscription of the same consumer, then {say(heard.end(first))}",
                f"the first subscription goes on, and at least {min(n, kit.total)} events come",
                "raise in handle_subscribe to refuse a subscription; leave the others alone")
        for edge in (first, second):
            if edge is None or edge.closed:
                continue
            asked, wanted = edge.counters[0], min(n, edge.counters[2] + edge.capacity)
            if asked != wanted:
                raise Broken(f"{asked} asked on one of two subscriptions", f"{wanted} on each",
                             OURS)


def dispatcher_decides(kit: Kit) -> None:
    """1.11."""
    options = list(kit.subscribe) if len(kit.subscribe) > 1 else [kit.subscribe[0], kit.subscribe[0]]
    try:
        with kit.trial(subscribe=options):
            pass
    except SetUpFailed:
        return                                          # for one consumer only: that is its dispatcher's decision
    complete = kit.longest.total < kit.limit and not kit.endless
    for late in (False, True):
        for by in (kit.unit, kit.limit if complete else 100 * kit.unit):
            if late and len(kit.subscribe) > 1:
                continue                                # with a place for each, nobody comes late
            with kit.trial(subscribe=options[:1] if late else options) as trial:
                if late:
                    trial.ask(2 * kit.unit)
                    trial.drive()
                    trial.add_hand(**options[1])
                for _ in range(1 if by > kit.unit else min(200, 2 * kit.total + 2)):
                    trial.ask(by)
                    trial.drive()
                _shared(kit, trial, complete and (by > kit.unit or kit.total <= 200), late)


def _shared(kit: Kit, trial: Trial, complete: bool, late: bool) -> None:
    """What the consumers got, against what there was."""
    parts = [heard.events() for heard in trial.heard]
    there = kit.longest.events
    shares = shares_of(kit)
    if trial.discarded or kit.longest.discarded:
        return                                          # what there is depends on when it is asked for
    if shares != "one" and all(_is_part(part, there[0]) for part in parts):
        picky = any("selector" in given or given.get("lag", "block") != "block" for given in kit.subscribe)
        if shares is None or picky or late or not complete or all(part == there[0] for part in parts):
            return
    if shares != "all":
        got, all_there = Counter(sum(parts, [])), Counter(sum(there, []))
        if _is_repeatable(kit):
            if got == all_there if complete else got <= all_there:
                return
        elif not complete or got.total() == all_there.total() or not _is_countable(kit):
            return
    when = "one of them late" if late else "both from the start"
    lost = Counter(sum(there, [])) - Counter(sum(parts, []))
    more = Counter(sum(parts, [])) - Counter(sum(there, []))
    raise Broken(
        f"{len(parts)} consumers, {when}, got {', '.join(str(len(part)) for part in parts)} of {sum(map(len, there))} "
        f"events; lost {list(lost.elements())[:3]}, too many {list(more.elements())[:3]}",
        "each event for " + {"one": "one of them", "all": "all of them", None: "one or all of them"}[shares],
        "emit each event once, whoever subscribes; who gets it is for the dispatcher to say")


def _is_part(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(event in rest for event in part)


def _is_repeatable(kit: Kit) -> bool:
    """Whether the stage emits the same events each time, however it is asked."""
    one, other = kit.stream("at once").events, kit.stream("by ones").events
    if len(one) == 1:
        return one[0][: len(other[0])] == other[0][: len(one[0])]
    return not _is_countable(kit) or Counter(sum(one, [])) == Counter(sum(other, []))


def _is_countable(kit: Kit) -> bool:
    """Whether it emits the same number of events, however it is asked, as far as can be seen."""
    return kit.stream("at once").total == kit.stream("by ones").total


def shares_of(kit: Kit) -> str | None:
    """Each event is for "one" consumer or for "all", as the stage's dispatcher has it; None: it alone knows."""
    dispatcher: Any = kit.options.get("dispatcher", getattr(kit.cls, "dispatcher", None))
    name = dispatcher if isinstance(dispatcher, str) else type(dispatcher).__name__
    known = {"NoneType": "one", "demand": "one", "DemandDispatcher": "one", "PartitionDispatcher": "one",
             "broadcast": "all", "BroadcastDispatcher": "all"}
    return known.get(name)


CHECKS: dict[str, Callable[[Kit], None]] = {
    "1.1": never_more_than_asked,
    "1.2": sends_what_it_has,
    "1.3": one_call_after_the_other,
    "1.4": failure_is_told,
    "1.5": end_is_told,
    "1.6": closed_by_the_end,
    "1.7": nothing_after_the_end,
    "1.8": silent_after_a_cancel,
    "1.9": subscribing_returns_normally,
    "1.10": subscribed_twice,
    "1.11": dispatcher_decides,
}
