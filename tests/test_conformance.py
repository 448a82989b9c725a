"""The conformance kit: what it says of good stages, and that it finds what is wrong with bad ones."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers_stage import Counter, Total

import fastflow as ff
from fastflow.testing import Recorder, Report, Script, conformance
from fastflow.testing.rules import RULES

NUMBERS = [np.arange(5), np.arange(3), np.arange(7)]
WORDS = [["to", "be"], ["or"], ["not", "to", "be"]]
PRICES = [ff.Batch(price=np.arange(3.0), qty=np.arange(3)), ff.Batch(price=np.ones(2), qty=np.ones(2, int))]


class Double(ff.ProducerConsumer):
    dtype = "int64"

    def handle_events(self, events, source):
        out = self.claim(2 * len(events))
        out[::2] = out[1::2] = events
        return out


class ByHand(ff.Consumer):
    """Asks for two events at a time, on each of its subscriptions."""

    def handle_subscribe(self, role, options, subscription):
        subscription.ask(2)
        return "manual"

    def handle_events(self, events, source):
        source.ask(len(events))


class OnlyOne(ff.Consumer):
    """Refuses a second producer."""

    def __init__(self):
        self.have = 0

    def handle_subscribe(self, role, options, subscription):
        self.have += 1
        if self.have > 1:
            raise ff.GraphError("a second producer: expected one; start another stage")
        return "automatic"

    def handle_events(self, events, source):
        return None


class FirstOf(ff.ProducerConsumer):
    """Passes on so many events, and ends."""

    def __init__(self, most):
        self.left = most

    def handle_events(self, events, source):
        events = events[: self.left]
        self.left -= len(events)
        if not self.left:
            self.finish()
        return events


class Ticker(ff.Producer):
    """An event an hour."""

    dtype = "int64"

    def setup(self):
        self.after(3600, "tick")

    def handle_info(self, message):
        if message == "tick" and self.emitted < 20:
            self.after(3600, "tick")
            return np.array([self.emitted])
        if message == "tick":
            self.finish()
        return None


class Told(ff.Producer):
    """Emits what it is told."""

    dtype = "int64"

    def handle_cast(self, request):
        return request


class StopsWhenLeft(Counter):
    def handle_cancel(self, reason, subscription):
        self.finish()


class Retries(ff.Consumer):
    def __init__(self):
        self.tried = False

    def handle_events(self, events, source):
        self.tried = not self.tried
        if self.tried:
            raise ff.Retry(after=60)


class ByChunks(ff.Producer):
    """What it emits, and how much of it, depends on how it is asked; and it puts its turns off."""

    def __init__(self):
        self.calls = 0

    def handle_demand(self, demand):
        self.calls += 1
        if self.calls % 3 == 1:
            raise ff.Retry(after=5)
        if self.emitted >= 20:
            self.finish()
            return None
        return np.arange(min(demand, 3))


class Noise(ff.Producer):
    dtype = "float64"

    def handle_demand(self, demand):
        return self.rng.random(demand)


class Burst(ff.Producer):
    dtype = "int64"

    def handle_demand(self, demand):
        self.finish()
        return np.arange(500)


class HoldsAll(ff.ProducerConsumer):
    def __init__(self):
        self.held = []

    def handle_events(self, events, source):
        self.held.append(events)

    def handle_end(self):
        return np.concatenate(self.held) if self.held else None


class AsksLater(ff.Consumer):
    """Asks for the next event a second after the last."""

    def handle_subscribe(self, role, options, subscription):
        subscription.ask(1)
        return "manual"

    def handle_events(self, events, source):
        self.after(1, source)

    def handle_info(self, message):
        if not isinstance(message, str) and not message.closed:
            message.ask(1)


class SaysSo(Counter):
    def handle_demand(self, demand):
        if self.next > 20:
            raise LookupError("no more numbers")
        return super().handle_demand(min(demand, 5))


class InTurn(ff.Dispatcher):
    """One event to each consumer that has asked, in turn."""

    def dispatch(self, events, demands):
        asking = [subscription for subscription, pending in demands.items() if pending]
        n = min(len(events), len(asking))
        return n, [(asking[i], slice(i, i + 1)) for i in range(n)]


class Child(ff.Consumer):
    """Has nothing to do, and ends."""

    def __init__(self, event):
        pass

    def setup(self):
        self.finish()

    def handle_events(self, events, source):
        """Nobody sends it any."""


GOOD = {
    "Range": (lambda: ff.Range(100), dict(expected=100)),
    "Range, empty": (lambda: ff.Range(0), dict(expected=0)),
    "Range, endless": (lambda: ff.Range(0, None), dict(endless=True)),
    "Counter": (lambda: Counter(0, 100), dict(expected=100)),
    "Counter, endless": (Counter, dict(endless=True)),
    "Counter that ends at a cancel": (lambda: StopsWhenLeft(0, 100), {}),
    "Counter that fails": (lambda: Counter(0, 20), dict(failing=SaysSo)),
    "Script": (lambda: Script(NUMBERS), dict(expected=15)),
    "Script of batches": (lambda: Script(PRICES), dict(expected=5)),
    "FromIterable": (lambda: ff.FromIterable(iter(["to", "be", "or", "not"])), dict(expected=4)),
    "FromIterable of batches": (lambda: ff.FromIterable(NUMBERS), dict(expected=15)),
    "FromIterable of nothing": (lambda: ff.FromIterable([]), dict(expected=0)),
    "FromIterable, endless": (lambda: ff.FromIterable(iter(int, 1)), dict(endless=True)),
    "Ticker": (Ticker, dict(expected=20)),
    "Told": (Told, dict(endless=True, nudge=lambda ref: ref.cast([1, 2, 3]))),
    "ByChunks": (ByChunks, {}),
    "Noise": (Noise, dict(endless=True)),
    "Burst": (Burst, dict(expected=500)),
    "Burst into a small buffer": (Burst, dict(options=dict(buffer_size=3))),
    "Range, for two": (lambda: ff.Range(500), dict(subscribe=[{}, {}])),
    "Range, three at a time": (lambda: ff.Range(500), dict(subscribe=[dict(max_demand=3)])),
    "Range, shuffled": (lambda: ff.Range(500), dict(options=dict(dispatcher=ff.DemandDispatcher(shuffle=True)),
                                                    subscribe=[{}, {}])),
    "Range, broadcast": (lambda: ff.Range(500), dict(options=dict(dispatcher="broadcast"), expected=500)),
    "Range, broadcast to two": (lambda: ff.Range(500), dict(options=dict(dispatcher="broadcast"), subscribe=[{}, {}])),
    "Counter, broadcast to two": (lambda: Counter(0, 100), dict(options=dict(dispatcher="broadcast"),
                                                                subscribe=[{}, {}])),
    "Range, partitioned": (lambda: ff.Range(500), dict(options=dict(dispatcher=ff.PartitionDispatcher(2)),
                                                       subscribe=[dict(partition=0), dict(partition=1)])),
    "Counter, partitioned": (lambda: Counter(0, 100), dict(options=dict(dispatcher=ff.PartitionDispatcher(["a", "b"])),
                                                           subscribe=[dict(partition="b"), dict(partition="a")])),
    "Counter, in turn": (lambda: Counter(0, 100), dict(options=dict(dispatcher=InTurn()), subscribe=[{}, {}])),
    "Double, broadcast": (Double, dict(events=NUMBERS, options=dict(dispatcher="broadcast"), subscribe=[{}, {}])),
    "ConsumerSupervisor": (lambda: ff.ConsumerSupervisor(Child(None)), dict(events=WORDS)),
    "Map": (lambda: ff.Map(lambda x: x * 2), dict(events=NUMBERS, expected=15)),
    "Map to itself": (lambda: ff.Map(lambda x: x), dict(events=PRICES, expected=5)),
    "Map to nothing": (lambda: ff.Map(lambda x: None), dict(events=NUMBERS, expected=0)),
    "Filter": (lambda: ff.Filter(lambda x: x % 2 == 0), dict(events=NUMBERS, expected=9)),
    "Batcher": (lambda: ff.Batcher(4), dict(events=NUMBERS, expected=15)),
    "Batcher by time": (lambda: ff.Batcher(4, 2.0), dict(events=WORDS, expected=6)),
    "Throttle": (lambda: ff.Throttle(3), dict(events=NUMBERS, expected=15)),
    "Throttle, slow": (lambda: ff.Throttle(0.001), dict(events=WORDS, expected=6)),
    "Double": (Double, dict(events=NUMBERS, expected=30)),
    "Double that survives": (Double, dict(events=NUMBERS, upstream=dict(cancel="temporary"))),
    "Double that outlives": (Double, dict(events=NUMBERS, upstream=dict(cancel="transient"))),
    "FirstOf": (lambda: FirstOf(6), dict(events=NUMBERS, expected=6)),
    "Double into a small buffer": (Double, dict(events=NUMBERS, options=dict(buffer_size=3))),
    "HoldsAll": (HoldsAll, dict(events=NUMBERS, expected=15)),
    "Map of NaN": (lambda: ff.Map(lambda x: x), dict(events=[np.array([np.nan, 1.0]), np.array([np.inf])])),
    "Sum": (ff.Sum, dict(events=NUMBERS)),
    "Count": (ff.Count, dict(events=WORDS)),
    "Min": (ff.Min, dict(events=NUMBERS)),
    "Max": (ff.Max, dict(events=NUMBERS)),
    "Collect": (ff.Collect, dict(events=PRICES)),
    "ForEach": (lambda: ff.ForEach(print), dict(events=WORDS)),
    "Recorder": (Recorder, dict(events=WORDS)),
    "Total": (Total, dict(events=NUMBERS)),
    "ByHand": (ByHand, dict(events=NUMBERS)),
    "OnlyOne": (OnlyOne, dict(events=NUMBERS)),
    "AsksLater": (AsksLater, dict(events=NUMBERS)),
    "Retries": (Retries, dict(events=NUMBERS)),
    "Total, with options": (Total, dict(events=NUMBERS, options=dict(name="total"), upstream=dict(max_demand=2))),
}


@pytest.mark.parametrize("which", GOOD)
def test_nothing_is_wrong_with_a_good_stage(which):
    make, options = GOOD[which]

    report = conformance(make, **options)

    report.check()
    assert [entry.number for entry in report] == list(RULES)


# -- planted faults: what a stage can do wrong --


class HoldsBack(Counter):
    """Waits until it can give all that is asked for."""

    def handle_demand(self, demand):
        return super().handle_demand(demand) if demand <= self.end - self.next else None


class HidesItsFailure(Counter):
    def handle_demand(self, demand):
        if self.next > 20:
            self.finish()                              # and says nothing of what went wrong
            return None
        return super().handle_demand(min(demand, 5))


class NeverEnds(ff.Producer):
    dtype = "int64"

    def handle_demand(self, demand):
        return np.arange(min(demand, 50 - self.emitted))


class RefusesAll(Counter):
    def handle_subscribe(self, role, options, subscription):
        raise RuntimeError("nobody is let in")


class EndsAtTheSecond(Counter):
    def __init__(self, start=0, stop=None):
        super().__init__(start, stop)
        self.consumers = 0

    def handle_subscribe(self, role, options, subscription):
        self.consumers += 1
        if self.consumers == 2:
            self.finish()
        return "automatic"


class StartsOver(Counter):
    def handle_subscribe(self, role, options, subscription):
        self.next = 0
        return "automatic"


class AnswersOnce(Counter):
    def handle_demand(self, demand):
        return super().handle_demand(demand) if not self.emitted else None


class NeverRests(Counter):
    def handle_cancel(self, reason, subscription):
        self.after(0, "again")

    def handle_info(self, message):
        if message == "again":
            self.after(0, "again")


class KeepsThem(Counter):
    def __init__(self, start=0, stop=None):
        super().__init__(start, stop)
        self.all = []

    def handle_subscribe(self, role, options, subscription):
        self.all.append(subscription)
        return "automatic"


class GivesUp(Counter):
    def __init__(self, start=0, stop=None):
        super().__init__(start, stop)
        self.gone = False

    def handle_cancel(self, reason, subscription):
        self.gone = True

    def handle_demand(self, demand):
        return None if self.gone else super().handle_demand(demand)


class FailsAtACancel(Counter):
    def handle_cancel(self, reason, subscription):
        raise LookupError("no such consumer")


class FailsAtSeven(Counter):
    def handle_demand(self, demand):
        if demand == 7:
            raise LookupError("seven is not a number")
        return super().handle_demand(demand)


class NeverAsks(Total):
    def handle_subscribe(self, role, options, subscription):
        return "manual"


class AsksAtTheEnd(Total):
    def handle_cancel(self, reason, subscription):
        subscription.ask(1)


class AsksByTheClock(Total):
    def __init__(self):
        super().__init__()
        self.all = []

    def setup(self):
        self.after(1, "tick")

    def handle_subscribe(self, role, options, subscription):
        self.all.append(subscription)
        return "manual"

    def handle_info(self, message):
        if message == "tick":
            for subscription in self.all:
                subscription.ask(5)
            self.after(1, "tick")


class OneAtATime(Total):
    """Knows the last of its producers only."""

    def handle_subscribe(self, role, options, subscription):
        self.last = subscription
        subscription.ask(2)
        return "manual"

    def handle_events(self, events, source):
        super().handle_events(events, source)
        self.last.ask(2)


class Mean(Total):
    def __init__(self):
        super().__init__()
        self.mean = None

    def handle_end(self):
        self.mean = self.total / self.handled


class WaitsForMore(Total):
    """Puts its end off for ever when nothing came."""

    def handle_end(self):
        if not self.handled:
            raise ff.Retry(after=60)


class TakesReasonsForText(Total):
    def handle_cancel(self, reason, subscription):
        self.last = reason.upper()


class SortsInPlace(ff.Consumer):
    def handle_events(self, events, source):
        events.sort()


class FailsAtThree(Total):
    def handle_events(self, events, source):
        if len(events) == 3:
            raise LookupError("three are too few")


class WritesIntoItsInput(ff.Consumer):
    def handle_events(self, events, source):
        events += 1


class ReturnsSomething(Total):
    def handle_events(self, events, source):
        return events


class EndsWithItsProducer(Double):
    def handle_cancel(self, reason, subscription):
        self.finish()


class HidesTheirFailure(Double):
    def handle_cancel(self, reason, subscription):
        raise LookupError("something went wrong upstream")


class TriplesOrFails(ff.ProducerConsumer):
    def handle_events(self, events, source):
        if len(events) == 7:
            raise LookupError("seven are too many")
        return events * 3


def counting(cls):
    return lambda: cls(0, 50)


SMALL = dict(upstream=dict(max_demand=8, min_demand=1))
PLANTED = [
    ("1.2", counting(HoldsBack), {}),
    ("1.2", counting(Counter), dict(expected=51)),
    ("1.4", counting(Counter), dict(failing=counting(HidesItsFailure))),
    ("1.5", NeverEnds, {}),
    ("1.5", Counter, {}),
    ("1.9", counting(RefusesAll), {}),
    ("1.10", counting(EndsAtTheSecond), {}),
    ("1.11", counting(StartsOver), {}),
    ("2.1", NeverAsks, dict(events=NUMBERS)),
    ("2.3", AsksAtTheEnd, dict(events=NUMBERS)),
    ("2.4", AsksByTheClock, dict(events=NUMBERS)),
    ("2.5", OneAtATime, dict(events=NUMBERS)),
    ("2.9", Mean, dict(events=NUMBERS)),
    ("2.9", WaitsForMore, dict(events=NUMBERS)),
    ("2.10", TakesReasonsForText, dict(events=NUMBERS)),
    ("2.11", SortsInPlace, dict(events=WORDS)),
    ("2.13", FailsAtThree, dict(events=NUMBERS, **SMALL)),
    ("2.13", WritesIntoItsInput, dict(events=NUMBERS)),
    ("2.13", ReturnsSomething, dict(events=NUMBERS)),
    ("2.13", Total, dict(events=NUMBERS, failing=Total)),
    ("3.8", counting(AnswersOnce), {}),
    ("3.12", counting(NeverRests), {}),
    ("3.13", counting(KeepsThem), {}),
    ("3.14", counting(GivesUp), {}),
    ("3.15", counting(FailsAtACancel), {}),
    ("3.16", counting(FailsAtSeven), {}),
    ("4.1", TriplesOrFails, dict(events=NUMBERS, **SMALL)),
    ("4.2", HidesTheirFailure, dict(events=NUMBERS)),
    ("4.2", EndsWithItsProducer, dict(events=NUMBERS, upstream=dict(cancel="temporary"))),
]


@pytest.mark.parametrize(("rule", "make", "options"), PLANTED,
                         ids=[f"{rule}-{getattr(make, '__name__', '')}" for rule, make, _ in PLANTED])
def test_a_planted_fault_is_found_under_its_number(rule, make, options):
    report = conformance(make, **options)

    entry = report[rule]
    assert entry.verdict == "broken", report
    assert entry.got and entry.expected and entry.do
    with pytest.raises(AssertionError, match=re.escape(f"{rule}: {entry.meaning}: got {entry.got}")):
        report.check()


def test_each_rule_that_is_up_to_the_stage_has_its_planted_fault():
    up_to_the_stage = {rule.number for rule in RULES.values() if rule.by == "stage" and rule.verdict != "declared"}

    assert up_to_the_stage == {rule for rule, _, _ in PLANTED}


def test_a_fault_is_not_blamed_on_other_rules():
    found = {
        make.__name__: [entry.number for entry in conformance(make, events=NUMBERS).broken]
        for make in (NeverAsks, AsksAtTheEnd, AsksByTheClock, Mean, ReturnsSomething)
    }

    assert found == {
        "NeverAsks": ["2.1", "2.5"],                 # two producers are not served either
        "AsksAtTheEnd": ["2.3"],
        "AsksByTheClock": ["2.4"],
        "Mean": ["2.9"],
        "ReturnsSomething": ["2.13"],
    }


# -- the report --


def test_only_the_rules_of_its_side_concern_a_stage():
    def concerned(make, **options):
        return {entry.number[0] for entry in conformance(make, **options) if not entry.verdict.startswith("not this")}

    assert concerned(lambda: ff.Range(10)) == {"1", "3"}
    assert concerned(ff.Sum, events=NUMBERS) == {"2"}
    assert concerned(Double, events=NUMBERS) == {"1", "2", "3", "4"}


def test_the_report_is_a_table_with_what_is_wrong_under_its_rule():
    report = conformance(counting(FailsAtACancel))

    lines = repr(report).splitlines()
    assert lines[0].startswith("<conformance of FailsAtACancel (producer): ")
    assert any(re.match(r"  1\.1   kept by the runtime +no more events are sent", line) for line in lines)
    assert any(re.match(r"  3\.15  broken +cancel returns normally", line) for line in lines)
    assert any("got at a cancel, the stage failed: LookupError: no such consumer" in line for line in lines)


def test_an_endless_source_has_no_end_to_look_at():
    entry = conformance(Counter, endless=True)["1.5"]

    assert (entry.verdict, entry.note) == ("declared", "it is endless: there is no end to look at")


def test_entries_are_found_by_number_and_by_position():
    report = conformance(lambda: ff.Range(10))

    assert isinstance(report, Report)
    assert report[0] is report["1.1"]
    assert len(report) == 43
    with pytest.raises(KeyError, match=r"rule: got '9\.9', expected one of 1\.1"):
        report["9.9"]


@pytest.mark.parametrize(
    ("make", "options", "error", "text"),
    [
        (ff.Range(10), {}, TypeError, "make_stage: got Range, expected a callable that returns a fresh template"),
        (lambda: 7, {}, TypeError, "make_stage: got int from it, expected a stage"),
        (ff.Sum, {}, TypeError, "events: got none, expected sample batches, since Sum is a consumer"),
        (lambda: ff.Range(10), dict(subscribe=[]), ff.OptionError, "subscribe: got no consumer, expected at least one"),
    ],
)
def test_what_the_kit_is_given_is_checked(make, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        conformance(make, **options)


def test_a_stage_that_does_not_start_is_no_matter_of_rules():
    class Unready(ff.Producer):
        def setup(self):
            raise FileNotFoundError("numbers.txt")

    with pytest.raises(FileNotFoundError, match=r"numbers\.txt"):
        conformance(Unready)


# -- the table --


def test_the_table_has_all_43_rules():
    parts = [number.split(".") for number in RULES]

    assert [(part, int(rule)) for part, rule in parts] == [
        (part, i + 1) for part, n in (("1", 11), ("2", 13), ("3", 17), ("4", 2)) for i in range(n)
    ]


def test_the_page_says_of_each_rule_what_the_table_says():
    page = (Path(__file__).parents[1] / "docs" / "conformance.md").read_text(encoding="utf-8")

    for rule in RULES.values():
        by = " by the runtime" if (rule.verdict, rule.by) == ("kept", "runtime") else ""
        assert f"| {rule.number} | {rule.meaning} | {rule.verdict}{by} | {rule.how} |" in page
