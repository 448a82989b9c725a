"""Timers: `after`, on a clock that the test moves."""

from __future__ import annotations

import pytest

import fastflow as ff
from fastflow.testing import ManualClock, settle, stage_of


class Alarm(ff.Consumer):
    """Sets timers when told, and writes down what arrives."""

    def __init__(self, log):
        self.log, self.timers = log, []

    def handle_cast(self, request):
        seconds, message = request
        self.timers.append(self.after(seconds, message))

    def handle_info(self, message):
        self.log.append(message)

    def handle_events(self, events, source):
        return None


def test_a_timer_sends_its_message_when_it_is_due():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((2.0, "two"))
    settle(rt)

    clock.advance(1.5)
    settle(rt)
    assert log == []

    clock.advance(0.5)
    settle(rt)
    assert log == ["two"]

    clock.advance(10)
    settle(rt)
    assert log == ["two"]


def test_timers_come_in_the_order_in_which_they_are_due():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    for seconds in (3.0, 1.0, 2.0, 1.0):
        alarm.cast((seconds, (seconds, len(log))))
    for i, seconds in enumerate((1.0, 1.0)):
        alarm.cast((seconds, ("same", i)))
    settle(rt)

    clock.advance(5.0)
    settle(rt)

    assert [m[0] for m in log] == [1.0, 1.0, "same", "same", 2.0, 3.0]
    assert [m for m in log if m[0] == "same"] == [("same", 0), ("same", 1)]


def test_a_cancelled_timer_stays_silent():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((1.0, "one"))
    alarm.cast((2.0, "two"))
    settle(rt)

    stage_of(alarm).timers[0].cancel()
    clock.advance(5.0)
    settle(rt)

    assert log == ["two"]


def test_cancelling_a_timer_late_or_twice_does_nothing():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((1.0, "one"))
    settle(rt)
    clock.advance(1.0)
    settle(rt)

    timer = stage_of(alarm).timers[0]
    timer.cancel()
    timer.cancel()
    settle(rt)

    assert log == ["one"]


def test_a_timer_of_no_seconds_comes_in_a_later_turn():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((0, "now"))
    settle(rt)

    assert log == ["now"]


def test_a_timer_can_set_itself_again():
    class Ticks(Alarm):
        def setup(self):
            self.after(1.0, 1)

        def handle_info(self, message):
            super().handle_info(message)
            self.after(1.0, message + 1)

    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    rt.start(Ticks(log))
    settle(rt)
    for _ in range(5):
        clock.advance(1.0)
        settle(rt)

    assert log == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("seconds", [-1, float("nan"), "soon", None])
def test_a_timer_in_no_seconds_at_all_is_refused(seconds):
    rt = ff.Runtime(clock=ManualClock())
    alarm = rt.start(Alarm([]))
    alarm.cast((seconds, "never"))
    settle(rt)

    assert isinstance(alarm.join(), (TypeError, ValueError))
