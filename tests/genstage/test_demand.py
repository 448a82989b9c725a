"""Demand and the sizes of batches: GenStage 39 to 58.

Where sizes follow from GenStage's keeping messages apart, ours differ on purpose: events that wait
together are delivered together.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers_demand import Counter, Hand, Push, Record, by_hand
from helpers_stage import Push as Tell

import fastflow as ff
from fastflow.errors import CallbackError, DemandError
from fastflow.testing import Recorder, Script, settle, stage_of, step


def counters(subscription):
    """(asked, sent, acked)."""
    numbers = subscription.statistics()
    return numbers["asked"], numbers["sent"], numbers["acked"]


class RecordByHand(Record):
    """Asks for nothing by itself."""

    def handle_subscribe(self, role, options, subscription):
        return "manual"


def demands_and_batches(stop, max_demand, min_demand, chunk=None):
    """What a counter was asked for, and what came to its one consumer."""
    rt, demands, batches = ff.Runtime(), [], []
    counter = rt.start(Counter(stop, chunk, demands))
    rt.start(Record(batches), subscribe_to=[(counter, dict(max_demand=max_demand, min_demand=min_demand))])
    settle(rt)
    return demands, batches


def spans(stop, size):
    """[[0, ..., size - 1], [size, ...], ...] below `stop`."""
    return [list(range(first, min(first + size, stop))) for first in range(0, stop, size)]


# -- what may be asked for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "most"),
    [(object, 1000), ("int64", 32_768), ("int8", 262_144), ([("a", "f8"), ("b", "f8")], 16_384), ("S1000000", 2)],
    ids=str,
)
def test_max_demand_is_1000_objects_or_256_kib_of_events_by_default(dtype, most):
    """GenStage 39. Better: measured in memory where the size of an event is known, never fewer than 2."""
    rt, demands = ff.Runtime(), []
    push, seen = rt.start(Push(demands), dtype=dtype), rt.start(Recorder())

    subscription = seen.subscribe(push)
    settle(rt)

    assert counters(subscription) == (most, 0, 0)
    assert demands == [most]


@pytest.mark.parametrize(("max_demand", "deliveries"), [(1000, [500, 500]), (1, [1] * 7), (2, [1] * 7), (7, [4, 3])])
def test_min_demand_is_half_of_max_demand_by_default(max_demand, deliveries):
    """GenStage 39. Rounded down, so 0 for a max_demand of 1: a delivery has at most max - min events."""
    rt, batches = ff.Runtime(), []
    script = rt.start(Script([list(range(sum(deliveries)))], dtype=object))

    rt.start(Record(batches), subscribe_to=[(script, dict(max_demand=max_demand))])
    settle(rt)

    assert [len(batch) for batch in batches] == deliveries


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(max_demand=0), "max_demand .* got 0, expected at least 1"),
        (dict(max_demand=-5), "max_demand .* got -5, expected at least 1"),
        (dict(max_demand=1000, min_demand=2000), "min_demand .* got 2000, expected at most max_demand - 1 = 999"),
        (dict(max_demand=10, min_demand=10), "min_demand .* got 10, expected at most max_demand - 1 = 9"),
        (dict(max_demand=10, min_demand=-1), "min_demand .* got -1, expected (at least 0|0 or more)"),
    ],
    ids=str,
)
def test_demands_that_cannot_be_are_refused_to_that_subscriber_only(options, text):
    """GenStage 40. Both stages live on and there is no subscription."""
    rt = ff.Runtime()
    push, hand = rt.start(Push()), rt.start(Hand())

    with pytest.raises(DemandError, match=text):
        hand.subscribe(push, **options)

    settle(rt)
    assert push.alive and hand.alive
    assert rt.subscriptions() == []
    hand.subscribe(push, max_demand=1000, min_demand=999)


@pytest.mark.parametrize("bad", [float("inf"), 10.0, 1.5, "infinity", True, np.float64(3), [10]], ids=repr)
@pytest.mark.parametrize("option", ["max_demand", "min_demand"])
def test_a_demand_is_a_whole_number(option, bad):
    """GenStage 41. There is no infinity: memory is bounded by what is asked."""
    rt = ff.Runtime()
    push, hand = rt.start(Push()), rt.start(Hand())

    with pytest.raises((TypeError, ValueError), match=rf"{option}.*got .*expected"):
        hand.subscribe(push, **{option: bad})

    assert hand.alive


def test_an_automatic_subscription_asks_at_once():
    """GenStage 42. For max_demand, as soon as the consumer's handle_subscribe has said how."""
    asked = []

    class Looks(Recorder):
        def handle_subscribe(self, role, options, subscription):
            asked.append(subscription.statistics()["asked"])
            return "automatic"

    rt = ff.Runtime()
    push, looks = rt.start(Push()), rt.start(Looks())

    subscription = looks.subscribe(push, max_demand=10)

    assert asked == [0]
    assert subscription.statistics()["asked"] == 10


# -- how deliveries are cut -----------------------------------------------------------------------


def test_a_delivery_has_at_most_max_less_min_events():
    """GenStage 43. In order, once a chunk; the last may be shorter."""
    rt, batches = ff.Runtime(), []
    script = rt.start(Script([list(range(10))], dtype=object))

    rt.start(Record(batches), subscribe_to=[(script, dict(max_demand=10, min_demand=7))])
    settle(rt)

    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_events_that_wait_together_are_delivered_together():
    """GenStage 43. Better: small messages are joined, up to max - min: fewer calls, the same order."""
    rt, batches = ff.Runtime(), []
    push, record = rt.start(Tell(), dtype=object), rt.start(Record(batches))
    record.subscribe(push, max_demand=10, min_demand=2)
    with rt.paused():
        for n in range(3):
            push.cast([n, n])
    settle(rt)

    assert sum(batches, []) == [0, 0, 1, 1, 2, 2]
    assert all(len(batch) <= 8 for batch in batches)


def test_it_asks_again_when_no_more_than_min_demand_are_open():
    """GenStage 44. Then for as many as bring it back to max_demand, after the chunk was handled."""
    rt = ff.Runtime()
    script = rt.start(Script([list(range(4)), list(range(4, 7)), list(range(7, 12)), [12]], dtype=object))
    record = rt.start(Record([]))
    subscription = record.subscribe(script, max_demand=10, min_demand=5)
    seen = [counters(subscription)]
    while step(rt):
        if counters(subscription) != seen[-1] and not subscription.closed:
            seen.append(counters(subscription))

    # 4 handled: 6 open, more than 5: no ask.  3 more: 3 open, so it asks for 7.
    asked_at = {}
    for asked, _, acked in seen:
        asked_at.setdefault(acked, asked)
    assert {acked: asked_at[acked] for acked in (0, 4, 7)} == {0: 10, 4: 10, 7: 17}


def test_the_ask_is_made_after_the_output_of_the_chunk_has_left():
    """GenStage 44. In a producer_consumer both are of one turn, and output is what the others see first."""
    asked = []

    class Looks(ff.ProducerConsumer):
        dtype = "int64"

        def handle_events(self, events, source):
            asked.append(source.statistics()["asked"])
            return events

    rt = ff.Runtime()
    counter, looks, hand = rt.start(Counter(100, ends=False)), rt.start(Looks()), rt.start(Hand())
    looks.subscribe(counter, max_demand=10, min_demand=5)
    edge = hand.subscribe(looks, max_demand=100)
    edge.ask(10)
    while step(rt):
        upstream = rt.subscriptions()[0].statistics()
        assert upstream["asked"] == 10 + upstream["acked"]
        assert edge.statistics()["sent"] == upstream["acked"]

    assert asked == [10, 15]
    assert stage_of(hand).seen == list(range(10))


def test_max_1000_min_500_gives_halves():
    """GenStage 45. 1000 is asked for first, then 500 each time."""
    demands, batches = demands_and_batches(3000, 1000, 500)

    assert batches == spans(3000, 500)
    assert demands == [1000] + [500] * 4


def test_max_100_min_80_gives_batches_of_20():
    """GenStage 46."""
    demands, batches = demands_and_batches(1020, 100, 80)

    assert batches == spans(1020, 20)
    assert demands == [100] + [20] * 46


def test_max_100_min_20_gives_batches_of_at_most_80():
    """GenStage 47. Better: the 20 left over wait no turn of their own; they come with what has arrived."""
    demands, batches = demands_and_batches(280, 100, 20)

    assert batches[0] == list(range(80))
    assert demands[:2] == [100, 80]
    assert all(len(batch) <= 80 for batch in batches)
    assert sum(batches, []) == list(range(280))


def test_max_1_gives_single_events():
    """GenStage 48."""
    demands, batches = demands_and_batches(5, 1, 0)

    assert batches == spans(5, 1)
    assert demands == [1] * 5


def test_three_batches_of_100_lead_to_one_ask_of_300():
    """GenStage 49. Max 1000, min 750; as GenStage does it, not as its manual tells it."""
    rt, batches = ff.Runtime(), []
    counter, record = rt.start(Counter(300, chunk=100, ends=False)), rt.start(Record(batches))
    subscription = record.subscribe(counter, max_demand=1000, min_demand=750)
    asked = [1000]
    while step(rt):
        if subscription.statistics()["asked"] != asked[-1]:
            asked.append(subscription.statistics()["asked"])

    assert batches == spans(300, 100)
    assert asked == [1000, 1300]
    assert subscription.statistics()["acked"] == 300


def test_little_is_delivered_at_once():
    """GenStage 50. No delivery waits to be filled; who wants that takes a Batcher, which has a time-out."""
    rt, batches = ff.Runtime(), []
    push, record = rt.start(Push()), rt.start(Record(batches))
    record.subscribe(push, max_demand=1000)
    for events in ([1], [2, 3]):
        push.cast(events)
        settle(rt)

    assert batches == [[1], [2, 3]]


@pytest.mark.parametrize("dtype", ["int64", object], ids=str)
def test_handle_events_is_never_called_with_nothing(dtype):
    """GenStage 51. Neither when nothing is emitted, nor when a step leaves nothing."""
    rt, batches, left = ff.Runtime(), [], []
    push = rt.start(Tell(), dtype=dtype)
    none = rt.start(ff.Filter(lambda events: [event > 2 for event in events]), dtype=dtype)
    rt.start(Record(batches)).subscribe(push, max_demand=1)
    none.subscribe(push, max_demand=1)
    rt.start(Record(left)).subscribe(none, max_demand=10)
    settle(rt)

    for events in [], [1, 2], [], [3, 4], []:
        push.cast(events)
        settle(rt)

    assert batches == [[1], [3]]
    assert left == [[4]]


def test_a_selector_that_leaves_nothing_calls_nobody_in_manual_mode_either():
    """GenStage 52. Better: never an empty batch, in no mode; what was filtered out is asked for again."""
    rt, batches = ff.Runtime(), []
    push, record = rt.start(Push(), dispatcher="broadcast"), rt.start(RecordByHand(batches))
    subscription = record.subscribe(push, max_demand=10, selector=lambda x: x > 5)
    subscription.ask(4)
    push.cast([1, 2, 3, 4])
    settle(rt)
    assert batches == []
    assert counters(subscription) == (8, 4, 4)

    push.cast([5, 6, 7, 8])
    settle(rt)

    assert batches == [[6, 7, 8]]
    assert counters(subscription) == (9, 8, 8)


def test_no_consumer_gets_more_than_it_asked_for():
    """GenStage 53. Better: it can't happen: what is beyond the demand stays in the producer's buffer."""

    class Floods(ff.Producer):
        dtype = "int64"

        def handle_demand(self, demand):
            return np.arange(50)

    rt = ff.Runtime()
    floods, hand = rt.start(Floods()), rt.start(Hand())
    subscription = hand.subscribe(floods, max_demand=10)
    subscription.ask(10)
    while step(rt):
        asked, sent, acked = counters(subscription)
        assert acked <= sent <= asked <= acked + 10

    assert stage_of(hand).seen == list(range(10))
    assert floods.estimate_buffered_count() == 40


def test_a_chunk_that_fails_loses_nothing():
    """GenStage 54. Better: it and those behind it go back to the producer, for whoever comes next."""

    class FailsOnce(ff.Consumer):
        def __init__(self):
            self.seen = []

        def handle_events(self, events, source):
            if 3 in events:
                raise LookupError("no place for a 3")
            self.seen.extend(events)

    rt = ff.Runtime()
    push, fails = rt.start(Tell(), dtype=object), rt.start(FailsOnce())
    stage = stage_of(fails)
    subscription = fails.subscribe(push, max_demand=10, min_demand=7)
    push.cast(list(range(10)))
    settle(rt)

    assert isinstance(fails.join(), LookupError)
    assert stage.seen == [0, 1, 2]
    assert subscription.closed
    assert push.estimate_buffered_count() == 7
    seen = rt.start(Recorder(), subscribe_to=[push])
    settle(rt)
    assert sum(stage_of(seen).batches, []) == [3, 4, 5, 6, 7, 8, 9]


def test_a_chunk_that_fails_behind_the_last_event_loses_nothing_either():
    """GenStage 54. Better: what a finished producer had sent and nobody handled still waits, or is counted."""

    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            if 3 in events:
                raise LookupError("no place for a 3")

    rt = ff.Runtime()
    script = rt.start(Script([list(range(10))], dtype=object))
    fails = rt.start(Fails(), subscribe_to=[(script, dict(max_demand=10, min_demand=7))])
    settle(rt)

    assert isinstance(fails.join(), LookupError)
    numbers = script.statistics()
    assert numbers["buffered"] + numbers["discarded"] == 7


# -- manual mode ----------------------------------------------------------------------------------


def test_manual_mode_neither_cuts_nor_asks():
    """GenStage 55. What is sent is one delivery, whatever min_demand is."""
    rt, batches = ff.Runtime(), []
    counter, record = rt.start(Counter(100, ends=False)), rt.start(RecordByHand(batches))
    subscription = record.subscribe(counter, max_demand=10, min_demand=9)
    settle(rt)
    assert counters(subscription) == (0, 0, 0)

    subscription.ask(7)
    settle(rt)

    assert batches == [list(range(7))]
    assert counters(subscription) == (7, 7, 7)


def test_asking_for_nothing_does_nothing():
    """GenStage 56."""
    rt, subscription, seen, demands = by_hand()

    assert subscription.ask(0) is None
    settle(rt)

    assert demands == [] and seen == []


@pytest.mark.parametrize("n", [-1, -(2**63), 1.5, 2.0, True, False, None, "3", float("nan")], ids=repr)
def test_what_is_no_count_cannot_be_asked_for(n):
    """GenStage 56. The text says what was got; the subscription is unharmed."""
    rt, subscription, seen, _ = by_hand()

    with pytest.raises((TypeError, ValueError), match=r"got .*expected"):
        subscription.ask(n)

    subscription.ask(2)
    settle(rt)
    assert seen == [0, 1]


@pytest.mark.parametrize("way", ["subscribe", "async_subscribe", "subscribe_to"])
def test_handle_subscribe_chooses_manual_mode_in_every_way_to_subscribe(way):
    """GenStage 57."""
    rt, demands = ff.Runtime(), []
    counter = rt.start(Counter(100, demands=demands, ends=False))
    if way == "subscribe_to":
        hand = rt.start(Hand(), subscribe_to=[(counter, dict(max_demand=10))])
    else:
        hand = rt.start(Hand())
        getattr(hand, way)(counter, max_demand=10)
    settle(rt)
    assert demands == []

    (subscription,) = rt.subscriptions()
    subscription.ask(3)
    settle(rt)

    assert demands == [3]
    assert stage_of(hand).seen == [0, 1, 2]


@pytest.mark.parametrize("mode", ["sometimes", 1, ("manual",)], ids=repr)
def test_a_mode_that_nobody_knows_is_raised_where_it_was_subscribed(mode):
    """GenStage 58. Better: nothing was subscribed, so nobody has to end for it."""

    class Odd(Hand):
        def handle_subscribe(self, role, options, subscription):
            return mode

    rt = ff.Runtime()
    push, odd = rt.start(Push()), rt.start(Odd())

    with pytest.raises(CallbackError, match=r"handle_subscribe.*got .*automatic.*manual"):
        odd.subscribe(push)
    with pytest.raises(CallbackError, match=r"handle_subscribe.*got .*automatic.*manual"):
        rt.start(Odd(), subscribe_to=[push])

    settle(rt)
    assert push.alive
    assert rt.subscriptions() == []


def test_the_mode_that_a_producer_returns_counts_for_nothing():
    """GenStage 58. Better: it is the consumer who asks, so "manual" from a producer does no harm."""

    class Producer(Counter):
        def handle_subscribe(self, role, options, subscription):
            return "manual"

    rt, batches = ff.Runtime(), []
    rt.start(Record(batches), subscribe_to=[(rt.start(Producer(4)), dict(max_demand=4, min_demand=0))])
    settle(rt)

    assert batches == [[0, 1, 2, 3]]
