"""The runtime: starting, naming, joining, mail, failures, and what happens when a block is left.

Most runtimes here are driven by the test itself, turn by turn.  Those that run behind are left by a
`with` block, and every wait on them has a deadline.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import traceback
import weakref

import numpy as np
import pytest
from model import counters

import fastflow as ff
from fastflow.errors import (
    CallbackError,
    Closed,
    FastflowError,
    GraphError,
    NameTaken,
    NotDriven,
    OptionError,
    WaitTimeout,
)
from fastflow.testing import ManualClock, Recorder, settle, stage_of, step

WAIT = 20.0  # seconds: a deadline, never a pause


class Counter(ff.Producer):
    """Counts up to `stop`, or for ever."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, stop=None, chunk=None):
        self.next, self.stop, self.chunk = 0, stop, chunk

    def handle_demand(self, demand):
        count = min(demand, self.chunk or demand)
        if self.stop is not None:
            count = min(count, self.stop - self.next)
        out = self.claim(count)
        ff.fill_range(out, self.next)
        self.next += count
        if self.next == self.stop:
            self.finish()
        return out

    def result(self):
        return self.emitted


class Push(ff.Producer):
    """Answers no demand; what is cast to it, it emits."""

    dtype = "int64"

    def handle_demand(self, demand):
        return None

    def handle_cast(self, request):
        return request


class Same(ff.ProducerConsumer):
    """Passes every batch on."""

    dtype = "int64"

    def handle_events(self, events, source):
        return events


class Total(ff.Consumer):
    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def result(self):
        return self.total


class Hand(ff.Consumer):
    """Takes what is asked for by hand."""

    def handle_subscribe(self, role, options, subscription):
        return "manual"

    def handle_events(self, events, source):
        return None


class FailsAt(ff.Consumer):
    """Divides by zero when it sees `event`."""

    def __init__(self, event):
        self.event = event

    def handle_events(self, events, source):
        self.quotient = 1 // int(self.event not in events)


class Echo(ff.Consumer):
    """Answers calls in every way there is."""

    def __init__(self):
        self.waiting, self.log = [], []

    def handle_events(self, events, source):
        return None

    def handle_call(self, request, reply):
        self.log.append(request)
        if request == "later":
            self.waiting.append(reply)
            return ff.LATER
        if request == "never":
            return ff.LATER
        if request == "at once, by hand":
            reply("by hand")
            return ff.LATER
        if request == "fail":
            raise ZeroDivisionError("on purpose")
        if request == "stop":
            self.finish()
        return ("echo", request)

    def handle_cast(self, request):
        self.log.append(request)
        for reply in self.waiting:
            reply(request)
        self.waiting = []


def notes(error):
    """All notes of an exception, in one text."""
    return "\n".join(getattr(error, "__notes__", []))


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


# -- failures -------------------------------------------------------------------------------------


def test_a_failure_that_nobody_fetched_is_raised_when_the_block_is_left():
    with pytest.raises(ZeroDivisionError), ff.Runtime() as rt:
        rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])


@pytest.mark.parametrize("fetch", ["result", "join"])
def test_a_failure_that_was_fetched_is_not_raised_again(fetch):
    with ff.Runtime() as rt:
        failing = rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
        if fetch == "join":
            assert isinstance(failing.join(timeout=WAIT), ZeroDivisionError)
        else:
            with pytest.raises(ZeroDivisionError):
                failing.result(timeout=WAIT)


def test_several_failures_are_raised_together():
    with pytest.raises(ExceptionGroup) as raised, ff.Runtime() as rt:
        rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
        rt.start(FailsAt(5), subscribe_to=[rt.start(Counter(10))])

    assert [type(error) for error in raised.value.exceptions] == [ZeroDivisionError] * 2


def test_a_failure_that_ended_other_stages_is_one_failure():
    """Raised once, and fetched at any of them it is fetched."""

    class Fails(Push):
        def handle_cast(self, request):
            raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError), ff.Runtime() as rt:
        push = rt.start(Fails())
        same = rt.start(Same(), subscribe_to=[push])
        rt.start(Total(), subscribe_to=[same])
        push.cast("now")

    with ff.Runtime() as rt:
        push = rt.start(Fails())
        same = rt.start(Same(), subscribe_to=[push])
        total = rt.start(Total(), subscribe_to=[same])
        push.cast("now")
        assert isinstance(total.join(timeout=WAIT), ZeroDivisionError)


def test_a_failure_says_where_it_happened():
    """Stage, callback, source and the positions of the batch in the stream."""
    rt = ff.Runtime()
    counter = rt.start(Counter(10_000), name="numbers")
    failing = rt.start(FailsAt(700), name="divider")
    failing.subscribe(counter, max_demand=128, min_demand=64)
    settle(rt)

    error = failing.join()

    text = notes(error)
    assert "divider" in text
    assert "handle_events" in text
    assert "numbers" in text
    assert "640" in text
    assert any(end in text for end in ("703", "704", "64 events"))


@pytest.mark.parametrize(
    "callback", ["handle_demand", "handle_cast", "handle_info", "handle_end", "setup"]
)
def test_a_failure_names_its_callback(callback):
    def fails(self, *arguments):
        raise ZeroDivisionError("on purpose")

    kind = Same if callback == "handle_end" else Push
    failing = type("Failing", (kind,), {callback: fails})
    rt = ff.Runtime()
    try:
        if callback == "handle_end":
            ref = rt.start(failing(), name="broken", subscribe_to=[rt.start(Counter(5))])
        else:
            ref = rt.start(failing(), name="broken")
        rt.start(Recorder(), subscribe_to=[(ref, dict(cancel="temporary"))])
        ref.cast("now") if callback == "handle_cast" else ref.info("now")
        settle(rt)
        error = ref.join()
    except ZeroDivisionError as raised:  # a setup that fails may fail its start
        error = raised

    assert isinstance(error, ZeroDivisionError)
    assert callback in notes(error)
    assert "broken" in notes(error)


def test_a_failure_shows_the_users_frames_and_none_of_ours():
    rt = ff.Runtime()
    failing = rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    with pytest.raises(ZeroDivisionError) as raised:
        failing.result()

    frames = traceback.extract_tb(raised.value.__traceback__)
    assert frames[-1].name == "handle_events"
    assert frames[-1].filename == __file__
    ours = [frame for frame in frames if frame.filename != __file__]
    assert len(ours) <= 1, "only result() itself may stand between the test and the callback"


def test_a_failure_fetched_twice_is_the_same():
    rt = ff.Runtime()
    failing = rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
    settle(rt)
    lengths = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as raised:
            failing.result()
        lengths.append(len(traceback.extract_tb(raised.value.__traceback__)))

    assert lengths[0] == lengths[1] == lengths[2]
    assert len(raised.value.__notes__) == len(set(raised.value.__notes__))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        StopIteration("x"),
        RecursionError("x"),
        ExceptionGroup("x", [ValueError("y")]),
        KeyError("x"),
        Exception(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_is_raised_as_it_is(error):
    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            raise error

    rt = ff.Runtime()
    failing = rt.start(Fails(), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    assert failing.join() is error
    with pytest.raises(type(error)):
        failing.result()


def test_an_exception_without_a_text_does_no_harm():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            raise Mute

    rt = ff.Runtime()
    failing = rt.start(Fails(), subscribe_to=[rt.start(Counter(10))])
    other = rt.start(Total(), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    assert isinstance(failing.join(), Mute)
    assert other.result() == 45


def test_a_failed_stage_does_not_touch_others():
    rt = ff.Runtime()
    counter = rt.start(Counter(10_000))
    failing = rt.start(FailsAt(500), subscribe_to=[(rt.start(Counter(1000)), dict(max_demand=10))])
    total = rt.start(Total(), subscribe_to=[(counter, dict(max_demand=10))])
    settle(rt)

    assert isinstance(failing.join(), ZeroDivisionError)
    assert total.result() == sum(range(10_000))


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


# -- mail -----------------------------------------------------------------------------------------


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
