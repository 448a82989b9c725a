"""The broadcast dispatcher: GenStage 129 to 137."""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers_dispatch import Count, Hand, Hub, Push, failure, statistics, text_of

import fastflow as ff
from fastflow.testing import settle, stage_of


def hub_of(*asks, producer=None, **options):
    """A broadcasting hub, and a reader for each of `asks`."""
    hub = Hub(ff.BroadcastDispatcher(), producer, **options)
    return hub, *[hub.join(ask=n) for n in asks]


def even(events):
    return events % 2 == 0


@pytest.mark.parametrize("dispatcher", ["broadcast", ff.BroadcastDispatcher], ids=str)
def test_every_event_goes_to_every_subscriber(dispatcher):
    """GenStage 129."""
    hub = Hub(dispatcher() if isinstance(dispatcher, type) else dispatcher)
    readers = [hub.join(ask=5) for _ in range(3)]

    hub.push(1, 2)
    hub.push(3)

    assert [reader.seen for reader in readers] == [[1, 2, 3]] * 3
    assert [reader.counters for reader in readers] == [(5, 3, 3)] * 3


def test_upstream_demand_is_the_least_of_all():
    """GenStage 129. The slowest rules, in what is asked and in what is sent."""
    hub, slow, fast = hub_of(0, 0, producer=Count())

    hub.ask((fast, 20))
    assert (hub.demands, fast.seen) == ([], [])
    hub.ask((slow, 10))
    assert hub.demands == [10]
    assert slow.seen == fast.seen == list(range(10))

    hub.ask((slow, 20))
    assert hub.demands == [10, 10]
    assert slow.seen == fast.seen == list(range(20))
    assert statistics(hub.ref)["asked"] == 0


def test_what_is_emitted_beyond_the_least_demand_waits_for_all():
    """GenStage 129."""
    hub, slow, fast = hub_of(2, 9)

    hub.push(*range(5))
    assert slow.seen == fast.seen == [0, 1]
    assert hub.waiting == 3

    hub.ask((slow, 2))
    assert slow.seen == fast.seen == [0, 1, 2, 3]
    assert hub.waiting == 1


def test_a_new_subscriber_holds_dispatch_back_until_it_asks():
    """GenStage 130. It gets what is emitted from its joining on."""
    hub, first = hub_of(10)
    hub.push(0, 1)
    late = hub.join()
    hub.push(2, 3)
    assert first.seen == [0, 1]

    hub.ask((late, 1))
    assert (first.seen, late.seen) == ([0, 1, 2], [2])
    hub.ask((late, 5))
    assert (first.seen, late.seen) == ([0, 1, 2, 3], [2, 3])


def test_common_demand_is_asked_upstream_once():
    """GenStage 130. Asks of 10 and 20 are one demand of 10; the producer gives 10 events."""
    rt = ff.Runtime()
    producer = rt.start(Count(), dispatcher="broadcast")
    seen = []
    for n in (10, 20):
        batches = []
        rt.start(Hand(batches)).subscribe(producer).ask(n)
        seen.append(batches)

    settle(rt)

    assert stage_of(producer).demands == [10]
    assert [sum(batches, []) for batches in seen] == [list(range(10))] * 2


def test_demand_that_was_answered_is_not_asked_again_when_one_joins():
    """GenStage 130. One has asked for 10 and was given 4; who joins and asks for 8 brings up 6."""
    hub, first = hub_of(10)
    hub.push(0, 1, 2, 3)
    assert statistics(hub.ref)["asked"] == 6

    late = hub.join()
    assert statistics(hub.ref)["asked"] == 0
    hub.ask((late, 8))

    assert statistics(hub.ref)["asked"] == 6
    assert hub.demands[-1] == 6
    hub.push(4, 5, 6, 7, 8, 9)
    assert first.seen == list(range(10))
    assert late.seen == list(range(4, 10))
    assert statistics(hub.ref)["asked"] == 0


@pytest.mark.parametrize(
    ("how", "demands"), [("cancel", [10]), ("stop", [10]), ("crash", [1, 9])]
)
def test_demand_goes_upstream_when_the_one_all_wait_for_leaves(how, demands):
    """GenStage 131. At that moment, however it leaves."""
    hub, slow, fast = hub_of(0, 10, producer=Count())
    assert hub.demands == []

    if how == "cancel":
        hub.leave(slow)
    elif how == "stop":
        slow.ref.stop()
        settle(hub.rt)
    else:
        hub.crash(slow)
        hub.ask((slow, 1))
        assert not slow.ref.alive

    assert hub.demands == demands
    assert fast.seen == list(range(10))
    assert hub.ref.alive


def test_buffered_events_move_when_the_one_all_wait_for_leaves():
    """GenStage 131."""
    hub, slow, fast = hub_of(0, 10)
    hub.push(1, 2, 3)
    assert (fast.seen, hub.waiting) == ([], 3)

    hub.leave(slow)

    assert (fast.seen, hub.waiting) == ([1, 2, 3], 0)


def test_what_a_selector_filters_out_is_asked_for_again():
    """GenStage 132. So the reader gets as many as it asked for."""
    hub = Hub(ff.BroadcastDispatcher(), Count(100))
    reader = hub.join(selector=even)

    hub.ask((reader, 5))

    assert reader.seen == [0, 2, 4, 6, 8]
    asked, sent, acked = reader.counters
    assert sent == acked                                # what was filtered out is acknowledged
    assert asked - sent == 0
    assert sent in (9, 10)


def test_handle_events_is_not_called_with_nothing():
    """GenStage 132 and 52. Better: there it is, when a selector leaves nothing of a delivery."""
    hub = Hub(ff.BroadcastDispatcher())
    reader = hub.join(selector=lambda events: events > 5, ask=3)

    hub.push(1, 2, 3)
    hub.push(4, 5, 6)

    assert reader.batches == [[6]]
    hub.push(7, 8)
    assert reader.seen == [6, 7, 8]


def test_a_selector_is_called_in_the_readers_turn_with_the_whole_batch():
    """GenStage 132. A function of a batch, and never in the producer."""
    called = []

    def selector(events):
        called.append(events.tolist())
        return np.ones(len(events), bool)

    hub = Hub(ff.BroadcastDispatcher())
    reader = hub.join(selector=selector, ask=5)
    hub.freeze(reader)
    hub.push(1, 2, 3)
    assert hub.waiting == 0
    assert reader.seen == []

    hub.thaw(reader)

    assert reader.seen == [1, 2, 3]
    assert all(batch == [1, 2, 3] for batch in called)


@pytest.mark.parametrize(
    "selector",
    [
        lambda: True,
        lambda events: 1 // 0,
        lambda events: np.ones(len(events) + 1, bool),
        lambda events: np.ones(len(events), "int64"),
        lambda events: True,
    ],
    ids=["not unary", "raises", "wrong length", "wrong dtype", "one truth for all"],
)
def test_a_bad_selector_ends_its_subscriber_and_nobody_else(selector):
    """GenStage 132. Better: there it kills the producer."""
    hub, other = hub_of(10)
    reader = hub.join(selector=selector, ask=10)

    hub.push(1, 2, 3)
    hub.push(4)

    error = failure(reader.ref)
    assert "selector" in text_of(error)
    assert "0" in text_of(error)
    assert hub.ref.alive
    assert other.seen == [1, 2, 3, 4]
    assert reader.seen == []


def test_selected_events_keep_their_order_and_others_get_them_all():
    """GenStage 133."""
    hub, all_of_them = hub_of(100)
    evens = hub.join(selector=even, ask=100)
    odds = hub.join(selector=lambda events: events % 2 == 1, ask=100)

    for start in range(0, 30, 7):
        hub.push(*range(start, start + 7))

    assert all_of_them.seen == list(range(35))
    assert evens.seen == list(range(0, 35, 2))
    assert odds.seen == list(range(1, 35, 2))


def test_a_selector_of_object_events_returns_a_list_of_truth_values():
    """GenStage 133. As events are objects, batches are lists."""
    hub = Hub(ff.BroadcastDispatcher(), Push(object))
    short = hub.join(selector=lambda words: [len(word) < 3 for word in words], ask=10)
    every = hub.join(ask=10)

    hub.push("to", "be", "or", "not", "to", "be")

    assert short.seen == ["to", "be", "or", "to", "be"]
    assert every.seen == ["to", "be", "or", "not", "to", "be"]


def test_the_same_consumer_twice_is_refused_and_the_first_stays():
    """GenStage 134 and 86."""
    hub, other = hub_of(10)
    batches = []
    consumer = hub.rt.start(Hand(batches), name="twice")
    first = consumer.subscribe(hub.ref, cancel="temporary")
    first.ask(10)
    settle(hub.rt)

    with pytest.raises(ff.GraphError, match="twice"):
        consumer.subscribe(hub.ref, cancel="temporary")

    hub.push(1, 2)
    assert sum(batches, []) == other.seen == [1, 2]
    assert consumer.alive
    assert not first.closed


def test_one_that_has_cancelled_may_subscribe_again():
    """GenStage 134."""
    hub, reader = hub_of(10)
    hub.push(1)
    hub.leave(reader)
    hub.push(2)

    reader.ref.subscribe(hub.ref, cancel="temporary").ask(10)
    settle(hub.rt)
    hub.push(3)

    assert reader.seen == [1, 2, 3]                     # 2 waited, as nobody was there


def test_the_first_subscriber_may_get_a_batch_alone():
    """GenStage 135. When the producer moves before the second is there..."""
    hub, first = hub_of(5, producer=Count())
    second = hub.join(ask=5)

    assert first.seen[:5] == [0, 1, 2, 3, 4]
    assert second.seen[:1] != [0]


def test_nobody_misses_the_start_in_a_block_of_paused():
    """GenStage 135. ...better than accumulate and forward: `rt.paused()`, for all stages at once."""
    with ff.Runtime() as rt:
        seen = [[] for _ in range(3)]
        with rt.paused():
            producer = rt.start(Count(1000), dispatcher="broadcast")
            for batches in seen:
                consumer = rt.start(Hand(batches))
                consumer.subscribe(producer, max_demand=1000).ask(1000)
            assert seen == [[], [], []]

    assert [sum(batches, []) for batches in seen] == [list(range(1000))] * 3


def test_nobody_misses_the_start_of_one_that_is_held():
    """GenStage 135. Hold and release do as well."""
    hub, first = hub_of(5, producer=Count(10), hold=True)
    assert first.seen == []
    second = hub.join(ask=5)

    hub.ref.release()
    settle(hub.rt)

    assert first.seen == second.seen == [0, 1, 2, 3, 4]


def test_readers_share_one_copy_of_the_events():
    """GenStage 136. Better: every reader has a view of the same memory."""

    class Keeps(ff.Consumer):
        def __init__(self, kept):
            self.kept = kept

        def handle_events(self, events, source):
            self.kept.append(events)

    rt = ff.Runtime()
    producer = rt.start(Count(1000), dispatcher="broadcast")
    kept = [[] for _ in range(5)]
    with rt.paused():
        for batches in kept:
            rt.start(Keeps(batches), subscribe_to=[(producer, dict(max_demand=100))])

    settle(rt)

    whole = [np.concatenate(batches) for batches in kept]
    assert all(events.tolist() == list(range(1000)) for events in whole)
    for batches in kept[1:]:
        assert len(batches) == len(kept[0])
        for mine, other in zip(batches, kept[0], strict=True):
            assert np.shares_memory(mine, other)
            assert not mine.flags.writeable


def time_of_a_broadcast(n):
    """Seconds in which `n` subscribe to one producer and get a batch."""
    rt = ff.Runtime()
    producer = rt.start(Count(1), dispatcher="broadcast")
    counts = [rt.start(ff.Count()) for _ in range(n)]
    began = time.perf_counter()
    with rt.paused():
        for count in counts:
            count.subscribe(producer, max_demand=2)
    settle(rt)
    seconds = time.perf_counter() - began
    assert [count.result() for count in counts] == [1] * n
    return seconds


def test_ten_times_the_readers_take_about_ten_times_as_long():
    """GenStage 136. Better: there an ask looks at all subscribers, so it would be 100."""
    time_of_a_broadcast(100)
    few = min(time_of_a_broadcast(1000) for _ in range(3))
    many = time_of_a_broadcast(10_000)

    assert many < 40 * few


# -- slow readers ---------------------------------------------------------------------------------


def test_a_reader_that_blocks_is_the_default():
    """GenStage 137 knows no other; `lag="block"` says it aloud."""
    hub, fast = hub_of(10)
    slow = hub.join(lag="block")
    hub.push(1, 2)
    assert fast.seen == []

    hub.ask((slow, 2))
    assert fast.seen == slow.seen == [1, 2]
    assert slow.discarded == 0


def test_a_reader_that_drops_holds_nobody_back_and_misses_what_it_cannot_take():
    """GenStage 137. Better: per subscription, and what it missed is counted there."""
    hub, fast = hub_of(100)
    slow = hub.join(lag="drop", ask=4)
    assert statistics(hub.ref)["asked"] == 100

    hub.push(*range(10))
    assert fast.seen == list(range(10))
    assert slow.seen == [0, 1, 2, 3]
    assert slow.discarded == 6

    hub.push(10, 11)
    hub.ask((slow, 3))
    assert slow.seen == [0, 1, 2, 3]                    # it skips ahead: nothing was kept
    hub.push(*range(12, 20))

    assert slow.seen == [0, 1, 2, 3, 12, 13, 14]
    assert slow.discarded == 6 + 2 + 5
    assert fast.seen == list(range(20))
    assert fast.discarded == 0
    assert statistics(hub.ref)["discarded"] == 0        # the stage itself discarded nothing


def test_a_reader_that_conflates_gets_the_newest_only():
    """GenStage 137. Better: batches that it has not read are replaced by the newest, and counted."""
    hub, fast = hub_of(100)
    slow = hub.join(lag="conflate", ask=2)
    hub.push(0, 1)
    assert slow.seen == [0, 1]

    hub.push(2, 3)
    hub.push(4, 5)
    hub.push(6, 7)
    assert fast.seen == list(range(8))
    hub.ask((slow, 2))

    assert slow.seen == [0, 1, 6, 7]
    assert slow.discarded == 4
    assert hub.ref.alive


def test_a_frozen_reader_that_conflates_finds_the_newest_when_it_thaws():
    """GenStage 137. Whatever came in between, it goes on with the last batch."""
    hub, fast = hub_of(100)
    slow = hub.join(lag="conflate", ask=100)
    hub.freeze(slow)

    for start in range(0, 20, 2):
        hub.push(start, start + 1)
    assert fast.seen == list(range(20))
    hub.thaw(slow)

    assert slow.seen[-2:] == [18, 19]
    assert slow.seen in ([18, 19], [0, 1, 18, 19])      # the turn under way may be taken again
    assert slow.discarded == 20 - len(slow.seen)


def test_readers_that_all_drop_ask_for_the_greatest_of_their_demands():
    """GenStage 137. Nobody blocks, so the one that wants most is served."""
    hub = Hub(ff.BroadcastDispatcher(), Count())
    small, large = hub.join(lag="drop"), hub.join(lag="conflate")

    hub.ask((small, 3))
    assert hub.demands == [3]
    assert small.seen == [0, 1, 2]
    hub.ask((large, 10))

    # The newest batch was kept for it, so 7 are left of what it has asked for.
    assert statistics(hub.ref)["asked"] == 0
    assert hub.demands[-1] == 7
    assert large.seen[-1] == hub.stage.next - 1
    assert small.seen == [0, 1, 2]
    assert small.discarded == 7


def test_a_broadcast_without_readers_waits_in_the_buffer():
    """GenStage 114 and 137. The first that comes gets it."""
    hub, = hub_of()
    hub.push(1, 2, 3)
    assert hub.waiting == 3

    assert hub.join(ask=10).seen == [1, 2, 3]


def test_what_a_reader_that_leaves_has_not_handled_is_counted_as_discarded():
    """GenStage 137. Nobody else needs it: every other has its own."""
    hub, stays = hub_of(10)
    goes = hub.join(ask=10)
    hub.freeze(goes)
    hub.push(1, 2, 3)

    hub.leave(goes)

    assert goes.discarded == 3
    assert stays.seen == [1, 2, 3]
    assert stays.discarded == 0
    assert hub.waiting == 0
