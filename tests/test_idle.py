"""What costs nothing: a runtime with nothing to do, and idle stages beside busy ones.

And what must not wait: mail from another thread into a runtime that is busy.  The interpreter lets
another thread in after 5 ms; an answer has to be there well before that.
"""

import gc
import statistics
import threading
import time

import pytest

import fastflow as ff
from fastflow import testing

pytestmark = pytest.mark.timeout(60)


class Listener(ff.Consumer):
    """A consumer that answers calls."""

    def __init__(self):
        self.seen = 0

    def handle_events(self, events, source):
        self.seen += len(events)

    def handle_call(self, request, reply):
        return request


class Count(ff.Producer):
    """Numbers, in batches of at most `most`; for ever when `stop` is None."""

    dtype = "int64"

    def __init__(self, stop=None, most=1000):
        self.next, self.stop_at, self.most = 0, stop, most

    def handle_demand(self, demand):
        n = min(demand, self.most)
        if self.stop_at is not None:
            n = min(n, self.stop_at - self.next)
        out = self.claim(n)
        ff.fill_range(out, self.next)
        self.next += n
        if self.next == self.stop_at:
            self.finish()
        return out


class Parked(ff.Producer):
    """Has nothing to give, however often it is asked."""

    dtype = "int64"

    def handle_demand(self, demand):
        return None


class Later(ff.Consumer):
    """Waits for a timer that is far away."""

    def setup(self):
        self.after(1000.0, "too late")

    def handle_info(self, message):
        raise AssertionError("a timer of 1000 s")


def cpu_seconds_of(interval):
    """CPU time of this process while it does nothing for `interval` seconds, but wait."""
    never = threading.Event()
    gc.collect()
    before = time.process_time()
    assert not never.wait(interval)
    return time.process_time() - before


# -- an idle runtime --


def idle_with_nothing(rt):
    pass


def idle_with_a_listener(rt):
    rt.start(Listener())


def idle_with_a_parked_producer(rt):
    rt.start(Listener(), subscribe_to=[rt.start(Parked())])


def idle_with_a_native_producer_that_nobody_asks(rt):
    rt.start(ff.Range(10**12))


def idle_with_a_far_timer(rt):
    rt.start(Later())


def idle_after_work(rt):
    rt.start(ff.Sum(), subscribe_to=[rt.start(ff.Range(10**6))]).result(timeout=30)


@pytest.mark.parametrize(
    "arrange",
    [
        idle_with_nothing,
        idle_with_a_listener,
        idle_with_a_parked_producer,
        idle_with_a_native_producer_that_nobody_asks,
        idle_with_a_far_timer,
        idle_after_work,
    ],
)
def test_an_idle_runtime_uses_no_cpu(arrange):
    with ff.Runtime() as rt:
        arrange(rt)
        listener = rt.start(Listener())
        assert listener.call("there?", timeout=30) == "there?"  # all that was to start has started
        cpu_seconds_of(0.05)                                    # the last spin before the sleep

        used = cpu_seconds_of(0.5)

        rt.stop(timeout=30)

    # Asking for the time and the wait itself take some 100 microseconds.  A spin takes all 0.5 s.
    assert used < 0.02


def test_an_idle_runtime_still_answers():
    with ff.Runtime() as rt:
        listener = rt.start(Listener())
        cpu_seconds_of(0.1)

        assert listener.call(5, timeout=30) == 5


# -- idle stages beside busy ones --


def turns_and_seconds(rt, name):
    """Stream 20,000 events one at a time through `rt`; returns (turns, seconds)."""
    source = rt.start(Count(stop=20_000, most=1), name=f"source {name}")
    rt.start(Listener(), subscribe_to=[(source, {"max_demand": 1})], name=f"sink {name}")
    began = time.perf_counter()
    turns = testing.settle(rt)
    return turns, time.perf_counter() - began


def quiet(rt, n):
    """`rt` with `n` stages that have nothing to do and have done all that there is at the start."""
    if n:
        rt.start_many(Listener(), n)
    testing.settle(rt)
    return rt


def test_a_hundred_thousand_idle_stages_take_no_turn_and_no_time_of_the_others():
    alone, crowded = quiet(ff.Runtime(), 0), quiet(ff.Runtime(), 100_000)
    gc.collect()
    gc.disable()                            # a collection walks 100,000 stages: not our time
    try:
        rounds = [
            (turns_and_seconds(alone, i), turns_and_seconds(crowded, i))
            for i in range(5)
        ]
    finally:
        gc.enable()

    assert all(left[0] == right[0] for left, right in rounds)
    # Caches are shared, so some loss is allowed; a look at each stage each turn would be 1000
    # times as much.
    assert statistics.median(right[1] / left[1] for left, right in rounds) < 2.0


def test_ten_thousand_idle_subscriptions_take_no_turn_and_no_time_of_the_others():
    def with_subscriptions():
        rt = ff.Runtime()
        for _ in range(100):
            source = rt.start(Parked())
            for listener in rt.start_many(Listener(), 100):
                listener.subscribe(source, max_demand=10)
        testing.settle(rt)
        return rt

    alone, crowded = quiet(ff.Runtime(), 0), with_subscriptions()
    gc.collect()
    gc.disable()
    try:
        rounds = [
            (turns_and_seconds(alone, i), turns_and_seconds(crowded, i))
            for i in range(5)
        ]
    finally:
        gc.enable()

    assert all(left[0] == right[0] for left, right in rounds)
    assert statistics.median(right[1] / left[1] for left, right in rounds) < 2.0


def test_a_stage_that_has_nothing_to_do_takes_no_turn():
    rt = quiet(ff.Runtime(), 10)
    rt.start(Listener(), subscribe_to=[rt.start(Parked())])
    testing.settle(rt)

    assert testing.settle(rt) == 0
    assert testing.step(rt) is False


# -- mail into a busy runtime --


def median_answer(ref):
    """Median seconds of 50 calls from this thread."""
    assert ref.call("warm", timeout=30) == "warm"
    took = []
    for i in range(50):
        began = time.perf_counter()
        assert ref.call(i, timeout=30) == i
        took.append(time.perf_counter() - began)
    return statistics.median(took)


# Half of the interpreter's switch interval: without its own way in, a call takes all of it, often
# twice.
WELL_UNDER_S = 0.0025


def test_a_runtime_busy_with_native_stages_answers_in_time():
    with ff.Runtime() as rt:
        try:
            rt.start(ff.Sum(), subscribe_to=[rt.start(ff.Range(10**13))])
            listener = rt.start(Listener())

            took = median_answer(listener)
        finally:
            rt.stop(timeout=30)

    assert took < WELL_UNDER_S


@pytest.mark.parametrize("most", [1, 1000, 16_384])
def test_a_runtime_busy_with_python_stages_answers_in_time(most):
    with ff.Runtime() as rt:
        try:
            rt.start(Listener(), subscribe_to=[rt.start(Count(most=most))])
            listener = rt.start(Listener())

            took = median_answer(listener)
        finally:
            rt.stop(timeout=30)

    assert took < WELL_UNDER_S


def test_a_busy_stage_itself_answers_in_time():
    with ff.Runtime() as rt:
        try:
            busy = rt.start(Listener(), subscribe_to=[rt.start(Count())])

            took = median_answer(busy)
        finally:
            rt.stop(timeout=30)

    assert took < WELL_UNDER_S


def test_mail_of_many_threads_into_a_busy_runtime_is_all_answered():
    answers = []
    with ff.Runtime() as rt:
        try:
            rt.start(Listener(), subscribe_to=[rt.start(Count())])
            listener = rt.start(Listener())

            def call(first):
                answers.extend(listener.call(first + i, timeout=30) for i in range(100))

            threads = [threading.Thread(target=call, args=(1000 * i,)) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(40)
                assert not thread.is_alive()
        finally:
            rt.stop(timeout=30)

    assert sorted(answers) == [1000 * i + j for i in range(8) for j in range(100)]


def test_casts_into_a_busy_runtime_arrive_in_order():
    class Notes(Listener):
        def __init__(self):
            super().__init__()
            self.notes = []

        def handle_cast(self, request):
            self.notes.append(request)

        def result(self):
            return self.notes

    with ff.Runtime() as rt:
        try:
            rt.start(Listener(), subscribe_to=[rt.start(Count())])
            notes = rt.start(Notes())
            for i in range(5000):
                notes.cast(i)
            notes.call("all there", timeout=30)
        finally:
            rt.stop(timeout=30)
        assert notes.result(timeout=30) == list(range(5000))
