"""Bad input to dispatchers: options that can't be, hashes and selectors that go wrong.

What is wrong with a subscriber is that subscriber's error, what is wrong with a hash the
producer's; the others go on, and no event is lost.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers_bad_input import LARGEST, assert_clear
from helpers_dispatch import Count, Hand, Hub, Push, failure, statistics, text_of

import fastflow as ff
from fastflow.testing import settle

# -- the dispatcher itself ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dispatcher",
    ["broadcats", "partition", "", 5, True, object(), ["demand"], lambda: None],
    ids=["misspelt", "partition", "empty", "5", "True", "an object", "a list", "a function"],
)
def test_a_dispatcher_of_the_wrong_type_is_refused_when_the_stage_is_started(dispatcher):
    rt = ff.Runtime()

    with pytest.raises(ff.OptionError) as caught:
        rt.start(Push(), dispatcher=dispatcher)

    assert_clear(caught.value, "dispatcher", "'broadcast'", "ff.Dispatcher")


def test_a_misspelt_dispatcher_names_the_nearest():
    with pytest.raises(ff.OptionError, match="broadcast"):
        ff.Runtime().start(Push(), dispatcher="broadcats")


def test_a_consumer_has_no_dispatcher():
    with pytest.raises(ff.OptionError, match="dispatcher"):
        ff.Runtime().start(Hand(), dispatcher="demand")


@pytest.mark.parametrize("shuffle", [1, "yes", None], ids=repr)
def test_shuffle_is_true_or_false(shuffle):
    with pytest.raises(ff.OptionError) as caught:
        ff.DemandDispatcher(shuffle=shuffle)

    assert_clear(caught.value, "shuffle", repr(shuffle))


BAD_PARTITIONS = {
    "zero": 0,
    "negative": -1,
    "a fraction": 1.5,
    "a bool": True,
    "beyond int64": 2**63,
    "none": None,
    "NaN": float("nan"),
    "no names": [],
    "no names at all": iter(()),
    "a name twice": ["a", "b", "a"],
    "equal names": [1, 1.0],
    "an unhashable name": ["a", ["b"]],
}


@pytest.mark.parametrize("partitions", BAD_PARTITIONS.values(), ids=BAD_PARTITIONS)
def test_partitions_that_cannot_be_are_refused(partitions):
    with pytest.raises((ff.OptionError, ff.DemandError, ff.GraphError)) as caught:
        ff.PartitionDispatcher(partitions)

    assert_clear(caught.value, "partitions")


def test_names_that_are_equal_are_shown():
    with pytest.raises(ff.FastflowError, match="'twice'"):
        ff.PartitionDispatcher(["once", "twice", "twice"])


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1000", float("nan")], ids=repr)
def test_a_queue_size_that_cannot_be_is_refused(size):
    with pytest.raises((ff.OptionError, ff.DemandError)) as caught:
        ff.PartitionDispatcher(2, queue_size=size)

    assert_clear(caught.value, "queue_size", repr(size))


@pytest.mark.parametrize("hash_", [5, True, 1.5, ["user"], object()], ids=lambda v: type(v).__name__)
def test_a_hash_of_the_wrong_type_is_refused(hash_):
    with pytest.raises(ff.OptionError) as caught:
        ff.PartitionDispatcher(2, hash=hash_)

    assert_clear(caught.value, "hash")


def test_a_column_that_is_not_there_names_those_that_are():
    class Trades(Push):
        dispatcher = ff.PartitionDispatcher(2, hash="usr")

        def handle_demand(self, demand):
            return ff.Batch(user=np.arange(3), price=np.zeros(3))

    def run():
        hub = Hub(producer=Trades([("user", "i8"), ("price", "f8")]))
        hub.join(partition=0, ask=3)
        raise failure(hub.ref)

    with pytest.raises(ff.FastflowError) as caught:
        run()

    assert_clear(caught.value, "'usr'", "user", "price")


def test_a_column_of_events_without_columns_is_refused():
    def run():
        hub = Hub(ff.PartitionDispatcher(2, hash="user"))
        hub.join(partition=0, ask=3)
        hub.push(1, 2, 3)
        raise failure(hub.ref)

    with pytest.raises(ff.FastflowError) as caught:
        run()

    assert "'user'" in text_of(caught.value)
    assert "column" in text_of(caught.value)


# -- options of a subscription --------------------------------------------------------------------

DISPATCHERS = {
    "demand": lambda: ff.DemandDispatcher(),
    "broadcast": lambda: ff.BroadcastDispatcher(),
    "partition": lambda: ff.PartitionDispatcher(2),
}


@pytest.mark.parametrize(
    ("dispatcher", "option", "nearest"),
    [
        ("demand", "max_demnad", "max_demand"),
        ("broadcast", "selectr", "selector"),
        ("broadcast", "lagg", "lag"),
        ("broadcast", "min_demnd", "min_demand"),
        ("partition", "partitoin", "partition"),
        ("partition", "cancle", "cancel"),
    ],
)
def test_an_unknown_option_names_the_nearest_of_that_producer(dispatcher, option, nearest):
    hub = Hub(DISPATCHERS[dispatcher]())
    options = {"partition": 0} if dispatcher == "partition" else {}

    with pytest.raises(ff.OptionError, match=f"did you mean '{nearest}'") as caught:
        hub.join(**options, **{option: 1})

    assert_clear(caught.value, option)
    assert hub.ref.alive


@pytest.mark.parametrize(
    ("dispatcher", "option"),
    [
        ("demand", "selector"),
        ("demand", "partition"),
        ("demand", "lag"),
        ("broadcast", "partition"),
        ("partition", "selector"),
        ("partition", "lag"),
    ],
)
def test_an_option_of_another_dispatcher_is_unknown(dispatcher, option):
    hub = Hub(DISPATCHERS[dispatcher]())
    options = {"partition": 0} if dispatcher == "partition" else {}

    with pytest.raises(ff.OptionError, match=option):
        hub.join(**options, **{option: None})

    assert hub.ref.alive


@pytest.mark.parametrize("lag", ["blok", "", 1, True, ["drop"]], ids=repr)
def test_an_unknown_lag_is_refused(lag):
    hub = Hub("broadcast")

    with pytest.raises(ff.OptionError) as caught:
        hub.join(lag=lag)

    assert_clear(caught.value, "lag", "block", "drop", "conflate")


@pytest.mark.parametrize("selector", [5, True, "even", [True]], ids=repr)
def test_a_selector_that_cannot_be_called_is_refused(selector):
    hub = Hub("broadcast")

    with pytest.raises(ff.OptionError) as caught:
        hub.join(selector=selector)

    assert_clear(caught.value, "selector", repr(selector))


@pytest.mark.parametrize(
    "partition",
    [2, -1, 1.5, True, None, "0", float("nan"), [0], 2**63],
    ids=repr,
)
def test_a_partition_that_is_not_there_refuses_that_subscriber_alone(partition):
    hub = Hub(DISPATCHERS["partition"]())

    with pytest.raises((ff.OptionError, ff.GraphError)) as caught:
        hub.join(partition=partition)

    assert_clear(caught.value, "partition", repr(partition))
    assert hub.ref.alive
    readers = [hub.join(partition=i, ask=10) for i in range(2)]
    hub.push(*range(10))
    assert sorted(readers[0].seen + readers[1].seen) == list(range(10))


def test_a_partition_that_is_missing_or_taken_says_which_there_are():
    hub = Hub(ff.PartitionDispatcher(["left", "right"]))
    with pytest.raises(ff.OptionError) as caught:
        hub.join()
    assert_clear(caught.value, "partition", "left", "right")

    hub.rt.start(Hand(), name="first").subscribe(hub.ref, partition="left")
    with pytest.raises((ff.GraphError, ff.OptionError)) as caught:
        hub.join(partition="left")
    assert_clear(caught.value, "'left'", "'first'")


def test_a_start_whose_subscription_is_refused_leaves_nothing_behind():
    hub = Hub(DISPATCHERS["partition"]())

    with pytest.raises((ff.OptionError, ff.GraphError)):
        hub.rt.start(Hand(), name="bad", subscribe_to=[(hub.ref, dict(partition=9))])

    assert list(hub.rt.subscriptions()) == []
    good = hub.rt.start(Hand(), subscribe_to=[(hub.ref, dict(partition=0))])
    assert good.alive


# -- demand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dispatcher", DISPATCHERS)
@pytest.mark.parametrize(("n", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)], ids=str)
def test_an_ask_that_cannot_be_is_refused_and_changes_nothing(dispatcher, n, error):
    hub = Hub(DISPATCHERS[dispatcher](), Count())
    options = {"partition": 0} if dispatcher == "partition" else {}
    reader = hub.join(ask=3, **options)
    before, seen = reader.counters, reader.seen

    with pytest.raises(error, match="ask"):
        reader.edge.ask(n)
    reader.edge.ask(0)
    settle(hub.rt)

    assert (reader.counters, reader.seen) == (before, seen)
    assert hub.ref.alive


@pytest.mark.parametrize("dispatcher", DISPATCHERS)
@pytest.mark.parametrize("n", [LARGEST, 2**63], ids=["2**63 - 1", "2**63"])
def test_an_ask_beyond_all_numbers_saturates_or_is_refused(dispatcher, n):
    hub = Hub(DISPATCHERS[dispatcher](), Count(1000))
    options = {"partition": 0} if dispatcher == "partition" else {}
    reader, other = hub.join(capacity=100, **options), None
    if dispatcher == "broadcast":
        other = hub.join(capacity=100, ask=LARGEST)
    if dispatcher == "partition":
        other = hub.join(capacity=100, partition=1, ask=LARGEST)

    for _ in range(2):
        try:
            reader.edge.ask(n)
        except (ValueError, OverflowError):
            assert n > LARGEST
            reader.edge.ask(10**6)
    settle(hub.rt)

    if dispatcher == "partition":
        assert sorted(reader.seen + other.seen) == list(range(1000))
    else:
        assert reader.seen == list(range(1000))
    assert hub.ref.join() == "normal"


# -- selectors: the subscriber's own error --------------------------------------------------------

BAD_SELECTORS = {
    "raises": (lambda events: 1 // 0, ZeroDivisionError, ()),
    "raises in NumPy": (lambda events: events[99] > 0, IndexError, ()),
    "too long": (lambda events: np.ones(len(events) + 1, bool), ff.CallbackError, ("4", "3")),
    "too short": (lambda events: np.ones(0, bool), ff.CallbackError, ("0", "3")),
    "two dimensions": (lambda events: np.ones((3, 1), bool), ff.CallbackError, ("(3, 1)",)),
    "int64": (lambda events: np.ones(len(events), "int64"), ff.CallbackError, ("int64", "bool")),
    "float64": (lambda events: events * 1.0, ff.CallbackError, ("float64", "bool")),
    "NaN": (lambda events: np.full(len(events), np.nan), ff.CallbackError, ("float64", "bool")),
    "objects": (lambda events: np.array([True] * 3, object), ff.CallbackError, ("object", "bool")),
    "indices": (lambda events: np.array([0, 2]), ff.CallbackError, ("int64", "bool")),
    "nothing": (lambda events: None, ff.CallbackError, ("got None",)),
    "one for all": (lambda events: True, ff.CallbackError, ("got True",)),
    "a text": (lambda events: "yes", ff.CallbackError, ("got 'yes'",)),
}


@pytest.mark.parametrize("bad", BAD_SELECTORS)
def test_a_selector_that_goes_wrong_ends_its_subscriber_with_the_position(bad):
    selector, kind, words = BAD_SELECTORS[bad]
    hub = Hub("broadcast")
    other = hub.join(ask=100)
    reader = hub.join(
        selector=lambda events: selector(events) if events[0] == 100 else events >= 0, ask=100
    )
    hub.push(*range(10))

    hub.push(100, 101, 102)
    hub.push(103)

    error = failure(reader.ref)
    assert isinstance(error, kind)
    text = text_of(error)
    for word in ("selector", "10", "'hub'", *words):
        assert word in text, text
    assert reader.seen == list(range(10))
    assert reader.discarded == 3
    assert other.seen == [*range(10), 100, 101, 102, 103]
    assert hub.ref.alive


def test_a_selector_that_returns_another_length_for_object_events_is_refused():
    hub = Hub("broadcast", Push(object))
    other = hub.join(ask=10)
    reader = hub.join(selector=lambda words: [True], ask=10)

    hub.push("to", "be")

    error = failure(reader.ref)
    assert isinstance(error, ff.CallbackError)
    assert "selector" in text_of(error)
    assert other.seen == ["to", "be"]


def test_a_selector_that_writes_to_the_events_is_refused_as_any_reader_is():
    def writes(events):
        events[:] = 0
        return events == 0

    hub = Hub("broadcast")
    other = hub.join(ask=10)
    reader = hub.join(selector=writes, ask=10)

    hub.push(1, 2)

    assert isinstance(failure(reader.ref), ValueError)
    assert other.seen == [1, 2]


def test_a_selector_may_raise_retry():
    """Then its turn comes again, as any other."""
    tries = []

    def patient(events):
        tries.append(len(events))
        if len(tries) < 3:
            raise ff.Retry
        return events > 1

    hub = Hub("broadcast")
    reader = hub.join(selector=patient, ask=10)

    hub.push(1, 2)

    assert reader.seen == [2]
    assert tries == [2, 2, 2]


# -- hashes: the producer's own error -------------------------------------------------------------

BAD_HASHES = {
    "raises": (lambda events: 1 // 0, ZeroDivisionError, ()),
    "too long": (lambda events: np.zeros(len(events) + 1, int), ff.CallbackError, ("4", "3")),
    "too short": (lambda events: np.zeros(0, int), ff.CallbackError, ("0", "3")),
    "two dimensions": (lambda events: np.zeros((3, 1), int), ff.CallbackError, ("(3, 1)",)),
    "unknown": (lambda events: np.array([0, 7, 8]), ff.CallbackError, ("7",)),
    "negative": (lambda events: np.array([0, -1, -2]), ff.CallbackError, ("-2",)),
    "float": (lambda events: np.array([0.0, 1.0, 0.5]), ff.CallbackError, ("float64",)),
    "whole floats": (lambda events: np.zeros(3), ff.CallbackError, ("float64",)),
    "NaN": (lambda events: np.full(3, np.nan), ff.CallbackError, ("float64",)),
    "bools": (lambda events: events > 101, ff.CallbackError, ("bool",)),
    "beyond int64": (
        lambda events: np.array([0, 0, 2**64 - 1], "u8"),
        ff.CallbackError,
        (str(2**64 - 1),),
    ),
    "nothing": (lambda events: None, ff.CallbackError, ("None",)),
    "one for all": (lambda events: 0, ff.CallbackError, ("int",)),
    "a text": (lambda events: "left", ff.CallbackError, ("str",)),
    "a triple": (lambda events: (events, events, events), ff.CallbackError, ()),
    "a pair of other lengths": (
        lambda events: (events, np.zeros(2, int)),
        ff.CallbackError,
        ("2", "3"),
    ),
    "a pair of another schema": (
        lambda events: (np.array(["a", "b", "c"]), np.zeros(3, int)),
        ff.FastflowError,
        ("int64",),
    ),
}


@pytest.mark.parametrize("bad", BAD_HASHES)
def test_a_hash_that_goes_wrong_is_the_producers_error_with_the_position(bad):
    hash_, kind, words = BAD_HASHES[bad]
    hub = Hub(
        ff.PartitionDispatcher(
            2, hash=lambda events: hash_(events) if events[0] == 100 else events % 2
        )
    )
    even, odd = hub.join(partition=0, ask=100), hub.join(partition=1, ask=100)
    hub.freeze(odd)
    hub.push(*range(10))

    hub.push(100, 101, 102)

    error = failure(hub.ref)
    assert isinstance(error, kind), repr(error)
    text = text_of(error)
    for word in ("hash", "'hub'", *words):
        assert word in text, text
    assert re.search(r"\b1[012]\b", text), text       # the first bad event, or those of the batch
    hub.thaw(odd)
    assert even.seen == [0, 2, 4, 6, 8]
    assert odd.seen == [1, 3, 5, 7, 9]                  # what earlier turns sent is delivered
    assert even.ref.alive and odd.ref.alive
    assert statistics(hub.ref)["emitted"] == 10


@pytest.mark.parametrize(
    ("partitions", "first"),
    [(np.array([0, 1, 9, 9]), 6), (np.array([5, 0, 0, 0]), 4), (np.array([0, 0, 0, -2]), 7)],
    ids=["the third", "the first", "the last"],
)
def test_the_position_is_that_of_the_first_bad_event(partitions, first):
    hub = Hub(
        ff.PartitionDispatcher(
            2, hash=lambda events: partitions if events[0] == 100 else np.zeros(len(events), int)
        )
    )
    hub.join(partition=0, ask=100)
    hub.push(0, 1, 2, 3)

    hub.push(100, 101, 102, 103)

    assert re.search(rf"\b{first}\b", text_of(failure(hub.ref)))


@pytest.mark.parametrize(
    "answer", ["middle", 1, float("nan"), 0.0, True, ["left"]], ids=repr
)
def test_a_hash_that_gives_an_unknown_name_is_the_producers_error(answer):
    hub = Hub(
        ff.PartitionDispatcher(
            ["left", "right"],
            hash=lambda events: [answer if event == 100 else "left" for event in events.tolist()],
        )
    )
    left = hub.join(partition="left", ask=100)
    hub.push(0, 1, 2)

    hub.push(3, 100, 4)

    error = failure(hub.ref)
    assert isinstance(error, ff.CallbackError)
    text = text_of(error)
    for word in ("hash", repr(answer), "left", "right"):
        assert word in text, text
    assert re.search(r"\b4\b", text)
    assert left.seen == [0, 1, 2]


def test_a_turn_with_a_bad_hash_takes_back_its_state():
    class Careful(Push):
        state = ("total",)
        dispatcher = ff.PartitionDispatcher(2, hash=lambda events: events)

        def __init__(self):
            super().__init__()
            self.total = 0

        def handle_cast(self, request):
            self.total += len(request)
            return super().handle_cast(request)

        def terminate(self, reason):
            totals.append(self.total)

    totals = []
    hub = Hub(producer=Careful())
    reader = hub.join(partition=0, ask=10)
    hub.push(0, 0)

    hub.push(0, 7)

    assert isinstance(failure(hub.ref), ff.CallbackError)
    assert totals == [2]
    assert reader.seen == [0, 0]


def test_a_hash_may_be_of_any_integer_type():
    for dtype in ("i1", "u1", "i2", "u4", "i8", "u8"):
        hub = Hub(ff.PartitionDispatcher(2, hash=lambda events, d=dtype: (events % 2).astype(d)))
        even, odd = hub.join(partition=0, ask=9), hub.join(partition=1, ask=9)

        hub.push(1, 2, 3)

        assert (even.seen, odd.seen) == ([2], [1, 3])


def test_a_hash_may_return_an_array_with_strides():
    for make in (lambda p: np.repeat(p, 2)[::2], lambda p: p[::-1].copy()[::-1]):
        hub = Hub(ff.PartitionDispatcher(2, hash=lambda events, make=make: make(events % 2)))
        even, odd = hub.join(partition=0, ask=9), hub.join(partition=1, ask=9)

        hub.push(1, 2, 3)

        assert (even.seen, odd.seen) == ([2], [1, 3])


def test_a_hash_that_writes_to_the_events_is_an_error_or_harms_nobody():
    """The events may be the producer's own memory: they are for reading."""

    def writes(events):
        events[:] = 0
        return events

    hub = Hub(ff.PartitionDispatcher(2, hash=writes))
    reader = hub.join(partition=0, ask=10)

    hub.push(1, 2)

    if hub.ref.alive:
        assert reader.seen == [1, 2]
    else:
        assert "read-only" in text_of(failure(hub.ref))
