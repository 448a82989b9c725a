"""Demand: who asks for how much, when, and in what sizes it comes.

Numbers as in "GenStage 44" are behaviours of the original that are kept; where ours differs on
purpose, the docstring says how.  Sizes are compared with `model.Machine` where rules decide them.
"""

from __future__ import annotations

import contextlib
import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model import Buffer, Machine, Stage, Watch, check_model, counters, source

import fastflow as ff
from fastflow.errors import CallbackError, FastflowError
from fastflow.testing import ManualClock, Recorder, Script, settle, stage_of, step

WAIT = 20.0  # seconds: a deadline, never a pause


class Counter(ff.Producer):
    """Counts up to `stop`, at most `chunk` a turn; writes down the demands that it is given."""

    dtype = "int64"

    def __init__(self, stop, chunk=None, demands=None, ends=True):
        self.next, self.stop, self.chunk, self.ends = 0, stop, chunk, ends
        self.demands = [] if demands is None else demands

    def handle_demand(self, demand):
        self.demands.append(demand)
        count = min(demand, self.stop - self.next, self.chunk or demand)
        out = self.claim(count)
        out[:] = np.arange(self.next, self.next + count)
        self.next += count
        if self.ends and self.next == self.stop:
            self.finish()
        return out


class Push(ff.Producer):
    """Answers no demand; what is cast to it, it emits."""

    dtype = "int64"

    def __init__(self, demands=None):
        self.demands = [] if demands is None else demands

    def handle_demand(self, demand):
        self.demands.append(demand)

    def handle_cast(self, request):
        return np.array(request, dtype="int64")


class Hand(ff.Consumer):
    """Takes nothing but what is asked for by hand; keeps the events."""

    def __init__(self, seen=None):
        self.seen = [] if seen is None else seen

    def handle_subscribe(self, role, options, subscription):
        return "manual"

    def handle_events(self, events, source):
        self.seen.extend(np.asarray(events).tolist())


class Record(ff.Consumer):
    """Appends a list of every batch to `batches`, which the test holds."""

    def __init__(self, batches):
        self.batches = batches

    def handle_events(self, events, source):
        self.batches.append(list(events))


def by_hand(stop=1000, max_demand=100, **counter):
    """(runtime, subscription, seen, demands) of a counter and a consumer in manual mode."""
    rt, seen, demands = ff.Runtime(), [], []
    producer = rt.start(Counter(stop, demands=demands, ends=False, **counter))
    consumer = rt.start(Hand(seen))
    subscription = consumer.subscribe(producer, max_demand=max_demand)
    settle(rt)
    return rt, subscription, seen, demands


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


# -- by hand --------------------------------------------------------------------------------------


def test_manual_mode_delivers_exactly_what_is_asked():
    """GenStage 55 and 57."""
    rt, subscription, seen, demands = by_hand()

    subscription.ask(3)
    settle(rt)

    assert demands == [3]
    assert seen == [0, 1, 2]
    assert counters(subscription) == (3, 3, 3)


def test_manual_mode_never_asks_by_itself():
    rt, subscription, seen, _ = by_hand()

    subscription.ask(100)
    settle(rt)
    settle(rt)

    assert len(seen) == 100


def test_asking_for_nothing_does_nothing():
    """GenStage 56."""
    rt, subscription, seen, demands = by_hand()

    subscription.ask(0)
    settle(rt)

    assert demands == []
    assert seen == []


@pytest.mark.parametrize(
    "bad", [-1, -(2**63), 1.5, 2.0, float("nan"), True, False, None, "3", np.float64(2)]
)
def test_asks_that_are_no_count_are_refused(bad):
    """GenStage 56; the subscription is unharmed."""
    rt, subscription, seen, _ = by_hand()

    with pytest.raises((TypeError, ValueError)):
        subscription.ask(bad)

    subscription.ask(2)
    settle(rt)
    assert seen == [0, 1]


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_numpy_integers_can_be_asked(kind):
    rt, subscription, seen, _ = by_hand()

    subscription.ask(np.dtype(kind).type(3))
    settle(rt)

    assert seen == [0, 1, 2]


def test_asks_add_up():
    rt, subscription, seen, demands = by_hand()

    for n in range(1, 11):
        subscription.ask(n)
    settle(rt)

    assert sum(demands) == 55
    assert seen == list(range(55))


def test_an_ask_beyond_the_capacity_waits_on_the_consumers_side():
    rt, subscription, seen, demands = by_hand(max_demand=4)
    watch = Watch(subscription, 4, 0, manual=True)

    watch.ask(10)
    while step(rt):
        watch.look()

    assert seen == list(range(10))
    assert max(demands) <= 4
    assert counters(subscription) == (10, 10, 10)


@pytest.mark.parametrize("huge", [2**63 - 1, 2**64 - 1, 2**63])
def test_huge_asks_saturate(huge):
    """Of a number past 64 bits only a clear refusal or saturation will do; counters stay sound."""
    rt, subscription, seen, _ = by_hand(stop=50, max_demand=8)

    subscription.ask(2**63 - 1)
    with contextlib.suppress(ValueError, OverflowError):
        subscription.ask(huge)
    settle(rt)

    asked, sent, acked = counters(subscription)
    assert (sent, acked) == (50, 50)
    assert asked == 58
    assert seen == list(range(50))


def test_an_ask_after_the_cancel_asks_nothing():
    """Reactive Streams 3.6: no effect; an error that says so will do too."""
    rt, demands = ff.Runtime(), []
    producer, consumer = rt.start(Push(demands)), rt.start(Hand())
    subscription = consumer.subscribe(producer, max_demand=10, cancel="temporary")
    settle(rt)
    subscription.cancel("cancel")
    settle(rt)

    with contextlib.suppress(FastflowError):
        subscription.ask(3)
    settle(rt)

    assert demands == []


def test_an_ask_from_another_thread_reaches_the_consumers_scheduler():
    got = threading.Event()

    class Tell(Hand):
        def handle_events(self, events, source):
            super().handle_events(events, source)
            if len(self.seen) == 5:
                got.set()

    seen = []
    with ff.Runtime() as rt:
        producer = rt.start(Counter(100, ends=False))
        consumer = rt.start(Tell(seen))
        subscription = consumer.subscribe(producer, max_demand=10)
        subscription.ask(2)
        subscription.ask(3)
        assert got.wait(WAIT)
    assert seen == [0, 1, 2, 3, 4]


def test_asks_from_many_threads_sum_exactly():
    """Reactive Streams 2.7."""
    seen = []
    with ff.Runtime() as rt:
        producer = rt.start(Counter(100_000, ends=False))
        consumer = rt.start(Hand(seen))
        subscription = consumer.subscribe(producer, max_demand=16)
        threads = [
            threading.Thread(target=lambda: [subscription.ask(1) for _ in range(50)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)

    assert seen == list(range(200))


def test_a_callback_may_ask():
    """Reactive Streams 3.2: one by one, without recursion."""

    class OneByOne(Hand):
        def handle_subscribe(self, role, options, subscription):
            self.subscription = subscription
            subscription.ask(1)
            return "manual"

        def handle_events(self, events, source):
            super().handle_events(events, source)
            self.subscription.ask(1)

    rt, seen, demands = ff.Runtime(), [], []
    producer = rt.start(Counter(2000, demands=demands))
    rt.start(OneByOne(seen), subscribe_to=[(producer, dict(max_demand=10))])

    settle(rt)

    assert seen == list(range(2000))
    assert set(demands) == {1}


def test_a_producer_may_finish_without_being_asked_for_the_rest():
    """GenStage 55: manual, and the events beyond the ask stay where they are."""
    rt, seen = ff.Runtime(), []
    producer, consumer = rt.start(Script([np.arange(10)], dtype="int64")), rt.start(Hand(seen))
    subscription = consumer.subscribe(producer, max_demand=100)
    subscription.ask(4)
    settle(rt)

    assert seen == [0, 1, 2, 3]
    assert consumer.alive
    subscription.ask(100)
    settle(rt)

    assert seen == list(range(10))
    assert consumer.join() == "normal"


def test_an_unknown_mode_ends_the_stage():
    """GenStage 58."""

    class Odd(ff.Consumer):
        def handle_subscribe(self, role, options, subscription):
            return "sometimes"

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    producer, consumer = rt.start(Push()), rt.start(Odd())

    with pytest.raises(CallbackError, match="sometimes"):
        consumer.subscribe(producer)
        settle(rt)
        consumer.result()


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


# -- stages in the middle -------------------------------------------------------------------------


class Double(ff.ProducerConsumer):
    """Every event twice."""

    dtype = "int64"

    def __init__(self, batches=None):
        self.batches = [] if batches is None else batches

    def handle_events(self, events, source):
        self.batches.append(events.tolist())
        return np.repeat(events, 2)


def test_a_stage_in_the_middle_asks_at_once_but_handles_nothing_without_demand():
    """GenStage 91: exactly one maximum waits."""
    rt, demands, batches = ff.Runtime(), [], []
    producer = rt.start(Counter(1000, demands=demands))
    middle = rt.start(Double(batches))
    subscription = middle.subscribe(producer, max_demand=10, min_demand=5)

    settle(rt)

    assert demands == [10]
    assert batches == []
    assert counters(subscription) == (10, 10, 0)


def test_a_batch_is_handled_whole_and_what_is_beyond_demand_waits():
    """GenStage 93: and no further batch is handled before it has gone."""
    rt, batches, seen = ff.Runtime(), [], []
    producer = rt.start(Counter(1000))
    middle = rt.start(Double(batches))
    middle.subscribe(producer, max_demand=10, min_demand=5)
    consumer = rt.start(Hand(seen))
    subscription = consumer.subscribe(middle, max_demand=100)
    settle(rt)

    subscription.ask(1)
    settle(rt)
    assert batches == [[0, 1, 2, 3, 4]]
    assert seen == [0]
    assert middle.estimate_buffered_count() == 9

    subscription.ask(9)
    settle(rt)
    assert len(batches) == 1
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]

    subscription.ask(1)
    settle(rt)
    assert len(batches) == 2


def test_a_stage_that_drops_everything_keeps_pulling():
    """GenStage 95: asks depend on the input that was handled, not on the output."""
    rt = ff.Runtime()
    producer = rt.start(Counter(1000))
    middle = rt.start(
        ff.Filter(lambda x: x < 0), subscribe_to=[(producer, dict(max_demand=10, min_demand=5))]
    )
    count = rt.start(ff.Count(), subscribe_to=[(middle, dict(max_demand=4))])

    settle(rt)

    assert count.result() == 0


def test_order_is_kept_through_a_stage_that_emits_more_than_is_asked():
    """GenStage 97, in order; its sizes follow from messages kept apart."""
    rt, batches = ff.Runtime(), []
    producer = rt.start(Counter(500))
    middle = rt.start(Double(), subscribe_to=[(producer, dict(max_demand=100, min_demand=80))])
    rt.start(Record(batches), subscribe_to=[(middle, dict(max_demand=100, min_demand=50))])

    settle(rt)

    assert max(len(batch) for batch in batches) <= 50
    assert sum(batches, []) == [x for x in range(500) for _ in (0, 1)]


def test_a_stage_in_the_middle_stops_asking_when_nobody_asks_it():
    """GenStage 96."""
    rt, demands, batches, seen = ff.Runtime(), [], [], []
    producer = rt.start(Counter(1000, demands=demands))
    middle = rt.start(Double(batches), subscribe_to=[(producer, dict(max_demand=4, min_demand=2))])
    consumer = rt.start(Hand(seen))
    subscription = consumer.subscribe(middle, max_demand=100)
    settle(rt)

    subscription.ask(20)
    settle(rt)

    assert batches == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert len(seen) == 20
    assert sum(demands) <= 14


def test_what_waits_of_a_producer_that_ended_is_still_handled():
    """GenStage 98: the end stands behind the events."""
    rt, log, seen = ff.Runtime(), [], []

    class Middle(Double):
        def handle_cancel(self, reason, subscription):
            log.append((reason, len(self.batches)))

    batches = []
    producer = rt.start(Counter(10))
    middle = rt.start(Middle(batches), subscribe_to=[(producer, dict(max_demand=10, min_demand=5))])
    settle(rt)
    assert log == []

    rt.start(Hand(seen)).subscribe(middle, max_demand=100).ask(100)
    settle(rt)

    assert batches == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert log[0] == ("normal", 2)
    assert seen == [x for x in range(10) for _ in (0, 1)]


def test_a_stage_in_the_middle_may_emit_from_any_callback():
    """GenStage 101 and 21: ahead of the input that waits."""

    class Middle(Double):
        def handle_cast(self, request):
            return np.array(request)

    rt, seen = ff.Runtime(), []
    producer = rt.start(Counter(4))
    middle = rt.start(Middle(), subscribe_to=[(producer, dict(max_demand=4, min_demand=0))])
    settle(rt)

    middle.cast([100, 101])
    settle(rt)
    rt.start(Hand(seen)).subscribe(middle, max_demand=100).ask(50)
    settle(rt)

    assert seen == [100, 101, 0, 0, 1, 1, 2, 2, 3, 3]


# -- buffers --------------------------------------------------------------------------------------


def test_the_buffer_keeps_everything_by_default():
    """GenStage 106, for every type of stage."""
    rt, seen = ff.Runtime(), []
    producer = rt.start(Push())
    for i in range(300):
        producer.cast(range(100 * i, 100 * i + 100))
    settle(rt)

    assert producer.estimate_buffered_count() == 30_000
    rt.start(Hand(seen)).subscribe(producer, max_demand=50_000).ask(30_000)
    settle(rt)

    assert seen == list(range(30_000))
    assert producer.estimate_buffered_count() == 0


def test_buffered_events_come_before_the_producer_is_called():
    """GenStage 102 and 27: handle_demand gets what the buffer left open."""
    rt, demands, batches = ff.Runtime(), [], []
    producer = rt.start(Push(demands))
    producer.cast([1, 2, 3])
    producer.cast([4, 5])
    settle(rt)

    rt.start(Record(batches), subscribe_to=[(producer, dict(max_demand=8, min_demand=0))])
    settle(rt)

    assert sum(batches, []) == [1, 2, 3, 4, 5]
    assert demands == [3]


def test_a_producer_is_not_called_while_its_buffer_holds_events():
    rt, demands, seen = ff.Runtime(), [], []
    producer, consumer = rt.start(Push(demands)), rt.start(Hand(seen))
    subscription = consumer.subscribe(producer, max_demand=100)
    producer.cast(range(10))
    settle(rt)

    subscription.ask(4)
    settle(rt)
    subscription.ask(6)
    settle(rt)
    assert demands == []

    subscription.ask(5)
    settle(rt)
    assert demands == [5]
    assert seen == list(range(10))


def test_what_a_producer_emits_beyond_demand_waits():
    """GenStage 27."""

    class Generous(Counter):
        def handle_demand(self, demand):
            return super().handle_demand(demand + 7)

    rt, demands, seen = ff.Runtime(), [], []
    producer = rt.start(Generous(1000, demands=demands, ends=False))
    subscription = rt.start(Hand(seen)).subscribe(producer, max_demand=100)

    subscription.ask(3)
    settle(rt)
    assert (seen, demands) == ([0, 1, 2], [10])
    assert producer.estimate_buffered_count() == 7

    subscription.ask(7)
    settle(rt)
    assert (len(seen), demands) == (10, [10])


@pytest.mark.parametrize(("keep", "kept"), [("last", [3, 4, 5, 6, 7]), ("first", [0, 1, 2, 3, 4])])
def test_a_full_buffer_discards_at_the_chosen_end(keep, kept):
    """GenStage 103."""
    rt, seen = ff.Runtime(), []
    producer = rt.start(Push(), buffer_size=5, buffer_keep=keep)
    producer.cast(range(5))
    producer.cast([5, 6, 7])
    settle(rt)
    assert producer.estimate_buffered_count() == 5

    rt.start(Hand(seen)).subscribe(producer, max_demand=100).ask(50)
    settle(rt)

    assert seen == kept


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 8),
    st.sampled_from(["first", "last"]),
    st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=15),
)
def test_a_buffer_equals_that_of_the_model(size, keep, steps):
    """GenStage 103, event by event: pushes and asks in any order."""
    rt, seen, expected, next_event = ff.Runtime(), [], [], 0
    producer = rt.start(Push(), buffer_size=size, buffer_keep=keep)
    subscription = rt.start(Hand(seen)).subscribe(producer, max_demand=1000)
    buffer, pending = Buffer(size, keep), 0

    for push, n in steps:
        if push:
            events = list(range(next_event, next_event + n))
            next_event += n
            producer.cast(events)
            now, later = events[:pending], events[pending:]
            pending -= len(now)
            expected += now
            buffer.put(later)
        else:
            subscription.ask(n)
            pending += n
            now = buffer.take(pending)
            pending -= len(now)
            expected += now
        settle(rt)
        assert seen == expected
        assert producer.estimate_buffered_count() == len(buffer.events)


def test_format_discarded_is_told_how_many(caplog):
    """GenStage 105: false keeps the log quiet."""

    class Quiet(Push):
        def format_discarded(self, count):
            self.demands.append(count)
            return False

    rt, counts = ff.Runtime(), []
    producer = rt.start(Quiet(counts), buffer_size=5)
    producer.cast(range(8))
    settle(rt)
    producer.cast([8])
    settle(rt)

    assert counts == [3, 1]
    assert [r for r in caplog.records if "discarded" in r.getMessage()] == []


def test_discarding_is_a_warning(caplog):
    """GenStage 104: one a dispatch, with the stage and the number."""
    rt = ff.Runtime()
    producer = rt.start(Push(), name="pushy", buffer_size=5)
    producer.cast(range(8))
    settle(rt)

    records = [r for r in caplog.records if "discard" in r.getMessage()]
    assert len(records) == 1
    assert records[0].levelname == "WARNING"
    assert records[0].name.startswith("fastflow")
    assert "pushy" in records[0].getMessage()
    assert "3" in records[0].getMessage()


def test_a_buffer_of_no_size_keeps_nothing_or_is_refused():
    """GenStage 7 crashes there; here either will do, a crash will not."""
    rt, seen = ff.Runtime(), []
    try:
        producer = rt.start(Push(), buffer_size=0)
    except (TypeError, ValueError):
        return
    producer.cast([1, 2, 3])
    settle(rt)
    rt.start(Hand(seen)).subscribe(producer, max_demand=10).ask(5)
    settle(rt)

    assert seen == []
    assert producer.alive


@pytest.mark.parametrize(
    "options",
    [
        dict(buffer_size=-1),
        dict(buffer_size=1.5),
        dict(buffer_size="big"),
        dict(buffer_size=5, buffer_keep="middle"),
    ],
    ids=str,
)
def test_impossible_buffers_are_refused(options):
    """GenStage 6 and 9."""
    rt = ff.Runtime()

    with pytest.raises((TypeError, ValueError), match="buffer_"):
        rt.start(Push(), **options)


def test_a_very_full_buffer_draws_a_warning(caplog):
    """DESIGN 3: at 64 MiB."""

    class Flood(Push):
        def handle_cast(self, request):
            return np.zeros(request, "int64")

    rt = ff.Runtime()
    producer = rt.start(Flood(), name="flood")
    producer.cast(9 * 2**20)
    settle(rt)

    warnings = [
        r for r in caplog.records if r.levelname == "WARNING" and r.name.startswith("fastflow")
    ]
    assert any("flood" in r.getMessage() for r in warnings)
