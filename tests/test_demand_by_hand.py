"""Demand by hand: consumers in manual mode, and every way to ask.

Numbers as in "GenStage 44" are behaviours of the original that are kept; where ours differs on
purpose, the docstring says how.
"""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
from helpers_demand import Counter, Hand, Push, by_hand
from model import Watch, counters

import fastflow as ff
from fastflow.errors import CallbackError, FastflowError
from fastflow.testing import Script, settle, step

WAIT = 20.0  # seconds: a deadline, never a pause


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
