"""The runtime: starting, driving, naming and joining stages.

Most runtimes here are driven by the test itself, turn by turn.  Those that run behind are left by a
`with` block, and every wait on them has a deadline.
"""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from helpers_runtime import WAIT, Counter, Echo, FailsAt, Same, Total
from helpers_stage import Push
from model import counters

import fastflow as ff
from fastflow.errors import (
    Closed,
    FastflowError,
    GraphError,
    NameTaken,
    NotDriven,
    OptionError,
    WaitTimeout,
)
from fastflow.testing import settle, stage_of, step

# -- driving --------------------------------------------------------------------------------------


def test_page_two_runs_as_it_stands():
    with ff.Runtime() as rt:
        counter = rt.start(Counter(10_000_000), name="counter")
        total = rt.start(
            Total(), subscribe_to=[(counter, dict(max_demand=65_536, min_demand=32_768))]
        )
        assert total.result() == sum(range(10_000_000))


def test_run_drives_here_and_returns_the_results_of_named_stages():
    rt, threads = ff.Runtime(), set()

    class Where(Total):
        def handle_events(self, events, source):
            threads.add(threading.get_ident())
            super().handle_events(events, source)

    counter = rt.start(Counter(1000), name="counter")
    rt.start(Where(), name="total", subscribe_to=[counter])
    rt.start(Total(), subscribe_to=[counter])

    results = rt.run(timeout=WAIT)

    assert set(results) == {"counter", "total"}
    assert results["counter"] == 1000
    assert threads == {threading.get_ident()}


def test_run_stops_what_is_left():
    rt = ff.Runtime()
    push, total = rt.start(Push(), name="push"), rt.start(Total(), name="total")
    total.subscribe(push)
    push.cast([1, 2, 3])

    results = rt.run(timeout=WAIT)

    assert results["total"] == 6
    assert not push.alive
    assert push.join() == "shutdown"


def test_run_raises_what_failed():
    rt = ff.Runtime()
    rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])

    with pytest.raises(ZeroDivisionError):
        rt.run(timeout=WAIT)


def test_run_ends_when_its_time_is_over():
    rt = ff.Runtime()
    rt.start(Total(), subscribe_to=[rt.start(Counter())])

    with pytest.raises(WaitTimeout):
        rt.run(timeout=0.05)


def test_a_runtime_behind_takes_its_turns_on_another_thread():
    threads = set()

    class Where(Total):
        def handle_events(self, events, source):
            threads.add(threading.get_ident())
            super().handle_events(events, source)

    with ff.Runtime() as rt:
        total = rt.start(Where(), subscribe_to=[rt.start(Counter(100_000, 1000))])
        assert total.result(timeout=WAIT) == sum(range(100_000))

    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_runtime_that_nobody_drives_takes_no_turn():
    calls = []

    class Calls(Counter):
        def handle_demand(self, demand):
            calls.append(demand)
            return super().handle_demand(demand)

    rt = ff.Runtime()
    rt.start(Total(), subscribe_to=[rt.start(Calls(10))])

    assert calls == []
    assert step(rt)


def test_settle_counts_turns_and_step_says_whether_there_was_one():
    rt = ff.Runtime()
    push, total = rt.start(Push()), rt.start(Total())
    settle(rt)
    assert settle(rt) == 0
    assert not step(rt)

    push.cast([1])
    assert step(rt)
    assert not step(rt)
    total.subscribe(push)
    assert settle(rt) > 0


def test_a_stage_is_constructed_at_start():
    made = []

    class Made(Push):
        def __init__(self):
            made.append(threading.get_ident())

    template = Made()
    ref = ff.Runtime().start(template)

    assert made == [threading.get_ident()] * 2
    assert ref.alive


@pytest.mark.parametrize("wait", ["result", "join", "call"])
def test_waiting_on_a_runtime_that_nobody_drives_is_an_error_at_once(wait):
    """The message names both ways to drive it."""
    rt = ff.Runtime()
    ref = rt.start(Echo())

    with pytest.raises(NotDriven, match=r"(?s)with.*run|run.*with"):
        getattr(ref, wait)(*(["x"] if wait == "call" else []))


def test_results_of_ended_stages_need_no_driver():
    rt = ff.Runtime()
    total = rt.start(Total(), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    assert total.result() == 45
    assert total.join() == "normal"


def test_results_can_be_had_after_the_block():
    with ff.Runtime() as rt:
        total = rt.start(Total(), subscribe_to=[rt.start(Counter(10))])

    assert total.result() == 45
    assert total.join() == "normal"


def test_starting_after_close_is_refused():
    with ff.Runtime() as behind:
        pass
    here = ff.Runtime()
    here.run(timeout=WAIT)

    for rt in (behind, here):
        with pytest.raises(Closed):
            rt.start(Counter(10))


def test_subscribing_after_close_is_refused():
    with ff.Runtime() as rt:
        push, total = rt.start(Push()), rt.start(Total())

    with pytest.raises(FastflowError):
        total.subscribe(push)


def test_a_closed_runtime_cannot_be_entered_or_run_again():
    rt = ff.Runtime()
    rt.run(timeout=WAIT)

    with pytest.raises(Closed):
        rt.run(timeout=WAIT)
    with pytest.raises(Closed), rt:
        pass


def test_stages_may_be_started_while_it_runs():
    with ff.Runtime() as rt:
        push = rt.start(Push())
        first = rt.start(Total())
        first.subscribe(push, cancel="temporary")
        for i in range(20):
            late = rt.start(Total(), subscribe_to=[rt.start(Counter(1000))])
            assert late.result(timeout=WAIT) == sum(range(1000)), i


def test_a_runtime_that_was_never_driven_goes_quietly():
    rt = ff.Runtime()
    total = rt.start(Total(), subscribe_to=[rt.start(Counter(10))])
    gone = weakref.ref(stage_of(total))

    del rt, total
    gc.collect()

    assert gone() is None


def test_unknown_options_of_the_runtime_are_refused():
    with pytest.raises(TypeError):
        ff.Runtime(sede=1)


# -- names and refs -------------------------------------------------------------------------------


def test_a_stage_is_found_by_its_name():
    rt = ff.Runtime()
    ref = rt.start(Push(), name="pushy")

    assert rt["pushy"].name == "pushy"
    rt["pushy"].cast([1, 2])
    settle(rt)
    assert ref.estimate_buffered_count() == 2
    with pytest.raises(KeyError):
        rt["nobody"]


def test_a_name_taken_twice_is_refused():
    """GenStage 11: and nothing else is disturbed."""
    rt = ff.Runtime()
    first = rt.start(Push(), name="pushy")

    with pytest.raises(NameTaken, match="pushy"):
        rt.start(Push(), name="pushy")

    assert rt["pushy"].name == first.name
    assert first.alive


@pytest.mark.parametrize("name", [3, b"x", ["x"]])
def test_a_name_is_a_text(name):
    with pytest.raises((TypeError, ValueError)):
        ff.Runtime().start(Push(), name=name)


def test_alive_says_whether_the_stage_still_runs():
    rt = ff.Runtime()
    counter = rt.start(Counter(10))
    assert counter.alive

    rt.start(Total(), subscribe_to=[counter])
    settle(rt)

    assert not counter.alive


def test_a_subscription_knows_its_two_sides_and_its_tag():
    rt = ff.Runtime()
    push, total = rt.start(Push(), name="from"), rt.start(Total(), name="to")

    subscription = total.subscribe(push, tag={"any": "thing"}, max_demand=10)
    settle(rt)

    assert subscription.producer.name == "from"
    assert subscription.consumer.name == "to"
    assert subscription.tag == {"any": "thing"}


def test_source_is_the_subscription_by_which_the_events_came():
    """GenStage 87."""
    seen = []

    class Looks(ff.Consumer):
        def handle_events(self, events, source):
            seen.append((source.tag, source.producer.name))

    rt = ff.Runtime()
    looks = rt.start(Looks())
    for name in ("one", "two"):
        looks.subscribe(rt.start(Counter(1), name=name), tag=name.upper())
    settle(rt)

    assert sorted(seen) == [("ONE", "one"), ("TWO", "two")]


def test_the_repr_of_a_runtime_is_a_table_of_its_stages():
    rt = ff.Runtime()
    counter = rt.start(Counter(1000), name="numbers")
    rt.start(Total(), name="adder", subscribe_to=[counter])
    before = repr(rt)
    settle(rt)
    after = repr(rt)

    for text in (before, after):
        assert "numbers" in text
        assert "adder" in text
    assert len(before.splitlines()) >= 3


def test_refs_and_subscriptions_have_a_helpful_repr():
    rt = ff.Runtime()
    counter = rt.start(Counter(1000), name="numbers")
    subscription = rt.start(Total(), name="adder").subscribe(counter)

    assert "numbers" in repr(counter)
    assert "numbers" in repr(subscription)
    assert "adder" in repr(subscription)


def test_statistics_of_a_subscription_are_its_three_counters():
    rt = ff.Runtime()
    total = rt.start(Total())
    subscription = total.subscribe(rt.start(Counter(1000)), max_demand=10)
    settle(rt)

    asked, sent, acked = counters(subscription)
    assert sent == acked == 1000
    assert 1000 <= asked <= 1010


# -- joining stages -------------------------------------------------------------------------------


def test_connect_joins_stages_in_a_row():
    rt = ff.Runtime()
    counter, same, total = rt.start(Counter(1000)), rt.start(Same()), rt.start(Total())

    rt.connect(counter, same, total, max_demand=10, min_demand=5)
    settle(rt)

    assert total.result() == sum(range(1000))


def test_connect_checks_its_options():
    rt = ff.Runtime()
    counter, total = rt.start(Counter(1000)), rt.start(Total())

    with pytest.raises(OptionError, match="max_demand"):
        rt.connect(counter, total, max_demnad=10)


def test_start_many_starts_as_many_stages_of_one_template():
    rt = ff.Runtime()
    counter = rt.start(Counter(1000))

    totals = rt.start_many(Total(), 4)
    for total in totals:
        total.subscribe(counter, max_demand=10)
    settle(rt)

    assert len(totals) == 4
    assert sum(total.result() for total in totals) == sum(range(1000))


def test_a_consumer_may_have_many_producers():
    rt = ff.Runtime()
    counters = rt.start_many(Counter(100), 50)
    total = rt.start(Total(), subscribe_to=[(counter, dict(max_demand=10)) for counter in counters])
    settle(rt)

    assert total.result() == 50 * sum(range(100))


def test_a_stage_cannot_subscribe_to_itself():
    rt = ff.Runtime()
    same = rt.start(Same(), name="same")

    with pytest.raises(GraphError, match="same"):
        same.subscribe(same)
    assert same.alive


@pytest.mark.parametrize("n", [2, 3, 6])
def test_a_cycle_is_refused(n):
    rt = ff.Runtime()
    stages = [rt.start(Same(), name=f"stage {i}") for i in range(n)]
    rt.connect(*stages)

    with pytest.raises(GraphError, match="cycle"):
        stages[0].subscribe(stages[-1])

    total = rt.start(Total(), subscribe_to=[stages[-1]])
    stages[0].subscribe(rt.start(Counter(10)))
    settle(rt)
    assert total.result() == 45


def test_a_producer_subscribes_to_nothing():
    rt = ff.Runtime()
    one, two = rt.start(Push(), name="one"), rt.start(Push(), name="two")

    with pytest.raises(GraphError, match="one"):
        one.subscribe(two)


def test_nobody_subscribes_to_a_consumer():
    rt = ff.Runtime()
    one, two = rt.start(Total(), name="one"), rt.start(Total(), name="two")

    with pytest.raises(GraphError, match="two"):
        one.subscribe(two)


@pytest.mark.parametrize("thing", [None, 3, object()])
def test_only_stages_can_be_subscribed_to(thing):
    rt = ff.Runtime()
    total = rt.start(Total())

    with pytest.raises((TypeError, ValueError)):
        total.subscribe(thing)


def test_stages_of_two_runtimes_cannot_be_joined():
    one, two = ff.Runtime(), ff.Runtime()

    with pytest.raises((GraphError, TypeError)):
        one.start(Total()).subscribe(two.start(Counter(10)))


def test_a_chain_of_five_hundred_stages_needs_no_recursion():
    rt = ff.Runtime()
    last = rt.start(Counter(20))
    for _ in range(500):
        last = rt.start(Same(), subscribe_to=[(last, dict(max_demand=4))])
    total = rt.start(Total(), subscribe_to=[(last, dict(max_demand=4))])
    settle(rt)

    assert total.result() == 190


def test_a_diamond_delivers_every_event_once():
    rt = ff.Runtime()
    counter = rt.start(Counter(1000))
    halves = [rt.start(Same(), subscribe_to=[(counter, dict(max_demand=n))]) for n in (7, 20)]
    total = rt.start(Total(), subscribe_to=[(half, dict(max_demand=10)) for half in halves])
    settle(rt)

    assert total.result() == sum(range(1000))
