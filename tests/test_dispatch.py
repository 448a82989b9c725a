"""Dispatch: which consumer gets which events.

The demand dispatcher gives events to the consumer with the greatest pending demand, as many as it
wants, then to the next; among equal ones the first that came is served first.  Consumers here ask
by hand and events are cast to the producer, so that every share is decided by the rule alone.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model import DemandDispatcher, counters

import fastflow as ff
from fastflow.testing import Recorder, settle, step


class Push(ff.Producer):
    """Answers no demand; what is cast to it, it emits."""

    dtype = "int64"

    def __init__(self, demands=None, cancelled=None):
        self.demands = [] if demands is None else demands
        self.cancelled = [] if cancelled is None else cancelled

    def handle_demand(self, demand):
        self.demands.append(demand)

    def handle_cast(self, request):
        return np.array(request, dtype="int64")

    def handle_cancel(self, reason, subscription):
        self.cancelled.append((reason, subscription.tag))


class Hand(ff.Consumer):
    """Takes what is asked for by hand; keeps the events."""

    def __init__(self, seen):
        self.seen = seen

    def handle_subscribe(self, role, options, subscription):
        return "manual"

    def handle_events(self, events, source):
        self.seen.extend(events.tolist())


class Hub:
    """One producer that emits what it is told, and `n` consumers that ask when they are told."""

    def __init__(self, n, capacity=1000):
        self.rt, self.demands = ff.Runtime(), []
        self.producer = self.rt.start(Push(self.demands), name="hub")
        self.seen, self.consumers, self.edges = [], [], []
        for _ in range(n):
            self.join(capacity)

    def join(self, capacity=1000):
        """One more consumer, in the last place."""
        self.seen.append([])
        self.consumers.append(self.rt.start(Hand(self.seen[-1])))
        self.edges.append(
            self.consumers[-1].subscribe(
                self.producer, tag=len(self.edges), max_demand=capacity, cancel="temporary"
            )
        )
        settle(self.rt)

    def ask(self, *asks):
        """``(consumer, n)`` pairs, in that order."""
        for i, n in asks:
            self.edges[i].ask(n)
            settle(self.rt)

    def push(self, *events):
        self.producer.cast(events)
        settle(self.rt)


def test_the_greatest_pending_demand_is_served_first():
    """GenStage 121 and 122: asks of 3 and 2, five events."""
    hub = Hub(2)
    hub.ask((0, 3), (1, 2))

    hub.push(1, 2, 3, 4, 5)

    assert hub.seen == [[1, 2, 3], [4, 5]]


def test_the_order_of_asks_does_not_matter_when_they_differ():
    """GenStage 121."""
    hub = Hub(3)
    hub.ask((0, 1), (1, 2), (2, 5))

    hub.push(*range(7))

    assert hub.seen == [[], [5, 6], [0, 1, 2, 3, 4]]


def test_equal_demands_are_served_first_come_first_served():
    """GenStage 122: both 3; two, two, then three events, of which the last waits."""
    hub = Hub(2)
    hub.ask((0, 3), (1, 3))

    hub.push(1, 2)
    hub.push(3, 4)
    hub.push(5, 6, 7)

    assert hub.seen == [[1, 2, 5], [3, 4, 6]]
    assert hub.producer.estimate_buffered_count() == 1


def test_first_come_is_by_ask_not_by_subscription():
    """GenStage 121: the tie goes to the one whose ask came first."""
    hub = Hub(3)
    hub.ask((2, 2), (0, 2), (1, 2))

    hub.push(1, 2, 3)

    assert hub.seen == [[3], [], [1, 2]]


def test_a_consumer_whose_demand_grew_stands_behind_equal_ones():
    """GenStage 121: a re-inserted consumer goes behind."""
    hub = Hub(2)
    hub.ask((0, 2), (1, 3), (0, 1))  # three each; the first got there last

    hub.push(1, 2, 3, 4)

    assert hub.seen == [[4], [1, 2, 3]]


def test_a_greedy_consumer_gets_its_whole_demand_first():
    """GenStage 128: maxima of 4 and 10, twelve events."""

    class Twelve(ff.Producer):
        dtype = "int64"

        def handle_demand(self, demand):
            self.finish()
            return np.arange(12)

    rt = ff.Runtime()
    producer = rt.start(Twelve())
    small = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=4))])
    large = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])

    settle(rt)

    assert np.concatenate(large.result()).tolist() == list(range(10))
    assert np.concatenate(small.result()).tolist() == [10, 11]


def test_what_nobody_asked_for_waits_for_the_next_ask():
    """GenStage 117."""
    hub = Hub(2)
    hub.ask((0, 2))

    hub.push(1, 2, 3, 4, 5)
    hub.ask((1, 2))
    hub.ask((0, 9))

    assert hub.seen == [[1, 2, 5], [3, 4]]


def test_a_consumer_that_comes_later_gets_its_share():
    hub = Hub(1)
    hub.ask((0, 3))
    hub.push(1, 2)

    hub.join()
    hub.ask((1, 4))
    hub.push(3, 4, 5, 6, 7)

    assert hub.seen == [[1, 2, 7], [3, 4, 5, 6]]


def test_one_consumer_may_subscribe_twice():
    """GenStage 86: two subscriptions, two demands."""
    hub, seen = Hub(0), []
    consumer = hub.rt.start(Hand(seen))
    first = consumer.subscribe(hub.producer, tag="first", max_demand=10)
    second = consumer.subscribe(hub.producer, tag="second", max_demand=10)
    first.ask(2)
    second.ask(3)
    settle(hub.rt)

    hub.push(1, 2, 3, 4, 5)

    assert sorted(seen) == [1, 2, 3, 4, 5]
    assert (counters(first)[1], counters(second)[1]) == (2, 3)


def test_the_demand_of_a_cancelled_consumer_is_gone():
    """GenStage 123 must remember it; here handle_demand is given what is pending now."""
    hub = Hub(2)
    hub.ask((0, 10), (1, 3))

    hub.edges[0].cancel("cancel")
    settle(hub.rt)
    hub.push(1, 2, 3, 4)

    assert hub.seen == [[], [1, 2, 3]]
    assert hub.producer.estimate_buffered_count() == 1
    hub.ask((1, 5))
    assert hub.demands[-1] == 4


def test_cancelling_tells_the_producer_which_subscription_it_was():
    """GenStage 77."""
    rt, cancelled = ff.Runtime(), []
    producer = rt.start(Push(cancelled=cancelled))
    consumer = rt.start(Hand([]))
    consumer.subscribe(producer, tag="kept", cancel="temporary")
    gone = consumer.subscribe(producer, tag="gone", cancel="temporary")
    settle(rt)

    gone.cancel("cancel")
    settle(rt)

    assert [tag for _, tag in cancelled] == ["gone"]
    assert producer.alive
    assert consumer.alive


def test_cancelling_twice_is_cancelling_once():
    """Reactive Streams 3.7."""
    rt, cancelled = ff.Runtime(), []
    producer = rt.start(Push(cancelled=cancelled))
    subscription = rt.start(Hand([])).subscribe(producer, tag=1, cancel="temporary")

    subscription.cancel("cancel")
    settle(rt)
    subscription.cancel("cancel")
    settle(rt)

    assert len(cancelled) == 1


def test_events_that_a_failed_consumer_did_not_handle_go_to_the_next():
    """DESIGN 8, where GenStage 114 loses them: back to the front of the buffer."""

    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            raise ZeroDivisionError("on purpose")

    rt = ff.Runtime()
    producer = rt.start(Push())
    producer.cast(range(8))
    first = rt.start(Fails(), subscribe_to=[(producer, dict(max_demand=6, min_demand=3))])
    settle(rt)
    assert isinstance(first.join(), ZeroDivisionError)
    assert producer.estimate_buffered_count() == 8

    seen = []
    rt.start(Hand(seen)).subscribe(producer, max_demand=100).ask(50)
    settle(rt)

    assert seen == list(range(8))


def test_events_emitted_without_any_consumer_are_kept():
    """GenStage 114 and 120."""
    hub = Hub(0)
    hub.push(1, 2, 3)

    hub.join()
    hub.ask((0, 5))

    assert hub.seen == [[1, 2, 3]]


def test_a_claimed_array_is_shared_out_like_any_other():
    """A claim lies in the ring of the greatest demand if it fits there, and nobody can tell."""

    class Claims(Push):
        def handle_cast(self, request):
            out = self.claim(len(request))
            out[:] = request
            return out

    for sizes in ([3, 2], [2, 3], [5, 1], [1, 1]):
        rt, seen = ff.Runtime(), [[], []]
        producer = rt.start(Claims())
        for i, n in enumerate(sizes):
            rt.start(Hand(seen[i])).subscribe(producer, max_demand=100).ask(n)
            settle(rt)
        producer.cast([1, 2, 3, 4, 5])
        settle(rt)

        line = DemandDispatcher()
        for i, n in enumerate(sizes):
            line.ask(i, n)
        shares, start = line.dispatch(5)[0], 0
        for i, count in shares:
            assert seen[i] == [1, 2, 3, 4, 5][start : start + count]
            start += count


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 5),
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(0, 4), st.integers(1, 9)),
            st.tuples(st.just("push"), st.just(0), st.integers(1, 20)),
        ),
        max_size=30,
    ),
)
def test_shares_equal_those_of_the_model(n, operations):
    """GenStage 121 and 122, for any order of asks and events."""
    hub, line = Hub(n), DemandDispatcher()
    expected, waiting, position = [[] for _ in range(n)], [], 0

    for kind, who, count in operations:
        if kind == "ask":
            who %= n
            line.ask(who, count)
            hub.ask((who, count))
        else:
            waiting += range(position, position + count)
            position += count
            hub.push(*range(position - count, position))
        for consumer, share in line.dispatch(len(waiting))[0]:
            expected[consumer] += waiting[:share]
            del waiting[:share]

        assert hub.seen == expected
        assert hub.producer.estimate_buffered_count() == len(waiting)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 29)), min_size=1, max_size=5),
    st.integers(0, 400),
    st.integers(1, 50),
)
def test_several_consumers_get_every_event_exactly_once_and_in_order(demands, stop, chunk):
    class Upto(ff.Producer):
        dtype = "int64"

        def __init__(self):
            self.next = 0

        def handle_demand(self, demand):
            first, self.next = self.next, min(self.next + min(chunk, demand), stop)
            if self.next == stop:
                self.finish()
            return np.arange(first, self.next)

    rt = ff.Runtime()
    producer = rt.start(Upto())
    edges, consumers = [], []
    for high, low in demands:
        consumers.append(rt.start(Recorder()))
        edges.append(
            consumers[-1].subscribe(producer, max_demand=high, min_demand=min(low, high - 1))
        )

    while step(rt):
        for edge, (high, _) in zip(edges, demands, strict=True):
            asked, sent, acked = counters(edge)
            assert acked <= sent <= asked <= acked + high

    parts = [[int(x) for batch in consumer.result() for x in batch] for consumer in consumers]
    assert all(part == sorted(part) for part in parts)
    assert sorted(sum(parts, [])) == list(range(stop))


def test_two_thousand_consumers_are_served_in_the_order_of_their_asks():
    """GenStage 127 is quadratic there; this is far below any limit when an ask costs O(log n)."""
    n, got = 2000, []

    class One(ff.Consumer):
        def __init__(self, number):
            self.number = number

        def handle_subscribe(self, role, options, subscription):
            subscription.ask(1)
            return "manual"

        def handle_events(self, events, source):
            got.append((int(events[0]), self.number))

    rt = ff.Runtime()
    producer = rt.start(Push())
    began = time.perf_counter()
    for i in range(n):
        rt.start(One(i), subscribe_to=[(producer, dict(max_demand=1))])
    settle(rt)

    producer.cast(range(n))
    settle(rt)

    assert got == [(i, i) for i in range(n)]
    assert time.perf_counter() - began < 20


def test_a_dispatcher_that_nobody_knows_is_refused():
    """GenStage 8."""
    rt = ff.Runtime()

    with pytest.raises((TypeError, ValueError), match="dispatcher"):
        rt.start(Push(), dispatcher="alphabetical")


def test_a_consumer_has_no_dispatcher():
    """GenStage 5: options are checked for the type of the stage."""
    rt = ff.Runtime()

    with pytest.raises((TypeError, ValueError), match=r"dispatcher|buffer_size"):
        rt.start(Hand([]), buffer_size=5)


def test_pending_demand_is_what_all_consumers_together_still_want():
    class Tell(Push):
        def handle_info(self, message):
            message.append(self.pending_demand)

    rt, told = ff.Runtime(), []
    producer = rt.start(Tell())
    for n in (4, 3):
        rt.start(Hand([])).subscribe(producer, max_demand=10).ask(n)
    settle(rt)

    producer.info(told)
    settle(rt)
    producer.cast([1, 2])
    settle(rt)
    producer.info(told)
    settle(rt)

    assert told == [7, 5]
