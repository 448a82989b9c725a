"""`Ref.acall`: calls for asyncio, while the event loop goes on."""

from __future__ import annotations

import asyncio
import threading

import pytest
from helpers_runtime import WAIT, Echo

import fastflow as ff
from fastflow import testing


class Slow(ff.Consumer):
    """Answers when it may."""

    def __init__(self, entered, may_answer):
        self.entered, self.may_answer = entered, may_answer

    def handle_events(self, events, source):
        return None

    def handle_call(self, request, reply):
        self.entered.set()
        assert self.may_answer.wait(WAIT)
        return request


def with_stage(stage, use):
    """Run ``use(ref)`` on an event loop while a thread behind drives the stage."""
    with ff.Runtime() as rt:
        return asyncio.run(use(rt.start(stage, name="echo")))


def test_an_acall_gives_what_handle_call_returns():
    async def use(ref):
        return [await ref.acall("hello"), await ref.acall("at once, by hand")]

    assert with_stage(Echo(), use) == [("echo", "hello"), "by hand"]


def test_an_answer_may_come_later():
    async def use(ref):
        task = asyncio.create_task(ref.acall("later"))
        await asyncio.sleep(0)
        await ref.acall("round")            # the first has been taken by now
        ref.cast("now")
        return await task

    assert with_stage(Echo(), use) == "now"


def test_many_acalls_go_on_at_once():
    async def use(ref):
        return await asyncio.gather(*(ref.acall(i) for i in range(500)))

    assert with_stage(Echo(), use) == [("echo", i) for i in range(500)]


def test_the_event_loop_goes_on_meanwhile():
    entered, may_answer = threading.Event(), threading.Event()

    async def use(ref):
        task = asyncio.create_task(ref.acall("slow", timeout=WAIT))
        await asyncio.to_thread(entered.wait, WAIT)
        may_answer.set()                    # only an event loop that goes on gets here
        return await task

    assert with_stage(Slow(entered, may_answer), use) == "slow"


def test_an_answer_that_is_late_is_dropped():
    entered, may_answer = threading.Event(), threading.Event()

    async def use(ref):
        with pytest.raises(ff.WaitTimeout, match=r"call to 'echo': got none within 0.01 s; give a longer timeout"):
            await ref.acall("late", timeout=0.01)
        may_answer.set()
        return await ref.acall("next")

    assert with_stage(Slow(entered, may_answer), use) == "next"


def test_an_answer_after_the_end_of_the_event_loop_is_dropped():
    entered, may_answer = threading.Event(), threading.Event()

    async def use(ref):
        with pytest.raises(ff.WaitTimeout):
            await ref.acall("late", timeout=0.0)

    with ff.Runtime() as rt:
        ref = rt.start(Slow(entered, may_answer))
        asyncio.run(use(ref))
        may_answer.set()
        assert ref.call("next") == "next"


def test_a_task_that_waits_may_be_cancelled():
    async def use(ref):
        task = asyncio.create_task(ref.acall("never", timeout=None))
        await asyncio.sleep(0)
        await ref.acall("round")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ref.acall("round")
        return ref._seat.extras.waiting_calls

    assert with_stage(Echo(), use) == []


def test_a_stage_that_fails_or_ends_fails_its_acalls():
    async def use(ref):
        never = asyncio.create_task(ref.acall("never"))
        await asyncio.sleep(0)
        with pytest.raises(ff.Closed, match=r"call to 'echo': it failed in handle_call \(ZeroDivisionError") as raised:
            await ref.acall("fail")
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        with pytest.raises(ff.Closed, match=r"it ended .* before it answered"):
            await never
        with pytest.raises(ff.Closed, match=r"call to 'echo': it has ended .*; start another"):
            await ref.acall("too late")
        ref.join()

    with_stage(Echo(), use)


def test_nobody_drives():
    ref = ff.Runtime().start(Echo(), name="echo")

    with pytest.raises(ff.NotDriven, match="call to 'echo': nobody drives this runtime"):
        asyncio.run(ref.acall("hello"))


def test_an_acall_needs_an_event_loop():
    with ff.Runtime() as rt:
        waiting = rt.start(Echo()).acall("hello")
        with pytest.raises(RuntimeError, match="no running event loop"):
            waiting.send(None)


def test_an_acall_from_a_callback_of_the_same_scheduler_is_refused():
    class Asks(ff.Consumer):
        def __init__(self, refs):
            self.refs, self.error = refs, None

        def handle_events(self, events, source):
            return None

        def handle_cast(self, request):
            try:
                asyncio.run(self.refs[0].acall("hello"))
            except ff.CallbackError as error:
                self.error = str(error)

    rt = ff.Runtime()
    asks = rt.start(Asks([rt.start(Echo(), name="echo")]))
    asks.cast("now")
    testing.settle(rt)

    assert "call to 'echo': got a call from a callback of the same scheduler" in testing.stage_of(asks).error
    rt.stop()


def test_the_driver_may_be_a_run_in_another_thread():
    class Tells(ff.Consumer):
        def handle_events(self, events, source):
            return None

        def handle_cast(self, request):
            request.set()

    rt, driven = ff.Runtime(), threading.Event()
    echo = rt.start(Echo(), name="echo")
    rt.start(Tells()).cast(driven)
    rt.outside_work.begin()                 # so that the run does not end before the calls
    driver = threading.Thread(target=rt.run)
    driver.start()
    assert driven.wait(WAIT)

    async def use():
        return await echo.acall("hello")

    try:
        assert asyncio.run(use()) == ("echo", "hello")
    finally:
        rt.outside_work.end()
        driver.join(WAIT)
