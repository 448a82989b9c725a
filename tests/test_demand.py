"""Demand: who asks for how much, when, and in what sizes it comes.

Numbers as in "GenStage 44" are behaviours of the original that are kept; where ours differs on
purpose, the docstring says how.  Sizes are compared with `model.Machine` where rules decide them.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers_demand import Counter, Hand, Push, Record, by_hand
from hypothesis import given, settings
from hypothesis import strategies as st
from model import Machine, Stage, Watch, check_model, counters, source

import fastflow as ff
from fastflow.testing import ManualClock, Recorder, Script, settle, stage_of, step


def run_edge(stop, max_demand, min_demand, chunk=None):
    """(demands, batches) of a counter and one automatic consumer."""
    rt, demands, batches = ff.Runtime(), [], []
    producer = rt.start(Counter(stop, chunk, demands))
    rt.start(
        Record(batches),
        subscribe_to=[(producer, dict(max_demand=max_demand, min_demand=min_demand))],
    )
    settle(rt)
    return demands, batches


def test_model_agrees_with_the_tables_of_genstage():
    check_model()


# -- sizes and asks -------------------------------------------------------------------------------


def test_halves_of_the_demand_are_delivered_and_asked_for_again():
    """GenStage 45: max 1000, min 500."""
    demands, batches = run_edge(5000, 1000, 500)

    assert demands == [1000] + [500] * 8
    assert [len(batch) for batch in batches] == [500] * 10
    assert sum(batches, []) == list(range(5000))


def test_a_high_minimum_gives_small_batches():
    """GenStage 46: max 100, min 80: every batch has 20 events."""
    demands, batches = run_edge(1020, 100, 80)

    assert demands == [100] + [20] * 46
    assert batches == [list(range(i, i + 20)) for i in range(0, 1020, 20)]


def test_a_low_minimum_never_gives_more_than_max_less_min():
    """GenStage 47, without its second size: events that wait together are delivered together."""
    _, batches = run_edge(280, 100, 20)

    assert batches[0] == list(range(80))
    assert all(len(batch) <= 80 for batch in batches)
    assert sum(batches, []) == list(range(280))


def test_a_demand_of_one_delivers_one_event_at_a_time():
    """GenStage 48: max 1, min 0."""
    demands, batches = run_edge(5, 1, 0)

    assert demands == [1] * 5
    assert batches == [[0], [1], [2], [3], [4]]


def test_minimum_defaults_to_half_of_the_maximum():
    """GenStage 39: and to 0 for a maximum of 1."""
    for max_demand, size in [(10, 5), (1, 1), (2, 1)]:
        rt, demands, batches = ff.Runtime(), [], []
        producer = rt.start(Counter(20, demands=demands))
        rt.start(Record(batches), subscribe_to=[(producer, dict(max_demand=max_demand))])
        settle(rt)

        assert demands[0] == max_demand
        assert [len(batch) for batch in batches] == [size] * (20 // size)


def test_three_batches_of_a_hundred_lead_to_one_ask_of_three_hundred():
    """GenStage 44 and 49: max 1000, min 750, the producer emits 100 a turn."""
    demands, batches = run_edge(600, 1000, 750, chunk=100)

    assert demands == [1000, 900, 800, 1000, 900, 800]
    assert [len(batch) for batch in batches] == [100] * 6


def test_nothing_is_asked_for_again_before_the_low_mark():
    """GenStage 44: the counters, turn by turn."""
    rt = ff.Runtime()
    producer = rt.start(Counter(400, chunk=100, ends=False))
    consumer = rt.start(Recorder())
    subscription = consumer.subscribe(producer, max_demand=1000, min_demand=750)
    seen = [counters(subscription)]

    while step(rt):
        seen.append(counters(subscription))

    asked_at = {acked: asked for asked, _, acked in seen}
    assert asked_at == {0: 1000, 100: 1000, 200: 1000, 300: 1300, 400: 1300}


@st.composite
def edges(draw):
    """An edge whose sizes do not depend on memory: see the docstring of `model`."""
    size = draw(st.integers(1, 12))
    max_demand = size * draw(st.integers(1, 6))
    whole = draw(st.booleans())
    chunk = None if whole else draw(st.integers(1, size))
    return draw(st.integers(0, 150)), max_demand, max_demand - size, chunk


@settings(max_examples=60, deadline=None)
@given(edges())
def test_demands_and_batches_equal_those_of_the_model(edge):
    stop, max_demand, min_demand, chunk = edge
    machine, producer = Machine(), Stage(source(stop, chunk))
    consumer = Stage(handle=lambda batch: None)
    machine.connect(producer, consumer, max_demand, min_demand)
    machine.settle()
    rt, demands, batches = ff.Runtime(), [], []
    real = rt.start(Counter(stop, chunk, demands, ends=False))
    rt.start(
        Record(batches), subscribe_to=[(real, dict(max_demand=max_demand, min_demand=min_demand))]
    )

    settle(rt)

    assert batches == consumer.batches
    assert demands == producer.demands


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.data(), st.lists(st.integers(1, 30), max_size=12))
def test_every_turn_keeps_to_the_rules_whatever_the_batches(max_demand, data, sizes):
    min_demand = data.draw(st.integers(0, max_demand - 1))
    ends = np.cumsum([0, *sizes])
    script = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
    rt = ff.Runtime()
    producer, consumer = rt.start(Script(script, dtype="int64")), rt.start(Recorder())
    watch = Watch(
        consumer.subscribe(producer, max_demand=max_demand, min_demand=min_demand),
        max_demand,
        min_demand,
    )
    watch.ended = True  # a script ends by itself: the last asks may be left out

    while step(rt):
        watch.look()

    assert [int(x) for batch in consumer.result() for x in batch] == list(range(ends[-1]))


@pytest.mark.parametrize(
    ("dtype", "first"),
    [
        ("int64", 32_768),
        ("int8", 262_144),
        ("float32", 65_536),
        ("complex128", 16_384),
        ([("price", "f8"), ("qty", "i8")], 16_384),
        ("S300000", 2),
        ("object", 1000),
        (None, 32_768),
    ],
    ids=str,
)
def test_default_demand_is_256_kib_of_events(dtype, first):
    """DESIGN 3; GenStage 39 keeps its 1000 for object events."""
    rt, demands = ff.Runtime(), []
    producer = rt.start(Push(demands), dtype=dtype)

    consumer = rt.start(Recorder())
    subscription = consumer.subscribe(producer)
    settle(rt)

    assert demands == [first]
    assert counters(subscription) == (first, 0, 0)


def test_default_demand_of_objects_is_delivered_in_batches_of_500():
    rt, batches = ff.Runtime(), []
    producer = rt.start(Script([list(range(2000))], dtype="object"))
    rt.start(Record(batches), subscribe_to=[producer])

    settle(rt)

    assert max(len(batch) for batch in batches) <= 500
    assert sum(batches, []) == list(range(2000))


def test_what_waits_is_delivered_at_once_even_when_little():
    """GenStage 50: no delivery waits to be filled."""
    rt, batches = ff.Runtime(), []
    producer = rt.start(Push())
    rt.start(Record(batches), subscribe_to=[(producer, dict(max_demand=1000))])
    settle(rt)

    producer.cast([1, 2, 3])
    settle(rt)
    producer.cast([4])
    settle(rt)

    assert batches == [[1, 2, 3], [4]]


def test_no_batch_is_ever_empty():
    """GenStage 51."""
    rt, batches = ff.Runtime(), []
    producer = rt.start(Script([np.arange(3), np.arange(0), np.arange(2)], dtype="int64"))
    middle = rt.start(ff.Filter(lambda x: x > 100), subscribe_to=[producer])
    rt.start(Record(batches), subscribe_to=[producer])
    rt.start(Record(batches), subscribe_to=[middle])

    settle(rt)

    assert all(batches)


@pytest.mark.parametrize(
    "options",
    [
        dict(max_demand=0),
        dict(max_demand=-1),
        dict(max_demand=1000, min_demand=2000),
        dict(max_demand=10, min_demand=10),
        dict(max_demand=10, min_demand=-1),
        dict(max_demand=1.5),
        dict(max_demand=True),
        dict(max_demand=float("inf")),
        dict(max_demand="many"),
        dict(max_demand=10, min_demand=2.5),
    ],
    ids=str,
)
def test_impossible_demands_are_refused_when_subscribing(options):
    """GenStage 40 and 41; the consumer and the producer live on."""
    rt = ff.Runtime()
    producer, consumer = rt.start(Push()), rt.start(Hand())

    with pytest.raises((TypeError, ValueError), match=r"m(ax|in)_demand"):
        consumer.subscribe(producer, **options)

    settle(rt)
    assert producer.alive
    assert consumer.alive


def test_a_refused_demand_names_what_was_got_and_expected():
    """GenStage 40: the text."""
    rt = ff.Runtime()
    producer, consumer = rt.start(Push()), rt.start(Hand())

    with pytest.raises((TypeError, ValueError), match=r"max_demand.*0.*1"):
        consumer.subscribe(producer, max_demand=0)


def test_numpy_integers_are_demands():
    rt, demands = ff.Runtime(), []
    producer = rt.start(Push(demands))
    rt.start(
        Recorder(), subscribe_to=[(producer, dict(max_demand=np.int64(10), min_demand=np.uint8(3)))]
    )

    settle(rt)

    assert demands == [10]


# -- demand is never forgotten --------------------------------------------------------------------


def test_a_producer_that_left_demand_is_called_again_with_the_rest():
    """DESIGN 3: all that is asked and not yet sent (GenStage 26 forgets it)."""
    demands, batches = run_edge(10, 10, 0, chunk=3)

    assert demands == [10, 7, 4, 1]
    assert sum(batches, []) == list(range(10))


def test_a_block_smaller_than_the_demand_does_not_stall_the_stream():
    """DESIGN 3: blocks of 10,000 rows under a demand of 32,768."""
    rt, demands = ff.Runtime(), []
    producer = rt.start(Counter(200_000, 10_000, demands))
    total = rt.start(ff.Sum(), subscribe_to=[producer])

    settle(rt)

    assert total.result() == sum(range(200_000))


@pytest.mark.parametrize("nothing", [None, [], np.empty(0, "int64")], ids=["None", "list", "array"])
def test_a_producer_that_emitted_nothing_is_parked(nothing):
    class Silent(ff.Producer):
        dtype = "int64"

        def __init__(self, demands):
            self.demands = demands

        def handle_demand(self, demand):
            self.demands.append(demand)
            return nothing

    rt, demands = ff.Runtime(), []
    producer = rt.start(Silent(demands))
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])

    settle(rt)
    settle(rt)

    assert demands == [10]


def test_a_parked_producer_is_called_again_after_an_ask():
    rt, demands = ff.Runtime(), []
    producer, consumer = rt.start(Push(demands)), rt.start(Hand())
    subscription = consumer.subscribe(producer, max_demand=10)
    subscription.ask(2)
    settle(rt)

    subscription.ask(3)
    settle(rt)

    assert demands == [2, 5]


def test_a_parked_producer_is_called_again_after_a_message():
    rt, demands = ff.Runtime(), []
    producer = rt.start(Push(demands))
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10, min_demand=0))])
    settle(rt)

    producer.cast([1, 2])
    settle(rt)

    assert demands == [10, 8]


def test_a_parked_producer_is_called_again_after_wake():
    rt, demands = ff.Runtime(), []
    producer = rt.start(Push(demands))
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])
    settle(rt)

    stage_of(producer).wake()
    settle(rt)

    assert demands == [10, 10]


def test_a_parked_producer_is_called_again_after_a_timer():
    class Later(Push):
        def setup(self):
            self.after(5.0, "now")

        def handle_info(self, message):
            return None

    clock, demands = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    producer = rt.start(Later(demands))
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])
    settle(rt)

    clock.advance(5.0)
    settle(rt)

    assert demands == [10, 10]


def test_demand_of_several_consumers_comes_as_one_number():
    """GenStage 25 and 61, whose separate asks become what waits when the turn comes."""
    rt, demands = ff.Runtime(), []
    producer = rt.start(Push(demands))
    for max_demand in (4, 10):
        rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=max_demand))])

    settle(rt)

    assert demands == [14]


def test_a_producer_is_not_called_without_demand():
    """GenStage 24: only with a positive number."""
    _, subscription, seen, demands = by_hand()

    assert demands == []
    assert seen == []
    assert counters(subscription) == (0, 0, 0)


# -- several producers ----------------------------------------------------------------------------


def test_each_subscription_has_a_demand_of_its_own():
    """GenStage 85: up to the sum of the maxima in flight."""
    rt, demands = ff.Runtime(), [[], [], []]
    producers = [rt.start(Push(each)) for each in demands]
    sizes = [10, 20, 30]

    rt.start(
        Recorder(),
        subscribe_to=[(p, dict(max_demand=n)) for p, n in zip(producers, sizes, strict=True)],
    )
    settle(rt)

    assert demands == [[10], [20], [30]]


def test_order_of_each_producer_is_kept():
    rt, seen = ff.Runtime(), []

    class Tagged(ff.Consumer):
        def handle_events(self, events, source):
            seen.extend((source.tag, int(x)) for x in events)

    producers = [rt.start(Counter(1000, chunk)) for chunk in (7, 50, None)]
    consumer = rt.start(Tagged())
    for i, producer in enumerate(producers):
        consumer.subscribe(producer, tag=i, max_demand=20 + i)

    settle(rt)

    for i in range(3):
        assert [x for tag, x in seen if tag == i] == list(range(1000))
    assert consumer.join() == "normal"


def test_input_is_taken_from_the_subscriptions_in_rotation():
    """DESIGN 6."""
    rt, turns = ff.Runtime(), []

    class Tagged(ff.Consumer):
        def handle_events(self, events, source):
            turns.append(source.tag)

    producers = [rt.start(Counter(50)) for _ in range(3)]
    consumer = rt.start(Tagged())
    for i, producer in enumerate(producers):
        consumer.subscribe(producer, tag=i, max_demand=10, min_demand=9)

    settle(rt)

    middle = turns[6:-30]
    assert [set(middle[i : i + 3]) for i in range(0, len(middle) - 2, 3)] == [{0, 1, 2}] * (
        len(middle) // 3
    )
