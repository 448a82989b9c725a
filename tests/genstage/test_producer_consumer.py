"""What waits where in a producer_consumer: GenStage 91 to 101."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from helpers_demand import Counter, Hand, Push, Record
from helpers_stage import Log

import fastflow as ff
from fastflow.testing import Recorder, settle, stage_of, step


class Each(ff.ProducerConsumer):
    """Emits each event `times` times; writes down what it handled and heard."""

    dtype = "int64"

    def __init__(self, times=1, log=None):
        self.times, self.log = times, [] if log is None else log

    def handle_events(self, events, source):
        self.log.append(events.tolist())
        return np.repeat(events, self.times)

    def handle_cancel(self, reason, subscription):
        self.log.append(("cancel", reason))

    def handle_info(self, message):
        self.log.append(("info", message))

    def handle_cast(self, request):
        return request


def pipeline(upstream, each, max_demand=10, min_demand=5, capacity=100):
    """(runtime, edge upstream, edge downstream, handled, seen) with a consumer that asks by hand."""
    rt = ff.Runtime()
    source, middle, hand = rt.start(upstream), rt.start(each), rt.start(Hand())
    above = middle.subscribe(source, max_demand=max_demand, min_demand=min_demand)
    below = hand.subscribe(middle, max_demand=capacity)
    return rt, above, below, stage_of(middle).log, stage_of(hand).seen


def numbers(edge):
    """(asked, sent, acked)."""
    return tuple(edge.statistics()[name] for name in ("asked", "sent", "acked"))


def test_it_asks_upstream_at_once_and_handles_only_what_is_asked_for():
    """GenStage 91. One max_demand of input waits, and no more is asked for."""
    rt, above, below, handled, seen = pipeline(Counter(1000, ends=False), Each())
    settle(rt)
    assert numbers(above) == (10, 10, 0)
    assert handled == []

    below.ask(1)
    settle(rt)

    assert handled == [[0, 1, 2, 3, 4]]
    assert seen == [0]


def test_without_a_consumer_it_holds_one_max_demand():
    """GenStage 91. And stops there."""
    rt, demands = ff.Runtime(), []
    counter, each = rt.start(Counter(1000, demands=demands)), rt.start(Each())
    edge = each.subscribe(counter, max_demand=10)
    settle(rt)

    assert demands == [10]
    assert numbers(edge) == (10, 10, 0)
    assert stage_of(each).log == []


def test_its_output_is_served_before_more_input_is_handled():
    """GenStage 92. Demand takes from the buffer first; while that is not empty no input is handled."""
    rt, _, below, handled, seen = pipeline(Counter(1000, ends=False), Each(times=2))
    below.ask(4)
    settle(rt)
    assert handled == [[0, 1, 2, 3, 4]]
    assert seen == [0, 0, 1, 1]

    below.ask(6)
    settle(rt)
    assert handled == [[0, 1, 2, 3, 4]]
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]

    below.ask(1)
    settle(rt)
    assert handled[1:] == [[5, 6, 7, 8, 9]]
    assert seen[10:] == [5]


def test_input_is_handled_while_there_is_demand():
    """GenStage 92. As many deliveries as it takes."""
    rt, _, below, handled, seen = pipeline(Counter(1000, ends=False), Each())

    below.ask(20)
    settle(rt)

    assert [len(batch) for batch in handled] == [5, 5, 5, 5]
    assert seen == list(range(20))


def test_what_one_delivery_makes_beyond_the_demand_waits_in_its_buffer():
    """GenStage 93. Better: never more than of one delivery, of max - min events, not of a whole message."""
    rt, above, below, handled, seen = pipeline(Counter(1000, ends=False), Each(times=3))
    below.ask(1)
    settle(rt)

    assert handled == [[0, 1, 2, 3, 4]]
    assert seen == [0]
    assert above.producer.statistics()["emitted"] == 15
    assert below.producer.estimate_buffered_count() == 14


def test_nothing_of_its_output_is_discarded_by_default():
    """GenStage 93. Its buffer is without a bound; `buffer_size` bounds it."""
    rt, _, below, _, seen = pipeline(Counter(8, ends=False), Each(times=1000))
    below.ask(100)
    settle(rt)

    assert seen == [0] * 100
    assert below.producer.estimate_buffered_count() == 4900
    assert below.producer.statistics()["discarded"] == 0


def test_its_demand_shrinks_by_what_was_dispatched():
    """GenStage 94. Not by what was buffered, and never below 0."""
    rt, _, below, handled, _ = pipeline(Push(), Each(times=2))
    each = stage_of(below.producer)
    below.ask(10)
    settle(rt)
    assert each.pending_demand == 10

    pending = []
    for events in ([1, 2, 3], [4], [5, 6]):
        rt.subscriptions()[0].producer.cast(events)
        settle(rt)
        pending.append(each.pending_demand)

    assert pending == [4, 2, 0]
    assert below.producer.estimate_buffered_count() == 2
    assert handled == [[1, 2, 3], [4], [5, 6]]


def test_one_that_drops_everything_goes_on_asking():
    """GenStage 95. It asks again for what it handled, whatever came of that."""
    rt, above, below, handled, seen = pipeline(Counter(100, ends=False), Each(times=0))
    below.ask(1)
    settle(rt)

    assert sum(handled, []) == list(range(100))
    assert seen == []
    assert numbers(below) == (1, 0, 0)
    assert numbers(above) == (110, 100, 100)


def test_it_stops_handling_when_nobody_asks_any_more():
    """GenStage 96. Ten were asked for, so ten are handled, and two events wait for the eleventh."""
    rt, above, below, handled, seen = pipeline(Counter(1000, ends=False), Each(), max_demand=2, min_demand=0)
    below.ask(10)
    settle(rt)

    assert handled == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert seen == list(range(10))
    assert numbers(above) == (12, 12, 10)


def test_a_doubling_one_between_two_kinds_of_demand():
    """GenStage 97. Deliveries of 20 above; below at most 50, and what waits together comes together."""
    rt, handled, batches = ff.Runtime(), [], []
    counter = rt.start(Counter(200))
    each = rt.start(Each(2, handled), subscribe_to=[(counter, dict(max_demand=100, min_demand=80))])
    below = rt.start(Record(batches)).subscribe(each, max_demand=100, min_demand=50)
    while step(rt):
        asked, sent, acked = numbers(below)
        assert acked <= sent <= asked <= acked + 100

    assert [batch for batch in handled if isinstance(batch, list)] == [
        list(range(first, first + 20)) for first in range(0, 200, 20)
    ]
    assert batches[0] == np.repeat(np.arange(20), 2).tolist()
    assert all(len(batch) <= 50 for batch in batches)
    assert sum(batches, []) == np.repeat(np.arange(200), 2).tolist()


@pytest.mark.parametrize("how", ["finish", "fail"])
def test_the_end_of_a_producer_is_heard_behind_the_events_that_it_sent(how):
    """GenStage 98. They are handled first, though nobody is there to ask any more."""

    class Ends(Push):
        def handle_info(self, message):
            if message == "fail":
                raise LookupError("on purpose")
            self.finish()

    rt, above, below, handled, seen = pipeline(Ends(), Each())
    source = above.producer
    settle(rt)
    source.cast(list(range(8)))
    settle(rt)
    source.info(how)
    settle(rt)
    assert handled == []

    below.ask(100)
    settle(rt)

    assert handled[:2] == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert [entry[0] for entry in handled[2:]] == ["cancel"]
    assert seen == list(range(8))
    assert source.statistics()["emitted"] == 8


@pytest.mark.parametrize("how", ["finish", "fail", "cancel", "stop"])
def test_the_end_of_a_producer_is_heard_at_once_when_nothing_waits_before_it(how):
    """GenStage 98. Whether anybody asks downstream or not."""

    class Ends(Push):
        def handle_info(self, message):
            if message == "fail":
                raise LookupError("on purpose")
            self.finish()

    rt, above, below, handled, _ = pipeline(Ends(), Each())
    settle(rt)
    if how == "cancel":
        above.cancel("cancel")
    elif how == "stop":
        above.producer.stop()
    else:
        above.producer.info(how)
    settle(rt)

    reason = "cancel" if how == "cancel" else above.producer.join()
    assert handled == [("cancel", reason)]
    assert not below.producer.alive and not below.consumer.alive


def test_events_of_a_lost_producer_still_say_whose_they_are():
    """GenStage 99. Better: the source is the subscription, with the producer that has ended; no placeholder."""
    came = []

    class Looks(ff.ProducerConsumer):
        dtype = "int64"

        def handle_events(self, events, source):
            came.append((source.producer.name, source.producer.alive, source.tag, events.tolist()))
            return events

    rt = ff.Runtime()
    script = rt.start(Counter(3), name="numbers")
    looks, hand = rt.start(Looks()), rt.start(Hand())
    looks.subscribe(script, tag="a", max_demand=10)
    below = hand.subscribe(looks, max_demand=10)
    settle(rt)
    assert script.join() == "normal"

    below.ask(10)
    settle(rt)

    assert came == [("numbers", False, "a", [0, 1, 2])]
    assert stage_of(hand) is None or stage_of(hand).seen == [0, 1, 2]


@pytest.mark.parametrize("way", ["sync_info", "async_info"])
def test_a_message_waits_behind_the_input_and_then_behind_the_buffer(way):
    """GenStage 100. `info` does not wait; these do, and keep their order."""
    rt, _, below, handled, seen = pipeline(Push(), Each(times=2), max_demand=4, min_demand=0)
    each, source = below.producer, rt.subscriptions()[0].producer
    settle(rt)
    source.cast([1, 2, 3, 4])
    settle(rt)
    send = getattr(each, way)
    send("one")
    settle(rt)
    assert handled == []

    below.ask(3)
    settle(rt)
    assert handled == [[1, 2, 3, 4]]
    assert seen == [1, 1, 2]
    send("two")
    each.info("at once")
    settle(rt)
    assert handled[1:] == [("info", "at once")]

    below.ask(4)
    settle(rt)
    assert handled[2:] == []
    below.ask(1)
    settle(rt)

    assert handled[2:] == [("info", "one"), ("info", "two")]
    assert seen == [1, 1, 2, 2, 3, 3, 4, 4]


def test_a_message_to_an_idle_one_comes_at_once():
    """GenStage 100. Nothing waits before it."""
    rt, _, below, handled, _ = pipeline(Push(), Each())
    settle(rt)

    below.producer.async_info("hello")
    settle(rt)

    assert handled == [("info", "hello")]


def test_what_it_emits_from_other_callbacks_goes_ahead_of_its_input():
    """GenStage 101. At once to demand or buffer; the input waits its turn."""
    rt, _, below, handled, seen = pipeline(Counter(4, ends=False), Each())
    settle(rt)
    below.producer.cast([100, 101])
    settle(rt)
    assert handled == []
    assert below.producer.estimate_buffered_count() == 2

    below.ask(1)
    settle(rt)
    assert (handled, seen) == ([], [100])
    below.ask(2)
    settle(rt)

    assert handled == [[0, 1, 2, 3]]
    assert seen == [100, 101, 0]


def test_what_it_emits_at_its_end_comes_last(caplog):
    """GenStage 101. handle_end is a callback too: the last word, behind everything handled."""

    class Tells(ff.ProducerConsumer):
        dtype = "int64"

        def handle_events(self, events, source):
            return events

        def handle_end(self):
            return [-1]

    rt, log = ff.Runtime(), []
    tells = rt.start(Tells(), subscribe_to=[rt.start(Counter(3))])
    seen = rt.start(Recorder(), subscribe_to=[tells])
    rt.start(Log(log))
    with caplog.at_level(logging.WARNING, "fastflow"):
        settle(rt)

    assert [int(x) for batch in seen.result() for x in batch] == [0, 1, 2, -1]
    assert caplog.text == ""
