"""Demand through a stage in the middle, and what waits in a buffer when there is none.

Numbers as in "GenStage 44" are behaviours of the original that are kept; where ours differs on
purpose, the docstring says how.  Sizes are compared with `model.Machine` where rules decide them.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers_demand import Counter, Hand, Push, Record
from hypothesis import given, settings
from hypothesis import strategies as st
from model import Buffer, counters

import fastflow as ff
from fastflow.testing import settle

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
