"""What GenStage's ConsumerSupervisor does, by the numbers of its behaviours.

Children that are functions run on threads; each waits for a gate that the test opens.  Children that are stages are
driven by `settle` and `step`.
"""

from __future__ import annotations

import logging
import threading

import pytest
from helpers_supervisor import WAIT, Feed, Frail, Gates, Job

import fastflow as ff
from fastflow.supervisor import ChildThread, count_children, start_child, terminate_child, this_child, which_children
from fastflow.testing import ManualClock, settle, stage_of, step

MESSAGES = "fastflow.supervisor"


def started(child, *events, clock=None, max_demand=3, min_demand=2, **options):
    """A runtime that nobody drives, a producer, and a supervisor whose children are stages."""
    rt = ff.Runtime(clock=clock or ManualClock())
    feed = rt.start(Feed())
    sup = rt.start(
        ff.ConsumerSupervisor(child, **options), name="sup",
        subscribe_to=[(feed, dict(max_demand=max_demand, min_demand=min_demand, cancel="temporary"))],
    )
    settle(rt)
    if events:
        feed.cast(list(events))
        settle(rt)
    return rt, feed, sup


def test_each_event_gets_a_child_with_the_event_behind_its_arguments():
    """GenStage 153."""
    log = []
    rt, _, sup = started(Job(log), 1, 2)

    assert log == [("setup", 1), ("setup", 2)]
    assert [stage_of(child).event for child in which_children(sup)] == [1, 2]

    for wrong in [Job(log)], (print, print), []:
        with pytest.raises(ff.OptionError, match=r"expected a single one, as the template of all"):
            ff.ConsumerSupervisor(wrong)
    rt.stop()


def test_one_for_one_is_the_only_strategy():
    """GenStage 154."""
    assert ff.ConsumerSupervisor(print, strategy="one_for_one")
    with pytest.raises(ff.OptionError, match=r"strategy .*: got 'one_for_all', expected 'one_for_one', since "):
        ff.ConsumerSupervisor(print, strategy="one_for_all")


def test_permanent_children_are_refused_with_the_reason():
    """GenStage 155."""
    with pytest.raises(ff.OptionError, match=r"restart .*: got 'permanent', expected .* since .*'transient'"):
        ff.ConsumerSupervisor(print, restart="permanent")
    for restart in "temporary", "transient":
        assert ff.ConsumerSupervisor(print, restart=restart)


def test_no_more_children_run_than_max_demand_for_each_producer():
    """GenStage 156."""
    gates = Gates()
    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(gates))
        numbers = [rt.start(ff.Range(start, start + 20)) for start in (0, 100)]
        for producer in numbers:
            sup.subscribe(producer, max_demand=4, min_demand=1)

        first = gates.take(8)
        assert sorted(first) == [0, 1, 2, 3, 100, 101, 102, 103]
        assert gates.running == 8
        gates.let(*range(20), *range(100, 120))

    assert gates.most == 8
    assert sorted(first + gates.take(32)) == [*range(20), *range(100, 120)]


def test_of_max_3_and_min_2_it_asks_for_2_when_2_of_3_children_have_ended():
    """GenStage 157."""
    rt, feed, sup = started(Job([]), 1, 2, 3)
    edge = rt.subscriptions()[0]
    assert edge.counters == (3, 3, 3)

    one, two, _ = which_children(sup)
    one.cast("end")
    settle(rt)
    assert edge.statistics()["asked"] == 3

    two.cast("end")
    settle(rt)
    assert edge.statistics()["asked"] == 5
    assert stage_of(feed).asked[-1] == 2
    rt.stop()


def test_of_max_1_and_min_0_the_next_event_comes_when_the_child_has_ended():
    """GenStage 157."""
    gates = Gates()
    with ff.Runtime() as rt:
        rt.start(ff.ConsumerSupervisor(gates), subscribe_to=[(rt.start(ff.Range(3)), dict(max_demand=1, min_demand=0))])
        for event in range(3):
            assert gates.next() == event
            assert gates.running == 1
            gates.let(event)

    assert gates.most == 1


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), GeneratorExit(), ff.Retry(1.0), StopIteration()])
def test_a_child_that_fails_to_start_counts_as_handled_and_is_logged(error, caplog):
    """GenStage 158."""
    rt, _, sup = started(Frail({1: [error], 2: [error]}), 1, 2, 3)

    assert [stage_of(child).event for child in which_children(sup)] == [3]
    assert rt.subscriptions()[0].statistics()["asked"] == 5
    lines = [record for record in caplog.records if record.name == MESSAGES]
    assert len(lines) == 2
    assert "could not be started for an event of 'Feed-1', which counts as handled" in lines[0].getMessage()
    assert lines[0].exc_info[1] is error
    assert sup.alive
    rt.stop()


def test_a_child_that_is_to_be_started_again_counts_until_it_is_terminated(caplog):
    """GenStage 159."""
    rt, feed, sup = started(Frail({}), 1, restart="transient", max_demand=1, min_demand=0)
    [child] = which_children(sup)
    stage_of(child).plan[1] = [OSError("still not there")]
    child.cast(OSError("gone"))
    while which_children(sup) != ["restarting"]:
        assert step(rt)
    feed.cast([2])

    assert count_children(sup) == {"specs": 1, "active": 0, "supervisors": 0, "workers": 1}
    assert rt.subscriptions()[0].statistics()["asked"] == 1

    terminate_child(sup, child)

    assert which_children(sup) == []
    assert rt.subscriptions()[0].statistics()["asked"] == 2
    settle(rt)
    assert [stage_of(child).event for child in which_children(sup)] == [2]
    rt.stop()


def test_children_remain_when_a_temporary_producer_dies():
    """GenStage 160."""
    rt, feed, sup = started(Job([]), 1, 2)
    feed.cast(OSError("the producer's own"))
    settle(rt)

    assert isinstance(feed.join(), OSError)
    assert sup.alive
    assert len(which_children(sup)) == 2
    rt.stop()


def test_children_started_by_hand_count_for_nobody():
    """GenStage 161."""
    log = []
    rt, _, sup = started(Job(log), 1, max_demand=1, min_demand=0)
    child = start_child(sup, "by hand")

    assert isinstance(child, ff.Ref)
    assert log[-1] == ("setup", "by hand")
    assert count_children(sup)["active"] == 2

    child.cast("end")
    settle(rt)
    assert rt.subscriptions()[0].statistics()["asked"] == 1
    assert len(which_children(sup)) == 1
    rt.stop()


def test_what_goes_wrong_with_a_start_by_hand_is_raised_there():
    """GenStage 161."""
    rt, _, sup = started(Frail({"x": [OSError("no such file")]}))

    with pytest.raises(OSError, match="no such file"):
        start_child(sup, "x")

    assert which_children(sup) == []
    assert sup.alive
    rt.stop()


def test_children_can_be_terminated_listed_and_counted():
    """GenStage 162."""
    log = []
    rt, _, sup = started(Job(log), 1, 2)
    one, two = which_children(sup)
    assert count_children(sup) == {"specs": 1, "active": 2, "supervisors": 0, "workers": 2}

    terminate_child(sup, one)

    assert log[-1] == ("terminate", 1, "shutdown")
    assert which_children(sup) == [two]
    with pytest.raises(KeyError, match=r"terminate_child of 'sup': got <Ref Job-1 .*, expected one of its 1 children"):
        terminate_child(sup, one)
    rt.stop()


def test_children_on_threads_can_be_terminated_listed_and_counted_from_another_thread():
    """GenStage 162."""
    told = threading.Event()

    def child(event):
        this_child().stopping.wait(WAIT)
        told.set()

    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(child), name="sup")
        handle = start_child(sup, 1)
        assert isinstance(handle, ChildThread)
        assert which_children(sup) == [handle]

        terminate_child(sup, handle)

        assert told.is_set()
        assert not handle.alive
        assert count_children(sup) == {"specs": 1, "active": 0, "supervisors": 0, "workers": 0}


def test_too_many_restarts_end_the_supervisor_with_the_causes_as_text():
    """GenStage 163."""
    clock = ManualClock()
    rt, _, sup = started(Job([]), 1, clock=clock, restart="transient", max_restarts=3, max_seconds=5)
    for second in range(4):
        assert sup.alive
        [child] = which_children(sup)
        child.cast(OSError(f"failure {second}"))
        settle(rt)
        clock.advance(1.0)

    said = (r"supervisor 'sup': its children failed 4 times in 3 s, allowed 3 in 5 s; last: 'Job-4' with "
            r"OSError\('failure 3'\). Mend the cause, raise max_restarts, or set restart='temporary'")
    with pytest.raises(ff.GaveUp, match=said) as caught:
        sup.result()
    assert caught.value.causes == tuple(f"OSError('failure {second}')" for second in range(4))
    rt.stop()


def test_restarts_that_lie_further_apart_than_max_seconds_go_on():
    """GenStage 163."""
    clock = ManualClock()
    rt, _, sup = started(Job([]), 1, clock=clock, restart="transient", max_restarts=1, max_seconds=5)
    for second in range(4):
        [child] = which_children(sup)
        child.cast(OSError(f"failure {second}"))
        settle(rt)
        clock.advance(6.0)

    assert sup.alive
    rt.stop()


def test_restarts_that_fail_are_tried_again_at_once_and_each_counts():
    """GenStage 163."""
    plan = {}
    rt, _, sup = started(Frail(plan), 1, restart="transient", max_restarts=3)
    plan[1] = [OSError("a"), OSError("b")]
    which_children(sup)[0].cast(OSError("first"))
    settle(rt)

    assert [stage_of(child).event for child in which_children(sup)] == [1]

    which_children(sup)[0].cast(OSError("fourth"))
    settle(rt)

    assert sup.join().causes == ("OSError('first')", "OSError('a')", "OSError('b')", "OSError('fourth')")
    rt.stop()


def test_all_children_are_told_at_once_to_end_and_waited_for():
    """GenStage 164."""
    together = threading.Barrier(3)

    def child(event):
        this_child().stopping.wait(WAIT)
        together.wait(WAIT)                     # ends only if the others are told before this one has ended

    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(child, shutdown="infinity"))
        children = [start_child(sup, n) for n in range(3)]
        sup.stop(timeout=WAIT)

        assert [handle.alive for handle in children] == [False] * 3


def test_children_that_do_not_end_in_time_are_named_and_left_behind(caplog):
    """GenStage 164."""
    gates = Gates()
    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(gates, shutdown=0.01), name="sup")
        handle = start_child(sup, 1)
        sup.stop(timeout=WAIT)

        assert handle.alive
    gates.let(1)
    assert handle.join(WAIT)
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("supervisor 'sup' leaves children behind, which still run 0.01 s after they were told to "
                           "end: fastflow-sup-1. A thread can't be killed; let the function look at")


def test_brutal_waits_for_no_child(caplog):
    """GenStage 164."""
    gates = Gates()
    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(gates, shutdown="brutal"))
        handle = start_child(sup, 1)
        sup.stop(timeout=WAIT)

        assert handle.alive
        assert handle.stopping.is_set()
    gates.let(1)
    assert handle.join(WAIT)
    assert [record for record in caplog.records if record.levelno == logging.ERROR] == []


@pytest.mark.parametrize(("shutdown", "cleaned_up"), [(5.0, ["shutdown"]), ("brutal", [])])
def test_brutal_ends_stages_without_their_terminate(shutdown, cleaned_up):
    """GenStage 164. A stage can be killed, other than a thread."""
    said = []

    class Careful(Job):
        def terminate(self, reason):
            said.append(reason)

    _, _, sup = started(Careful([]), 1, shutdown=shutdown)
    [child] = which_children(sup)

    sup.stop()

    assert not child.alive
    assert said == cleaned_up


def test_more_events_than_max_demand_are_an_error_in_the_log(caplog):
    """GenStage 165."""
    rt, feed, sup = started(Job([]), 1, 2, 3)
    edge = rt.subscriptions()[0]
    edge.ask(2)                                 # by hand, beyond what the supervisor has asked for
    feed.cast([4, 5])
    settle(rt)

    [line] = [record.getMessage() for record in caplog.records if record.name == MESSAGES]
    assert line.startswith("supervisor 'sup' has received 2 events in excess from 'Feed-1'")
    assert count_children(sup)["active"] == 5

    for child in which_children(sup)[:4]:
        child.cast("end")
    settle(rt)
    assert edge.statistics()["asked"] == 7      # with one still running, 2 more: 3 in all
    rt.stop()
