"""How a runtime ends: leaving its block, stopping, draining, and what is said of what is left."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import weakref

import numpy as np
import pytest
from helpers_runtime import WAIT, Counter, Hand, Same, Total
from helpers_stage import Push

import fastflow as ff
from fastflow.errors import WaitTimeout
from fastflow.testing import ManualClock, settle, stage_of, step

# -- leaving the block ----------------------------------------------------------------------------


def test_leaving_waits_until_nothing_can_move():
    with ff.Runtime() as rt:
        total = rt.start(Total(), subscribe_to=[rt.start(Counter(2_000_000, 1000))])

    assert total.result() == sum(range(2_000_000))


def test_leaving_waits_for_mail_and_timers():
    log = []

    class Timed(Hand):
        def handle_cast(self, request):
            log.append(request)
            if request:
                self.after(0.005, request - 1)

        def handle_info(self, message):
            self.handle_cast(message)

    with ff.Runtime() as rt:
        rt.start(Timed()).cast(4)

    assert log == [4, 3, 2, 1, 0]


def test_leaving_stops_what_is_left_in_reverse_order():
    log = []

    class Says(Hand):
        def __init__(self, name):
            self.word = name

        def terminate(self, reason):
            log.append((self.word, reason))

    with ff.Runtime() as rt:
        for name in "abc":
            rt.start(Says(name))

    assert log == [("c", "shutdown"), ("b", "shutdown"), ("a", "shutdown")]


def test_a_stopped_stage_still_gives_its_result():
    with ff.Runtime() as rt:
        push, total = rt.start(Push()), rt.start(Total())
        total.subscribe(push)
        push.cast([1, 2])

    assert total.join() in ("shutdown", "normal")
    assert total.result() == 3


def test_events_left_undelivered_are_a_warning_with_numbers(caplog):
    with ff.Runtime() as rt:
        push, hand = rt.start(Push(), name="pushy"), rt.start(Hand(), name="handy")
        hand.subscribe(push, max_demand=100).ask(2)
        push.cast(np.arange(9))

    warnings = [
        r for r in caplog.records if r.levelname == "WARNING" and r.name.startswith("fastflow")
    ]
    text = "\n".join(r.getMessage() for r in warnings)
    assert "pushy" in text
    assert "7" in text


def test_nothing_is_said_when_all_was_delivered(caplog):
    with ff.Runtime() as rt:
        rt.start(Total(), subscribe_to=[rt.start(Counter(1000))])

    assert [r for r in caplog.records if r.levelno >= 30] == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_in_the_block_stops_everything_at_once(error):
    with pytest.raises(error), ff.Runtime() as rt:
        counter = rt.start(Counter())
        total = rt.start(Total(), subscribe_to=[counter])
        raise error

    assert not counter.alive
    assert not total.alive
    assert isinstance(total.result(), int)


def test_ctrl_c_in_a_callback_ends_the_run_at_once():
    """The turn is rolled back, and Python's own handler is in place again afterwards."""
    before, left = signal.getsignal(signal.SIGINT), []

    class Presses(Total):
        state = ("total",)

        def handle_events(self, events, source):
            super().handle_events(events, source)
            if events[0] >= 20:
                signal.raise_signal(signal.SIGINT)

        def terminate(self, reason):
            left.append(self.total)

    rt = ff.Runtime()
    counter = rt.start(Counter())
    rt.start(Presses(), subscribe_to=[(counter, dict(max_demand=10, min_demand=0))])

    with pytest.raises(KeyboardInterrupt):
        rt.run(timeout=WAIT)

    assert signal.getsignal(signal.SIGINT) is before
    assert left in ([sum(range(20))], [])
    assert not counter.alive


def test_a_handler_that_the_user_has_set_is_left_alone():
    pressed = []

    class Presses(Total):
        def handle_events(self, events, source):
            super().handle_events(events, source)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        rt = ff.Runtime()
        rt.start(Presses(), name="total", subscribe_to=[rt.start(Counter(10))])
        results = rt.run(timeout=WAIT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert results["total"] == 45
    assert pressed


def test_stages_without_subscriptions_do_not_hold_the_block():
    with ff.Runtime() as rt:
        refs = [rt.start(Hand()), rt.start(Push()), rt.start(Same())]

    assert [ref.alive for ref in refs] == [False] * 3


# -- stopping -------------------------------------------------------------------------------------


def test_a_stage_can_be_stopped():
    """GenStage 29."""
    reasons = []

    class Ends(Counter):
        def terminate(self, reason):
            reasons.append(reason)

    with ff.Runtime() as rt:
        counter = rt.start(Ends())
        total = rt.start(Total(), subscribe_to=[(counter, dict(cancel="temporary"))])
        counter.stop()
        assert counter.join(timeout=WAIT) == "shutdown"
        assert total.alive

    assert reasons == ["shutdown"]


def test_join_and_result_end_with_their_time():
    with ff.Runtime() as rt:
        push = rt.start(Push())
        with pytest.raises(WaitTimeout):
            push.join(timeout=0.01)
        with pytest.raises(TimeoutError):
            push.result(timeout=0.01)


def test_stop_ends_everything():
    with ff.Runtime() as rt:
        counter = rt.start(Counter())
        total = rt.start(Total(), subscribe_to=[counter])
        rt.stop(timeout=WAIT)
        assert not counter.alive
        assert not total.alive


def test_drain_lets_everything_emitted_arrive():
    with ff.Runtime() as rt:
        counter = rt.start(Counter(chunk=10))
        same = rt.start(Same(), subscribe_to=[(counter, dict(max_demand=100))])
        total = rt.start(Total(), subscribe_to=[(same, dict(max_demand=50))])
        rt.drain(timeout=WAIT)
        assert not counter.alive

    assert total.result() == sum(range(counter.result()))


def test_a_stage_that_refuses_to_end_does_not_hold_the_others():
    class Stubborn(Push):
        def terminate(self, reason):
            raise OSError("no")

    ended = []

    class Ends(Push):
        def terminate(self, reason):
            ended.append(reason)

    with contextlib.suppress(OSError), ff.Runtime() as rt:
        rt.start(Ends())
        rt.start(Stubborn())

    assert ended == ["shutdown"]


def test_imports_and_runtimes_start_no_thread_until_driven():
    before = threading.active_count()
    rt = ff.Runtime()
    rt.start(Total(), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    assert threading.active_count() == before


def test_no_thread_is_left_after_the_block():
    before = set(threading.enumerate())
    with ff.Runtime() as rt:
        rt.start(Total(), subscribe_to=[rt.start(Counter(10))])

    assert set(threading.enumerate()) <= before


def test_two_runtimes_run_side_by_side():
    with ff.Runtime() as one, ff.Runtime() as two:
        totals = [
            rt.start(Total(), subscribe_to=[rt.start(Counter(100_000, 1000))]) for rt in (one, two)
        ]
        assert [total.result(timeout=WAIT) for total in totals] == [sum(range(100_000))] * 2


def test_the_manual_clock_starts_where_it_is_told():
    log = []

    class Alarm(Hand):
        def setup(self):
            self.after(2.0, "now")

        def handle_info(self, message):
            log.append(message)

    clock = ManualClock(start=100.0)
    rt = ff.Runtime(clock=clock)
    rt.start(Alarm())
    clock.advance(seconds=1.0)
    settle(rt)
    assert log == []
    clock.advance(1.0)
    settle(rt)

    assert log == ["now"]


def test_a_runtime_may_be_driven_by_steps_and_then_run():
    rt = ff.Runtime()
    rt.start(Total(), name="total", subscribe_to=[(rt.start(Counter(100)), dict(max_demand=10))])
    for _ in range(5):
        assert step(rt)

    assert rt.run(timeout=WAIT)["total"] == sum(range(100))


def test_closing_lets_go_of_the_stages():
    """Reactive Streams 3.13."""

    class Held(Total):
        pass

    with ff.Runtime() as rt:
        total = rt.start(Held(), subscribe_to=[rt.start(Counter(10))])
        total.result(timeout=WAIT)
        stage = stage_of(total)
        held = weakref.ref(stage) if stage is not None else None
    del stage, total, rt
    gc.collect()

    assert held is None or held() is None
