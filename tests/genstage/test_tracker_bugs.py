"""Four defects in the accounting of demand that GenStage's users reported, each by its number.

    #295   the demand mode is switched while asks are outstanding
    #310   a broadcast: one slow or leaving reader, and nobody gets anything any more
    #311   events that waited when all consumers had died are not delivered to who comes back
    #312   events emitted without consumers take demand away that somebody asks for later

What they have in common: demand was remembered in increments, so one that got lost, or was counted
twice, was never made good.  Here pending demand is a difference of counters.
"""

from __future__ import annotations

import pytest
from helpers_dispatch import Count, Hand, Hub, Push, failure, statistics

import fastflow as ff
from fastflow.testing import settle, step

# -- #295 -----------------------------------------------------------------------------------------


def test_295_holding_while_asks_are_outstanding_loses_none_and_repeats_none():
    hub = Hub()
    reader = hub.join(ask=5)
    assert hub.demands == [5]

    hub.ref.hold()
    hub.ask((reader, 3))
    assert hub.demands == [5]
    hub.push(1, 2)
    assert (reader.seen, hub.waiting) == ([], 2)
    hub.ref.release()
    settle(hub.rt)

    assert reader.seen == [1, 2]
    assert statistics(hub.ref)["asked"] == 6
    assert hub.demands[-1] == 6
    hub.push(*range(3, 12))
    assert reader.seen == list(range(1, 9))
    assert statistics(hub.ref)["asked"] == 0


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", ff.PartitionDispatcher], ids=str)
def test_295_switching_on_the_fly_a_hundred_times_changes_nothing(dispatcher):
    options, n = {}, 1000
    if dispatcher is ff.PartitionDispatcher:
        dispatcher, options = ff.PartitionDispatcher(1), {"partition": 0}
    hub = Hub(dispatcher, Count(n, chunk=3), hold=True)
    reader = hub.automatic(10, 5, cancel="auto", **options)

    for i in range(100):
        if i % 2:
            hub.ref.hold()
        else:
            hub.ref.release()
        for _ in range(i % 7):
            step(hub.rt)
    hub.ref.release()
    settle(hub.rt)

    assert reader.seen == list(range(n))
    assert reader.ref.join() == "normal"


def test_295_asks_made_while_held_are_one_sum():
    """There they are replayed one by one, in the order of their arrival."""
    hub = Hub(hold=True)
    a, b = hub.join(ask=2), hub.join(ask=2)
    hub.ask((a, 1))
    assert hub.demands == []
    assert hub.ref.held

    hub.ref.release()
    settle(hub.rt)

    assert hub.demands == [5]
    assert not hub.ref.held
    hub.push(1, 2, 3, 4, 5)
    assert (a.seen, b.seen) == ([1, 2, 3], [4, 5])


def test_295_a_consumer_that_leaves_while_held_takes_its_demand_along():
    hub = Hub()
    goes, stays = hub.join(ask=5), hub.join(ask=2)
    hub.ref.hold()

    hub.leave(goes)
    hub.ref.release()
    settle(hub.rt)

    assert hub.demands[-1] == 2
    hub.push(1, 2, 3)
    assert (stays.seen, hub.waiting) == ([1, 2], 1)


def test_295_holding_and_releasing_twice_is_once():
    hub = Hub(producer=Count(10))
    hub.ref.hold()
    hub.ref.hold()
    reader = hub.join(ask=4)
    assert reader.seen == []

    hub.ref.release()
    hub.ref.release()
    settle(hub.rt)

    assert reader.seen == [0, 1, 2, 3]
    assert hub.demands == [4]


# -- #310 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancel", "stop", "crash"])
def test_310_a_slow_reader_that_leaves_frees_the_others(how):
    hub = Hub("broadcast", Count())
    fast, slow = hub.join(), hub.join()
    hub.ask((fast, 20), (slow, 3))
    assert fast.seen == slow.seen == [0, 1, 2]

    if how == "cancel":
        hub.leave(slow)
    elif how == "stop":
        slow.ref.stop()
        settle(hub.rt)
    else:
        hub.crash(slow)
        hub.ask((slow, 1))
        assert isinstance(failure(slow.ref), ZeroDivisionError)

    assert fast.seen == list(range(20))
    assert statistics(hub.ref)["asked"] == 0
    hub.ask((fast, 5))
    assert fast.seen == list(range(25))


def test_310_a_reader_that_comes_asks_nothing_and_leaves_was_never_there():
    hub = Hub("broadcast")
    fast = hub.join(ask=10)
    hub.push(0, 1)
    idle = hub.join()
    hub.push(2, 3)
    assert (fast.seen, hub.waiting) == ([0, 1], 2)

    hub.leave(idle)

    assert fast.seen == [0, 1, 2, 3]
    assert statistics(hub.ref)["asked"] == 6
    assert hub.demands[-1] == 6


@pytest.mark.parametrize("lag", ["drop", "conflate"])
def test_310_a_slow_reader_that_may_miss_events_stalls_nobody(lag):
    hub = Hub("broadcast", Count())
    fast, slow = hub.join(), hub.join(lag=lag)

    hub.ask(*[(fast, 10)] * 5)

    assert fast.seen == list(range(50))
    assert slow.seen == []
    assert slow.ref.alive


def test_310_readers_coming_and_going_leave_the_sums_right():
    """After any number of them, one that stays has been sent exactly what it asked for."""
    hub = Hub("broadcast", Count())
    stays = hub.join()
    for i in range(30):
        other = hub.join(ask=i % 4)
        hub.ask((stays, 3))
        if i % 3:
            hub.leave(other)
        else:
            hub.crash(other)
            hub.ask((other, 1))
            if other.ref.alive:                         # nothing came that could end it
                hub.leave(other)
    settle(hub.rt)

    assert stays.seen == list(range(90))
    assert stays.counters == (90, 90, 90)
    assert hub.stage.next == 90
    assert statistics(hub.ref)["asked"] == 0


def test_310_a_frozen_reader_does_not_stop_those_that_have_room():
    """It holds back what is beyond its demand, and not an event more."""
    hub = Hub("broadcast", Count())
    fast, frozen = hub.join(), hub.join()
    hub.freeze(frozen)

    hub.ask((frozen, 10), (fast, 4), (fast, 4), (fast, 4))
    assert fast.seen == list(range(10))
    assert frozen.seen == []

    hub.thaw(frozen)
    hub.ask((frozen, 5))
    assert fast.seen == list(range(12))
    assert frozen.seen == list(range(12))


# -- #311 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", ff.PartitionDispatcher], ids=str)
@pytest.mark.parametrize("rounds", [1, 10])
def test_311_events_that_waited_when_all_had_died_reach_the_one_that_reconnects(dispatcher, rounds):
    options = {}
    if dispatcher is ff.PartitionDispatcher:
        dispatcher, options = ff.PartitionDispatcher(1), {"partition": 0}
    hub, first = Hub(dispatcher), 0
    reader = hub.join(ask=5, **options)

    for _ in range(rounds):
        reader.ref.stop()
        settle(hub.rt)
        hub.push(*range(first, first + 7))
        assert hub.waiting == 7

        reader = hub.join(ask=10, **options)

        assert reader.seen == list(range(first, first + 7))
        assert hub.waiting == 0
        assert statistics(hub.ref)["asked"] == 3
        assert hub.demands[-1] == 3
        first += 7


@pytest.mark.parametrize("dispatcher", ["demand", ff.PartitionDispatcher], ids=str)
def test_311_what_crashed_consumers_had_in_hand_reaches_the_one_that_reconnects(dispatcher):
    """There it is lost, and the demand it took is never made good."""
    options, n = {}, 200
    if dispatcher is ff.PartitionDispatcher:
        dispatcher, options = ff.PartitionDispatcher(1), {"partition": 0}
    hub, handled = Hub(dispatcher, Count(n)), []

    class Mortal(ff.Consumer):
        def __init__(self, life):
            self.life = life

        def handle_events(self, events, source):
            if not self.life:
                raise ZeroDivisionError("on purpose")
            self.life -= 1
            handled.extend(events.tolist())

    for life in range(8):
        mortal = hub.rt.start(Mortal(life))
        mortal.subscribe(hub.ref, max_demand=10, min_demand=5, **options)
        settle(hub.rt)
        assert isinstance(failure(mortal), ZeroDivisionError)
    last = hub.rt.start(Mortal(10**6))
    last.subscribe(hub.ref, max_demand=10, min_demand=5, **options)
    settle(hub.rt)

    assert handled == list(range(n))
    assert last.join() == "normal"
    assert hub.ref.join() == "normal"


def test_311_no_stall_when_one_of_many_automatic_consumers_is_left():
    hub = Hub(producer=Count(1000, chunk=7))
    readers = [hub.rt.start(Hand(batches)) for batches in ([], [], [])]
    edges = [reader.subscribe(hub.ref, max_demand=10) for reader in readers]
    for edge in edges:
        edge.ask(10)
    for reader in readers:
        step(hub.rt)
        reader.stop()
    settle(hub.rt)

    last = hub.automatic(10, cancel="auto")
    settle(hub.rt)

    acked = sum(statistics(edge)["acked"] for edge in edges)
    assert acked + len(last.seen) == 1000
    assert last.ref.join() == "normal"


# -- #312 -----------------------------------------------------------------------------------------


def test_312_events_without_consumers_do_not_reduce_what_is_asked_later():
    hub = Hub()
    gone = hub.join(ask=10)
    assert hub.demands == [10]
    hub.leave(gone)
    hub.push(1, 2, 3)
    hub.push(4, 5)

    reader = hub.join(ask=5)
    assert reader.seen == [1, 2, 3, 4, 5]
    assert statistics(hub.ref)["asked"] == 0

    hub.ask((reader, 4))
    assert hub.demands == [10, 4]
    assert statistics(hub.ref)["asked"] == 4


def test_312_a_hundred_emissions_without_consumers_do_not_either():
    hub = Hub(producer=Push())
    for i in range(100):
        hub.push(i)

    reader = hub.join(ask=150)

    assert reader.seen == list(range(100))
    assert hub.demands == [50]
    hub.push(*range(100, 200))
    assert reader.seen == list(range(150))
    assert hub.waiting == 50


def test_312_queued_events_of_a_partition_do_not_reduce_the_demand_of_another():
    hub = Hub(ff.PartitionDispatcher(2, hash=lambda events: events % 2))
    even, odd = hub.join(partition=0, ask=4), hub.join(partition=1, ask=4)
    hub.leave(even)
    hub.push(0, 2, 4, 6)
    assert hub.waiting == 4
    assert statistics(hub.ref)["asked"] == 4

    hub.ask((odd, 3))

    assert hub.demands[-1] == 7
    hub.push(*range(1, 15, 2))
    assert odd.seen == list(range(1, 15, 2))
    following = hub.join(partition=0, ask=6)
    assert following.seen == [0, 2, 4, 6]
    assert hub.demands[-1] == 2


def test_312_leftovers_of_a_cancelled_consumer_are_counted_once():
    """More than was asked, to two consumers of which one leaves with its share in hand."""
    hub = Hub()
    a, b = hub.join(ask=3), hub.join(ask=3)
    hub.freeze(a)
    hub.push(*range(8))
    assert (a.counters, b.counters, hub.waiting) == ((3, 3, 0), (3, 3, 3), 2)

    hub.leave(a)
    assert hub.waiting == 5
    hub.ask((b, 6))

    assert b.seen == [3, 4, 5, 0, 1, 2, 6, 7]
    assert statistics(hub.ref)["asked"] == 1
    assert hub.demands[-1] == 1
