"""Buffers, and information in order with the events: GenStage 102 to 114.

What is emitted beyond demand waits in the stage's buffer.  `async_info` and `sync_info` hand over a
message that is handled when all that waited before it has gone.
"""

from __future__ import annotations

import pytest
from helpers_dispatch import Count, Hand, Hub, Push, failure, statistics, warnings_in

import fastflow as ff
from fastflow.testing import settle, stage_of


class Letters(Push):
    """Objects, so that letters and numbers may follow each other; then counts on demand."""

    def __init__(self, answers=False):
        super().__init__(object)
        self.answers, self.next = answers, 0

    def handle_demand(self, demand):
        self.demands.append(demand)
        if not self.answers:
            return None
        first, self.next = self.next, self.next + demand
        return list(range(first, self.next))


def letters(**options):
    return Hub(producer=Letters(), **options)


def test_buffered_events_are_served_in_order_and_before_the_producer_is_asked():
    """GenStage 102. [a, b, c] and [d, e] without a consumer, then one with max 4 and min 0.

    handle_demand is given what the buffer left open: 3 of 4, and then 4.
    """
    hub = Hub(producer=Letters(answers=True))
    hub.push("a", "b", "c")
    hub.push("d", "e")
    assert hub.waiting == 5
    batches = []

    class Four(Hand):
        def handle_subscribe(self, role, options, subscription):
            return "automatic"

        def handle_events(self, events, source):
            super().handle_events(events, source)
            if len(self.batches) == 4:
                self.finish()

    hub.rt.start(Four(batches), subscribe_to=[(hub.ref, dict(max_demand=4, min_demand=0))])
    settle(hub.rt)

    assert batches == [["a", "b", "c", "d"], ["e"], [0, 1, 2], [3, 4, 5, 6]]
    assert hub.demands[:2] == [3, 4]


@pytest.mark.parametrize(
    ("keep", "first", "second"),
    [("last", "defgh", "fghij"), ("first", "abcde", "abcde")],
)
def test_a_full_buffer_discards_the_oldest_or_the_newest(keep, first, second):
    """GenStage 103. Size 5, a to e, then f, g, h, then i, j; keep last is the default."""
    options = {} if keep == "last" else {"buffer_keep": keep}
    hub = letters(buffer_size=5, **options)

    hub.push(*"abcde")
    hub.push(*"fgh")
    assert hub.waiting == 5
    reader = hub.join(ask=5)
    assert "".join(reader.seen) == first

    hub = letters(buffer_size=5, **options)
    for batch in ("abcde", "fgh", "ij"):
        hub.push(*batch)
    assert "".join(hub.join(ask=9).seen) == second
    assert statistics(hub.ref)["discarded"] == 5


def test_an_overflow_logs_one_warning_a_dispatch_with_the_stage_and_the_number(caplog):
    """GenStage 104. Eight into five: one warning that says 3; then one that says 1."""
    hub = letters(buffer_size=5)

    hub.push(*"abcdefgh")
    hub.push("i")

    found = warnings_in(caplog, "discard")
    assert len(found) == 2
    assert all("'hub'" in text for text in found)
    assert "3 events" in found[0]
    assert "1 event" in found[1]


@pytest.mark.parametrize("log", [True, False])
def test_format_discarded_is_told_the_number_and_says_whether_to_log(log, caplog):
    """GenStage 105. True: the default warning as well; False: no word in the log."""

    class Asked(Letters):
        def format_discarded(self, count):
            self.demands.append(("discarded", count))
            return log

    hub = Hub(producer=Asked(), buffer_size=5)
    hub.push(*"abcdefgh")
    hub.push("i")

    assert hub.demands == [("discarded", 3), ("discarded", 1)]
    assert len(warnings_in(caplog, "discard")) == (2 if log else 0)
    assert statistics(hub.ref)["discarded"] == 4


def test_a_buffer_without_a_size_discards_nothing(caplog):
    """GenStage 106. Better: without a size is the default for producers too (10,000 there)."""
    hub = Hub()

    for i in range(25):
        hub.push(*range(1000 * i, 1000 * i + 1000))

    assert hub.waiting == 25_000
    assert hub.join(capacity=30_000, ask=30_000).seen == list(range(25_000))
    assert statistics(hub.ref)["discarded"] == 0
    assert warnings_in(caplog, "discard") == []


def test_the_count_of_what_waits_knows_events_alone():
    """GenStage 107. Neither messages nor input count; a consumer has nothing that waits."""
    hub = letters()
    hub.push(*"abc")
    hub.inform("one", "two")
    assert hub.waiting == 3

    consumer = hub.join()
    hub.ask((consumer, 2))
    assert hub.waiting == 1
    assert consumer.ref.estimate_buffered_count() == 0


def test_the_count_of_what_waits_knows_partition_queues():
    """GenStage 107. Better: there what waits in a partition's queue is not counted."""
    hub = Hub(ff.PartitionDispatcher(2, hash=lambda events: events % 2))
    hub.join(partition=0, ask=10)

    hub.push(1, 2, 3, 4, 5)

    assert hub.waiting == 3


def test_the_input_of_a_producer_consumer_is_not_in_its_buffer():
    """GenStage 107. What a producer_consumer has been sent waits in its subscription."""
    rt = ff.Runtime()
    source = rt.start(Count(10))
    middle = rt.start(ff.Map(lambda x: x))
    edge = middle.subscribe(source, max_demand=4)
    settle(rt)

    assert middle.estimate_buffered_count() == 0
    assert statistics(edge)["buffered"] == 4


def test_an_info_is_handled_at_once_when_nothing_waits():
    """GenStage 108. With an empty buffer."""
    hub = letters()

    hub.inform("one", "two")

    assert hub.stage.infos == ["one", "two"]


def test_infos_wait_for_what_was_buffered_at_that_time_and_keep_their_order():
    """GenStage 108. Not for what comes later."""
    hub = letters()
    hub.push(*"abc")
    hub.inform("one", "two")
    hub.push(*"de")
    hub.inform("three")
    reader = hub.join()
    assert hub.stage.infos == []

    hub.ask((reader, 2))
    assert hub.stage.infos == []
    hub.ask((reader, 1))
    assert hub.stage.infos == ["one", "two"]
    hub.ask((reader, 1))
    assert hub.stage.infos == ["one", "two"]
    hub.ask((reader, 1))
    assert hub.stage.infos == ["one", "two", "three"]


def test_an_info_stands_behind_what_was_cast_before_it():
    """GenStage 108 and 182. The events of a cast that was sent first are there first."""
    hub = letters()

    hub.ref.cast("abc")
    hub.ref.async_info("behind c")
    settle(hub.rt)

    assert (hub.waiting, hub.stage.infos) == (3, [])
    hub.join(ask=3)
    assert hub.stage.infos == ["behind c"]


def test_sync_info_returns_when_the_message_is_queued_and_not_when_it_is_handled():
    """GenStage 108. It returns although nobody asks for the events before it."""
    with ff.Runtime() as rt:
        producer = rt.start(Letters())
        producer.cast("abc")
        producer.sync_info("behind them", timeout=20.0)
        producer.sync_info("and this", timeout=20.0)
        assert stage_of(producer).infos == []
        assert producer.estimate_buffered_count() == 3

        batches = []
        edge = rt.start(Hand(batches)).subscribe(producer)
        edge.ask(3)

    assert batches == [["a", "b", "c"]]
    assert stage_of(producer).infos == ["behind them", "and this"]


def test_one_ask_takes_events_from_both_sides_of_an_info():
    """GenStage 109. [a, b, c], info, [g, h] and one ask of 5: all of them, in order, and the info.

    Better: there it makes two deliveries; here what waits together is delivered together, and the
    info comes when its events have gone.
    """
    hub = letters()
    hub.push(*"abc")
    hub.inform("between")
    hub.push(*"gh")

    reader = hub.join(ask=5)

    assert "".join(reader.seen) == "abcgh"
    assert len(reader.batches) == 1
    assert hub.stage.infos == ["between"]


def test_an_info_is_handled_when_the_events_before_it_are_discarded():
    """GenStage 110. Infos are permanent, whatever end of a full buffer is kept."""
    hub = letters(buffer_size=3)
    hub.push(*"abc")
    hub.inform("behind c")
    hub.push(*"de")
    assert hub.stage.infos == []

    hub.push("f")

    assert hub.stage.infos == ["behind c"]
    assert "".join(hub.join(ask=9).seen) == "def"


def test_infos_stay_between_their_events_in_a_moving_window():
    """GenStage 111. Size 3: a, b, c, info; two taken; d, e, info; one taken, then two."""
    hub = letters(buffer_size=3)
    reader = hub.join()
    hub.push(*"abc")
    hub.inform("s1")
    hub.ask((reader, 2))
    assert ("".join(reader.seen), hub.stage.infos) == ("ab", [])

    hub.push(*"de")
    hub.inform("s2")
    hub.ask((reader, 1))
    assert ("".join(reader.seen), hub.stage.infos) == ("abc", ["s1"])

    hub.ask((reader, 2))
    assert ("".join(reader.seen), hub.stage.infos) == ("abcde", ["s1", "s2"])
    assert statistics(hub.ref)["discarded"] == 0


@pytest.mark.parametrize("size", [3, None], ids=["bounded", "unbounded"])
def test_infos_take_no_room_and_are_not_counted(size):
    """GenStage 112. Better: there the ones in a buffer without a size are counted."""
    hub = letters(buffer_size=size)
    hub.push(*"ab")
    hub.inform(*range(10))
    hub.push("c")

    assert hub.waiting == 3
    assert statistics(hub.ref)["discarded"] == 0
    assert "".join(hub.join(ask=3).seen) == "abc"
    assert hub.stage.infos == list(range(10))


def test_an_info_to_a_consumer_is_handled_at_once():
    """GenStage 113. A consumer has no buffer: the message stands behind nothing."""

    class Hears(Hand):
        def handle_info(self, message):
            self.batches.append(message)

    rt, log = ff.Runtime(), []
    source = rt.start(Push())
    consumer = rt.start(Hears(log))
    edge = consumer.subscribe(source)
    source.cast([1, 2])
    consumer.async_info("before any event")
    settle(rt)
    assert log == ["before any event"]

    edge.ask(2)
    settle(rt)
    consumer.async_info("after")
    settle(rt)
    assert log == ["before any event", [1, 2], "after"]


def test_events_of_a_consumer_that_died_are_kept_sent_or_not():
    """GenStage 114. Better: what was sent to it and not handled is kept as well (lost there)."""
    hub = letters()
    first = hub.join(ask=3)
    hub.crash(first)

    hub.push(*"abcde")

    assert isinstance(failure(first.ref), ZeroDivisionError)
    assert first.seen == []
    assert hub.waiting == 5
    assert "".join(hub.join(ask=9).seen) == "abcde"


def test_a_buffer_of_size_zero_keeps_nothing_that_nobody_asked_for():
    """GenStage 7, which crashes there: here all that is beyond demand is discarded."""
    hub = letters(buffer_size=0)
    hub.push(*"abc")
    reader = hub.join(ask=2)
    assert reader.seen == []

    hub.push(*"defg")

    assert "".join(reader.seen) == "de"
    assert hub.waiting == 0
    assert statistics(hub.ref)["discarded"] == 5
