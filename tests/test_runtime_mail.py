"""Mail: calls, casts and infos, into a runtime that runs behind and one that the test drives."""

from __future__ import annotations

import threading

import pytest
from helpers_runtime import WAIT, Counter, Echo, Hand, Total
from helpers_stage import Push

import fastflow as ff
from fastflow.errors import CallbackError, Closed, WaitTimeout
from fastflow.testing import settle, stage_of


def test_a_call_returns_what_the_callback_returns():
    with ff.Runtime() as rt:
        echo = rt.start(Echo())
        assert echo.call("hello", timeout=WAIT) == ("echo", "hello")
        assert echo.call("again") == ("echo", "again")


def test_a_reply_may_come_later():
    with ff.Runtime() as rt:
        echo, answers = rt.start(Echo()), []
        thread = threading.Thread(target=lambda: answers.append(echo.call("later", timeout=WAIT)))
        thread.start()
        while not stage_of(echo).waiting:  # each look is a turn of the stage
            assert thread.is_alive()
            echo.call("look", timeout=WAIT)
        echo.cast("now")
        thread.join(WAIT)

    assert answers == ["now"]


def test_a_reply_may_be_given_by_hand_in_the_callback():
    with ff.Runtime() as rt:
        assert rt.start(Echo()).call("at once, by hand", timeout=WAIT) == "by hand"


def test_a_call_that_is_never_answered_ends_with_its_time():
    """GenStage 32: and a late reply does no harm."""
    with ff.Runtime() as rt:
        echo = rt.start(Echo())
        with pytest.raises(WaitTimeout):
            echo.call("later", timeout=0.02)
        echo.cast("too late")
        assert echo.call("hello", timeout=WAIT) == ("echo", "hello")


def test_a_call_may_end_the_stage_and_still_be_answered():
    """GenStage 23."""
    with ff.Runtime() as rt:
        echo = rt.start(Echo())
        assert echo.call("stop", timeout=WAIT) == ("echo", "stop")
        assert echo.join(timeout=WAIT) == "normal"


def test_an_error_in_a_call_ends_the_stage_and_the_wait():
    with ff.Runtime() as rt:
        echo = rt.start(Echo())
        with pytest.raises((ZeroDivisionError, Closed)):
            echo.call("fail", timeout=WAIT)
        assert isinstance(echo.join(timeout=WAIT), ZeroDivisionError)


def test_a_call_to_a_stage_that_has_ended_is_an_error():
    """GenStage 34."""
    with ff.Runtime() as rt:
        counter = rt.start(Counter(1))
        rt.start(Total(), subscribe_to=[counter])
        counter.join(timeout=WAIT)
        with pytest.raises(Closed):
            counter.call("hello", timeout=WAIT)


def test_a_call_that_waits_is_ended_when_its_stage_ends():
    with ff.Runtime() as rt:
        echo, errors = rt.start(Echo()), []

        def call():
            try:
                echo.call("later", timeout=WAIT)
            except Closed as closed:
                errors.append(closed)

        thread = threading.Thread(target=call)
        thread.start()
        while not stage_of(echo).waiting:
            assert thread.is_alive()
            echo.call("look", timeout=WAIT)
        echo.stop()
        thread.join(WAIT)

    assert len(errors) == 1


def test_a_cast_to_a_stage_that_has_ended_does_nothing():
    """GenStage 33."""
    rt = ff.Runtime()
    counter = rt.start(Counter(1))
    rt.start(Total(), subscribe_to=[counter])
    settle(rt)

    counter.cast("hello")
    counter.info("hello")

    assert settle(rt) == 0


def test_a_call_that_would_wait_for_itself_is_an_error_at_once():
    class Calls(Echo):
        def handle_cast(self, request):
            request.call("hello", timeout=WAIT)

    rt = ff.Runtime()
    calls = rt.start(Calls())
    calls.cast(calls)
    settle(rt)

    assert isinstance(calls.join(), RuntimeError)
    assert not isinstance(calls.join(), WaitTimeout)


def test_a_call_from_a_callback_to_a_stage_of_the_same_thread_never_hangs():
    """It would wait for the thread that waits; an error or an answer are both well."""

    class Calls(Echo):
        def handle_cast(self, request):
            self.log.append(request.call("hello", timeout=WAIT))

    rt = ff.Runtime()
    calls, echo = rt.start(Calls()), rt.start(Echo())
    calls.cast(echo)
    settle(rt)

    if calls.alive:
        assert stage_of(calls).log == [("echo", "hello")]
    else:
        assert isinstance(calls.join(), RuntimeError)
        assert not isinstance(calls.join(), WaitTimeout)


def test_mail_comes_in_the_order_in_which_it_was_sent():
    log = []

    class Reads(Hand):
        def handle_cast(self, request):
            log.append(("cast", request))

        def handle_info(self, message):
            log.append(("info", message))

    rt = ff.Runtime()
    reads = rt.start(Reads())
    sent = [("cast" if i % 3 else "info", i) for i in range(30)]
    for kind, number in sent:
        getattr(reads, kind)(number)
    settle(rt)

    assert log == sent


def test_mail_from_one_thread_keeps_its_order():
    log = []

    class Reads(Hand):
        def handle_cast(self, request):
            log.append(request)

    with ff.Runtime() as rt:
        reads = rt.start(Reads())
        threads = [
            threading.Thread(target=lambda who=who: [reads.cast((who, i)) for i in range(200)])
            for who in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)

    for who in range(3):
        assert [i for sender, i in log if sender == who] == list(range(200))


def test_mail_and_demand_take_turns():
    """DESIGN 6: mail, timers, input and demand take one turn each, in rotation."""
    log = []

    class Both(Counter):
        def handle_demand(self, demand):
            log.append("demand")
            return super().handle_demand(demand)

        def handle_cast(self, request):
            log.append("cast")

    rt = ff.Runtime()
    both = rt.start(Both(100, chunk=1))
    rt.start(Total(), subscribe_to=[(both, dict(max_demand=50))])
    for i in range(10):
        both.cast(i)
    settle(rt)

    first, last = log.index("cast"), len(log) - 1 - log[::-1].index("cast")
    assert log[first : last + 1] == (["cast", "demand"] * 10)[:-1]


def test_mail_and_input_take_turns():
    log = []

    class Both(ff.Consumer):
        def handle_events(self, events, source):
            log.append("events")

        def handle_cast(self, request):
            log.append("cast")

    rt = ff.Runtime()
    both = rt.start(
        Both(), subscribe_to=[(rt.start(Counter(100)), dict(max_demand=50, min_demand=49))]
    )
    for i in range(10):
        both.cast(i)
    settle(rt)

    tail = log[log.index("events") :]
    casts = tail.count("cast")
    assert tail[: 2 * casts] == ["events", "cast"] * casts
    assert log.count("cast") == 10


def test_a_busy_pipeline_still_answers_calls():
    class Answers(Counter):
        def handle_call(self, request, reply):
            return self.next

    with pytest.raises(KeyboardInterrupt), ff.Runtime() as rt:
        counter = rt.start(Answers())
        rt.start(Total(), subscribe_to=[(counter, dict(max_demand=100))])
        positions = [counter.call("where", timeout=WAIT) for _ in range(20)]
        assert positions == sorted(positions)
        raise KeyboardInterrupt


def test_the_run_queue_is_first_in_first_out():
    log = []

    class Reads(Hand):
        def __init__(self, name):
            self.word = name

        def handle_cast(self, request):
            log.append(self.word)

    rt = ff.Runtime()
    refs = {name: rt.start(Reads(name)) for name in "abc"}
    for name in "cabba":
        refs[name].cast("hello")
    settle(rt)

    assert log == ["c", "a", "b", "a", "b"]


def test_an_info_to_a_stage_that_expects_none_does_no_harm():
    """GenStage 19: a warning, and the stage goes on."""
    rt = ff.Runtime()
    total = rt.start(Total())
    total.info("unexpected")
    settle(rt)

    assert total.alive


def test_retry_of_a_call_answers_in_the_end():
    class Flaky(Echo):
        def handle_call(self, request, reply):
            self.log.append(request)
            if len(self.log) < 3:
                raise ff.Retry(after=0.001)
            return len(self.log)

    with ff.Runtime() as rt:
        assert rt.start(Flaky()).call("hello", timeout=WAIT) == 3


def test_events_of_a_call_are_emitted_by_emit():
    """What handle_call returns is the reply, so it emits by hand."""

    class Emits(Push):
        def handle_call(self, request, reply):
            self.emit(request)
            return "emitted"

    with ff.Runtime() as rt:
        push, total = rt.start(Emits()), rt.start(Total())
        total.subscribe(push)
        assert push.call([1, 2, 3], timeout=WAIT) == "emitted"

    assert total.result() == 6


def test_emit_outside_a_callback_is_refused():
    ref = ff.Runtime().start(Push())

    with pytest.raises(CallbackError, match="emit"):
        stage_of(ref).emit([1, 2, 3])
