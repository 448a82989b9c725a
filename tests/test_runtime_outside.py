"""Work outside of the scheduler: who waits for it, and how a stage's end is heard of."""

from __future__ import annotations

import threading

import pytest
from helpers_runtime import WAIT, Total

import fastflow as ff
from fastflow.runtime.outside import OutsideWork
from fastflow.testing import settle


class Work:
    """A thread that works until it is let go, and sends its word as mail."""

    def __init__(self, rt):
        self.rt, self.go, self.over = rt, threading.Event(), False
        rt.outside_work.begin()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        self.go.wait(WAIT)
        self.rt.scheduler.post(self.end)

    def end(self):
        self.over = True
        self.rt.outside_work.end()


def test_leaving_the_block_waits_for_work_outside():
    with ff.Runtime() as rt:
        work = Work(rt)
        threading.Timer(0, work.go.set).start()

    assert work.over


def test_run_waits_for_work_outside():
    rt = ff.Runtime()
    work = Work(rt)
    threading.Timer(0, work.go.set).start()

    rt.run()

    assert work.over


def test_the_deadline_of_run_counts_while_work_goes_on_outside():
    rt = ff.Runtime()
    work = Work(rt)

    with pytest.raises(ff.WaitTimeout, match=r"not done within 0.01 s"):
        rt.run(timeout=0.01)

    work.go.set()
    work.thread.join(WAIT)


def test_what_work_outside_leads_to_is_done_before_the_block_is_left():
    class Push(ff.Producer):
        dtype = "int64"

        def handle_cast(self, request):
            self.finish()
            return request

    with ff.Runtime() as rt:
        push = rt.start(Push())
        total = rt.start(Total(), subscribe_to=[push])
        work = Work(rt)

        def end_with_events():
            Work.end(work)
            push.cast([1, 2, 3])

        work.end = end_with_events
        threading.Timer(0, work.go.set).start()

    assert total.result() == 6


def test_settle_does_not_wait_for_work_outside():
    rt = ff.Runtime()
    work = Work(rt)

    settle(rt)

    assert not work.over
    work.go.set()
    work.thread.join(WAIT)
    settle(rt)
    assert work.over


def test_a_timeout_for_stopping_grows_by_what_ends_may_wait():
    work, one, other = OutsideWork(ff.Runtime().scheduler), object(), object()
    work.set_grace(one, 2.0)
    work.set_grace(other, 3.0)

    assert work.with_grace(5.0) == 10.0
    assert work.with_grace(None) is None

    work.set_grace(other, float("inf"))
    assert work.with_grace(5.0) is None

    work.set_grace(other, 0.0)
    work.set_grace(one, 0.0)
    assert work.with_grace(5.0) == 5.0


def test_watchers_hear_of_the_end_of_a_stage_after_it():
    rt = ff.Runtime()
    total = rt.start(Total())
    heard = []
    total._seat.watch(lambda seat: heard.append((seat.name, seat.reason, seat.done.is_set)))

    total.stop()

    assert heard == [("Total-1", "shutdown", True)]


def test_a_stage_that_has_ended_can_be_forgotten():
    rt = ff.Runtime()
    total = rt.start(Total(), name="total")
    total.stop()

    rt.forget(total._seat)

    assert rt.seats == []
    assert rt.names == {}
    assert total.result() == 0
