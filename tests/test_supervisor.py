"""Supervisors: the window and the accounts as plain classes, then the stage with its children."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from helpers_supervisor import WAIT, Feed, Gates, Job
from hypothesis import given
from hypothesis import strategies as st

import fastflow as ff
from fastflow.supervisor import RestartWindow, count_children, start_child, terminate_child, this_child, which_children
from fastflow.supervisor.accounts import Children
from fastflow.supervisor.window import gave_up, text_of
from fastflow.testing import settle, stage_of

# -- the window --


def test_window_gives_up_after_max_restarts_within_the_window():
    window = RestartWindow(max_restarts=3, max_seconds=5)

    assert [window.exited(now) for now in (0.0, 0.1, 0.2, 5.0)] == ["restart", "restart", "restart", "give up"]
    assert (window.failures, window.seconds) == (4, 5.0)


def test_window_of_no_restarts_gives_up_at_once():
    assert RestartWindow(0, 5.0).exited(123.0) == "give up"


def test_window_takes_a_clock_that_runs_backwards_to_stand_still():
    window = RestartWindow(1, 5.0)

    assert [window.exited(now) for now in (100.0, 3.0)] == ["restart", "give up"]
    assert window.seconds == 0.0


def test_window_keeps_no_more_than_it_needs():
    window = RestartWindow(2, 1.0)
    for second in range(1000):
        window.exited(second * 10.0)

    assert window.failures == 3


@given(
    st.integers(0, 5), st.floats(0.5, 20),
    st.lists(st.floats(0, 10), max_size=40),
)
def test_window_agrees_with_counting_all_failures(max_restarts, max_seconds, gaps):
    window, now, all_times = RestartWindow(max_restarts, max_seconds), 0.0, []
    for gap in gaps:
        now += gap
        all_times.append(now)
        within = [time for time in all_times if now - time <= max_seconds]

        assert window.exited(now) == ("give up" if len(within) > max_restarts else "restart")


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3", None, 1 << 80])
def test_max_restarts_that_can_not_be_is_refused(wrong):
    with pytest.raises(ff.OptionError, match=r"max_restarts: got .*, expected .*; "):
        RestartWindow(wrong, 5.0)


@pytest.mark.parametrize("wrong", [0, -1.0, True, "5", None, float("nan"), float("inf")])
def test_max_seconds_that_can_not_be_is_refused(wrong):
    with pytest.raises(ff.OptionError, match=r"max_seconds: got .*, expected seconds, more than 0; give"):
        RestartWindow(3, wrong)


def test_gave_up_survives_copy_and_pickle_with_its_causes():
    window = RestartWindow(0, 5.0)
    window.exited(0.0)
    error = gave_up("sup", "'child'", window, ["OSError('x')"])

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(twin), twin.causes) == (str(error), ("OSError('x')",))


def test_a_cause_is_a_short_text_even_of_an_exception_without_one():
    class Broken(Exception):
        def __repr__(self):
            raise RuntimeError("no text")

    assert text_of(Broken()) == "Broken"
    assert len(text_of(ValueError("x" * 10_000))) == 300


# -- the accounts --


def test_a_child_that_no_event_brought_asks_for_nothing():
    children = Children("temporary", RestartWindow(3, 5.0))
    children.joined("p", 1, 0)
    number = children.admit_one()

    assert children.exited(number, None, 0.0) == ("gone", None, 0)


def test_children_of_a_producer_that_left_ask_for_nothing():
    children = Children("temporary", RestartWindow(3, 5.0))
    children.joined("p", 1, 0)
    [number], _ = children.admit("p", 1)
    children.left("p")

    assert children.exited(number, None, 0.0).ask == 0


def test_a_child_that_was_told_to_end_is_not_started_again():
    children = Children("transient", RestartWindow(3, 5.0))
    number = children.admit_one()

    assert children.stop(number) is None
    assert children.exited(number, "OSError()", 0.0).what == "gone"
    assert children.exited(number, "OSError()", 0.0).what == "unknown"


@pytest.mark.parametrize(("most", "least", "whole"), [(10, 9, 7), (10, 0, 10), (5, 4, 5), (4, 2, 0)])
def test_an_ask_that_a_whole_batch_fits_in_comes_in_the_end(most, least, whole):
    children = Children("temporary", RestartWindow(3, 5.0))
    unsent = children.joined("p", most, least, whole)
    for _ in range(50):
        numbers, excess = children.admit("p", whole or 1)
        unsent -= whole or 1
        assert unsent >= 0
        assert excess == 0
        for number in numbers:
            unsent += children.exited(number, None, 0.0).ask


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("end"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("again"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("stop"), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("by hand"), st.booleans(), st.booleans()),
        st.tuples(st.just("leave"), st.integers(0, 2), st.just(0)),
    ),
    max_size=60,
)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=3, max_size=3),
    st.sampled_from(["temporary", "transient"]),
    STEPS,
)
def test_asks_and_children_add_up(producers, restart, steps):
    """Concurrent children never exceed max_demand, every event gets one child, every free place is asked for once."""
    children = Children(restart, RestartWindow(10**6, 1.0))
    limits = [(most, min(least, most - 1)) for most, least in producers]
    unsent = [children.joined(p, most, least) for p, (most, least) in enumerate(limits)]
    alive, seen, there = {}, [], {0, 1, 2}

    def take(number, verdict):
        """What the model does about a verdict."""
        assert verdict.what in ("gone", "restart")
        if verdict.what == "restart":
            alive[number][1] = "restarting"
            return
        producer, _ = alive.pop(number)
        if verdict.ask:
            assert verdict.producer == producer
            assert producer in there
            unsent[producer] += verdict.ask

    for what, which, value in steps:
        ours = sorted(alive)
        if what == "come" and which in there:
            n = min(value, unsent[which])
            numbers, excess = children.admit(which, n)
            assert excess == 0
            unsent[which] -= n
            seen += numbers
            alive |= {number: [which, "running"] for number in numbers}
        elif what == "by hand":
            number = children.admit_one()
            seen.append(number)
            alive[number] = [None, "running"]
        elif what == "leave":
            children.left(which)
            there.discard(which)
        elif what in ("end", "again", "stop") and ours:
            number = ours[which % len(ours)]
            state = alive[number][1]
            if what == "end" and state != "restarting":
                take(number, children.exited(number, "OSError()" if value else None, 0.0))
            elif what == "again" and state == "restarting":
                if value:
                    take(number, children.exited(number, "OSError()", 0.0))
                else:
                    assert children.started(number)
                    alive[number][1] = "running"
            elif what == "stop":
                verdict = children.stop(number)
                assert (verdict is not None) == (state == "restarting")
                if verdict is not None:
                    take(number, verdict)
                else:
                    alive[number][1] = "stopping"

        assert len(set(seen)) == len(seen)
        assert len(children) == len(alive)
        assert children.active == sum(state != "restarting" for _, state in alive.values())
        for p in there:
            most, least = limits[p]
            running = sum(producer == p for producer, _ in alive.values())
            free = most - running - unsent[p]
            assert 0 <= free < max(least, 1)


# -- options --


class Source(ff.Producer):
    def __init__(self, event=None):
        pass


async def promise(event):
    return event


def items(event):
    yield event


@pytest.mark.parametrize(
    ("child", "text"),
    [
        (Job, r"got the class Job, expected a template; write Job\(\), where the event comes behind its arguments"),
        (Source(), r"got the producer Source, expected a function, a consumer or a producer_consumer, since nobody"),
        (3, r"got 3, expected a function of an event, or a stage as a template"),
        (None, r"got None, expected a function"),
        ("print", r"got 'print', expected a function"),
        ([print], r"got a list of 1, expected a single one, as the template of all children; give one"),
        ({}, r"got a dict of 0, expected a single one"),
        (promise, r"which only returns something to be awaited or iterated, expected .*; wrap it in one"),
        (items, r"which only returns something to be awaited or iterated"),
    ],
)
def test_a_child_that_can_not_be_is_refused(child, text):
    with pytest.raises(ff.OptionError, match="child of a ConsumerSupervisor: .*" + text):
        ff.ConsumerSupervisor(child)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(restart="permanent"), r"got 'permanent', expected 'temporary' or 'transient', since .*; give"),
        (dict(restart="transeint"), r"unknown restart: got 'transeint', expected one of .*; did you mean 'tr"),
        (dict(restart=True), r"restart .*: got True, expected 'temporary' or 'transient'"),
        (dict(restart=None), r"restart .*: got None"),
        (dict(strategy="rest_for_one"), r"strategy .*: got 'rest_for_one', expected 'one_for_one'"),
        (dict(strategy=None), r"strategy .*: got None"),
        (dict(max_restarts=-1), r"max_restarts: got -1, expected 0 or more; 0 allows"),
        (dict(max_restarts=True), r"max_restarts: got True, expected a whole number"),
        (dict(max_seconds=0), r"max_seconds: got 0, expected seconds, more than 0"),
        (dict(shutdown=-1), r"shutdown .*: got -1, expected seconds from 0 up, 'brutal', or 'infinity'"),
        (dict(shutdown=False), r"shutdown .*: got False"),
        (dict(shutdown="brutal_kill"), r"shutdown .*: got 'brutal_kill'"),
        (dict(shutdown=float("nan")), r"shutdown .*: got nan"),
    ],
)
def test_an_option_that_can_not_be_is_refused(options, text):
    with pytest.raises(ff.OptionError, match=text):
        ff.ConsumerSupervisor(print, **options)


@pytest.mark.parametrize("what", [start_child, which_children, count_children, lambda ref: terminate_child(ref, ref)])
def test_only_a_consumer_supervisor_has_children(what):
    rt = ff.Runtime()

    with pytest.raises(TypeError, match=r"_child(ren)?: got <Ref Count-1 .*, expected the ref of an ff.ConsumerSuperv"):
        what(rt.start(ff.Count()))
    with pytest.raises(TypeError, match=r"got 'sup', expected the ref"):
        what("sup")
    rt.stop()


@pytest.mark.parametrize("wrong", ["restarting", 1, [], None])
def test_only_a_child_can_be_terminated(wrong):
    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(print), name="sup")

    with pytest.raises(KeyError, match=r"terminate_child of 'sup': got .*, expected one of its 0 children; see which"):
        terminate_child(sup, wrong)
    rt.stop()


def test_a_supervisor_that_has_ended_has_no_children():
    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(print), name="sup")
    sup.stop()

    for what in start_child, which_children, count_children:
        with pytest.raises(ff.Closed, match=r"of 'sup': it has ended \('shutdown'\), expected it to run; start"):
            what(sup)
    rt.stop()


# -- children on threads --


def test_each_event_gets_exactly_one_child():
    seen, lock = [], threading.Lock()

    def child(event):
        with lock:
            seen.append(int(event))

    ff.run(ff.Range(500), ff.ConsumerSupervisor(child), max_demand=7)

    assert sorted(seen) == list(range(500))


def test_threads_are_daemons_named_after_their_supervisor():
    gates = Gates()
    with ff.Runtime() as rt:
        rt.start(ff.ConsumerSupervisor(gates), name="fetch", subscribe_to=[rt.start(ff.Range(2))])
        gates.take(2)
        gates.let(0, 1)

    assert [thread.name for thread in gates.threads] == ["fastflow-fetch-1", "fastflow-fetch-2"]
    assert all(thread.daemon for thread in gates.threads)


def test_the_end_comes_when_all_producers_and_all_children_have_ended():
    gates = Gates()
    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(gates))
        for start in (0, 10):
            sup.subscribe(rt.start(ff.Range(start, start + 1)), max_demand=2)
        late = start_child(sup, 99)
        assert sorted(gates.take(3)) == [0, 10, 99]
        gates.let(0, 10)
        # The last one, which no event has brought, is waited for as well.
        assert sup.alive
        gates.let(99)
        assert sup.join(WAIT) == "normal"

    assert not late.alive


def test_a_subscription_to_a_new_producer_puts_off_the_end():
    gates = Gates()
    with ff.Runtime() as rt:
        first = rt.start(ff.Range(1))
        sup = rt.start(ff.ConsumerSupervisor(gates), subscribe_to=[first])
        first.join(WAIT)
        gates.next()
        feed = rt.start(Feed())
        sup.subscribe(feed, max_demand=1)
        gates.let(0)
        feed.cast([5])
        assert gates.next() == 5
        gates.let(5)
        feed.cast("end")
        assert sup.join(WAIT) == "normal"


def test_a_child_that_fails_is_logged_with_its_traceback_and_the_others_go_on(caplog):
    def child(event):
        if event == 1:
            raise ZeroDivisionError("on purpose")

    ff.run([0, 1, 2], ff.ConsumerSupervisor(child), max_demand=1)

    [record] = [record for record in caplog.records if record.name == "fastflow.supervisor"]
    assert record.getMessage() == "supervisor 'ConsumerSupervisor-1': child 'fastflow-ConsumerSupervisor-1-2' failed"
    assert record.levelno == logging.ERROR
    assert record.exc_info[2].tb_next.tb_frame.f_code.co_name == "child"


def test_a_child_that_fails_is_started_again_with_the_same_event(caplog):
    gates = Gates()
    gates.fail(7, OSError("once"), OSError("twice"))
    with ff.Runtime() as rt:
        feed = rt.start(Feed())
        sup = rt.start(ff.ConsumerSupervisor(gates, restart="transient"), name="sup")
        sup.subscribe(feed, max_demand=1)
        feed.cast([7])
        feed.cast("end")
        assert gates.take(3) == [7, 7, 7]

    warnings = [record.getMessage() for record in caplog.records if record.name == "fastflow.supervisor"]
    assert warnings == [
        "supervisor 'sup' starts child 'fastflow-sup-1' again, which failed with OSError('once')",
        "supervisor 'sup' starts child 'fastflow-sup-2' again, which failed with OSError('twice')",
    ]


def test_sys_exit_is_a_normal_end_unless_it_has_a_code():
    codes, events = {1: None, 2: 0, 3: "disk full"}, []

    def child(event):
        events.append(event)
        if events.count(event) == 1:
            sys.exit(codes[event])

    ff.run([1, 2, 3], ff.ConsumerSupervisor(child, restart="transient"), max_demand=1)

    assert events == [1, 2, 3, 3]


def test_giving_up_is_raised_where_the_pipeline_is_run():
    def child(event):
        raise OSError(f"event {event}")

    with pytest.raises(ff.GaveUp, match=r"failed 3 times in .* s, allowed 2 in 60 s; last: .* with OSError") as caught:
        ff.run([1], ff.ConsumerSupervisor(child, restart="transient", max_restarts=2, max_seconds=60), max_demand=1)

    assert caught.value.causes == ("OSError('event 1')",) * 3
    assert caught.value.__cause__ is None


def test_a_child_that_no_thread_can_be_had_for_counts_as_handled(monkeypatch, caplog):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(print), subscribe_to=[(rt.start(ff.Range(5)), dict(max_demand=2))])
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        settle(rt)

    assert sup.join() == "normal"
    assert rt.outside_work.count == 0
    assert len([record for record in caplog.records if record.name == "fastflow.supervisor"]) == 5


def test_without_max_demand_a_thousand_children_run_at_most():
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(10_000))
    sup = rt.start(ff.ConsumerSupervisor(Job([])))
    edge = sup.subscribe(numbers)

    settle(rt)

    assert edge.statistics()["asked"] == 1000
    assert count_children(sup)["active"] == 1000
    rt.stop()


def test_an_error_in_the_block_stops_the_children_and_is_the_one_that_is_raised():
    stopped = []

    def child(event):
        stopped.append(this_child().stopping.wait(WAIT))

    with pytest.raises(ZeroDivisionError), ff.Runtime() as rt:
        start_child(rt.start(ff.ConsumerSupervisor(child)), 1)
        raise ZeroDivisionError

    assert stopped == [True]


@pytest.mark.parametrize(("shutdown", "timeout"), [(5.0, 10.0), ("brutal", 5.0), (None, None)])
def test_stopping_a_runtime_leaves_children_the_time_that_shutdown_gives(shutdown, timeout):
    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(print, shutdown=shutdown))
    assert rt.outside_work.with_grace(5.0) == timeout

    sup.stop()

    assert rt.outside_work.with_grace(5.0) == 5.0
    rt.stop()


def test_a_child_that_fails_when_it_is_told_to_end_is_logged(caplog):
    def child(event):
        this_child().stopping.wait(WAIT)
        raise OSError("no time to clean up")

    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(child, restart="transient"), name="sup")
        start_child(sup, 1)
        sup.stop(timeout=WAIT)

    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "supervisor 'sup': child 'fastflow-sup-1' failed when it was told to end"
    ]


def test_terminating_a_child_that_does_not_listen_says_so_and_it_still_counts():
    gates = Gates()
    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(gates, shutdown=0.01), name="sup")
        handle = start_child(sup, 1)

        with pytest.raises(ff.WaitTimeout, match=r"'sup': 'fastflow-sup-1' still runs 0.01 s after it was told to end"):
            terminate_child(sup, handle)

        assert which_children(sup) == [handle]
        gates.let(1)


def test_children_can_be_asked_for_and_told_when_nobody_drives():
    def child(event):
        this_child().stopping.wait(WAIT)

    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(child))
    handle = start_child(sup, 1)
    assert which_children(sup) == [handle]

    terminate_child(sup, handle)

    assert count_children(sup)["active"] == 0
    settle(rt)                                  # its mail comes, and finds everything done
    assert rt.outside_work.count == 0
    rt.stop()


def test_a_callback_may_look_at_children_and_tell_them():
    class Boss(ff.Consumer):
        def __init__(self, sup):
            self.sup = sup

        def handle_events(self, events, source):
            return None

        def handle_call(self, request, reply):
            before = which_children(self.sup)
            terminate_child(self.sup, before[0])
            return before

    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(lambda event: this_child().stopping.wait(WAIT)))
        handle = start_child(sup, 1)

        assert rt.start(Boss(sup)).call("?", timeout=WAIT) == [handle]

    assert not handle.alive


def test_this_child_is_none_on_other_threads():
    assert this_child() is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (ff.Batch(x=np.array([1, 2]), y=np.array([3, 4])), [(1, 3), (2, 4)]),
    ],
    ids=["objects", "numbers", "columns"],
)
def test_an_event_is_one_row_whatever_its_schema(source, expected):
    seen = []

    ff.run(source, ff.ConsumerSupervisor(seen.append), max_demand=1)

    assert [tuple(event) if isinstance(expected[0], tuple) else event for event in seen] == expected


def test_an_event_is_let_go_of_when_its_child_has_ended():
    class Event:
        pass

    def events():
        event = Event()
        events.seen = weakref.ref(event)
        yield event

    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(lambda event: None))
        sup.subscribe(rt.start(ff.FromIterable(events)), max_demand=1)
        sup.join(WAIT)
        gc.collect()

        assert events.seen() is None


# -- children that are stages --


def test_a_failure_of_a_child_is_not_raised_again_at_the_end(caplog):
    with ff.Runtime() as rt:
        sup = rt.start(ff.ConsumerSupervisor(Job([])))
        start_child(sup, 1).cast(OSError("the child's own"))

    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [("the child's own",)]


def test_a_failure_of_a_producer_is_raised_though_it_ended_a_child_too():
    class Sub(ff.Consumer):
        def __init__(self, to, event=None):
            self.to = to

        def handle_events(self, events, source):
            return None

    with pytest.raises(OSError, match="the producer's own"), ff.Runtime() as rt:
        feed = rt.start(Feed())
        sup = rt.start(ff.ConsumerSupervisor(Sub(None)))
        start_child(sup, 1).subscribe(feed)
        feed.cast(OSError("the producer's own"))


def test_the_runtime_forgets_children_that_have_ended():
    class Brief(ff.Consumer):
        def __init__(self, event=None):
            pass

        def setup(self):
            self.finish()

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    feed = rt.start(Feed())
    sup = rt.start(ff.ConsumerSupervisor(Brief()), subscribe_to=[(feed, dict(max_demand=2))])
    for _ in range(50):
        feed.cast([1, 2])
        settle(rt)

    assert [seat.ref for seat in rt.seats] == [feed, sup]
    rt.stop()


def test_children_that_are_stages_end_with_their_supervisor():
    log = []
    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(Job(log)))
    children = [start_child(sup, n) for n in range(3)]

    sup.stop()

    assert [child.alive for child in children] == [False] * 3
    assert log[3:] == [("terminate", n, "shutdown") for n in range(3)]
    rt.stop()


def test_children_may_be_supervisors():
    class Folder(ff.ConsumerSupervisor):
        def __init__(self, event=None):
            super().__init__(Job([]))

    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(Folder()))
    child = start_child(sup, 1)
    start_child(child, 1)

    assert count_children(sup) == {"specs": 1, "active": 1, "supervisors": 1, "workers": 0}
    assert count_children(child)["workers"] == 1
    sup.stop()
    assert not child.alive
    rt.stop()


def test_children_of_a_name_that_is_taken_fail_to_start(caplog):
    class Named(Job):
        name = "the one"

    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(Named([])), subscribe_to=[(rt.start(ff.Range(2)), dict(max_demand=2))])
    settle(rt)

    assert [child.name for child in which_children(sup)] == ["the one"]
    [record] = [record for record in caplog.records if record.name == "fastflow.supervisor"]
    assert isinstance(record.exc_info[1], ff.NameTaken)
    assert stage_of(rt["the one"]).event == 0
    rt.stop()


def test_a_message_of_somebody_else_is_dropped_with_a_warning(caplog):
    rt = ff.Runtime()
    sup = rt.start(ff.ConsumerSupervisor(print))
    sup.info("hello")
    settle(rt)

    assert sup.alive
    assert "got 'hello', but it has no handle_info" in caplog.text
    rt.stop()


# -- Ctrl-C --


INTERRUPTED = """
import os, signal, threading
import fastflow as ff

def child(event):
    os.kill(os.getpid(), signal.SIGINT)
    print("told:", ff.supervisor.this_child().stopping.wait(20))

try:
    ff.run([1, 2], ff.ConsumerSupervisor(child), max_demand=1)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("_time", range(3))
def test_ctrl_c_tells_children_to_end_and_waits_for_them(_time):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=50, check=False)

    assert (done.stdout, done.stderr, done.returncode) == ("told: True\ninterrupted\n", "", 0)


def test_the_result_counts_children_by_how_they_have_ended():
    """So that a failure is seen by somebody who has set up no logging."""
    attempts = []

    def flaky(event):
        attempts.append(event)
        if event == "never" or (event == "later" and attempts.count(event) < 3):
            raise ConnectionError(event)

    once = ff.run(["well", "never"], ff.ConsumerSupervisor(flaky))
    again = ff.run(["well", "later"], ff.ConsumerSupervisor(flaky, restart="transient"), max_demand=1)

    assert once == {"succeeded": 1, "failed": 1, "restarted": 0}
    assert again == {"succeeded": 2, "failed": 0, "restarted": 2}
