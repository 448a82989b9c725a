"""How long one event or one call takes: from a cast to `handle_events`, from `call` to its answer.

    callback ──cast──▶ Relay ──event──▶ Hear      an idle pipeline, one scheduler, one thread
    caller's thread ──call──▶ Echo                 beside stages that never pause

Every round waits for many answers and takes percentiles of them.  A machine on which others run adds
its own pauses to the 99th: what two plain threads need to exchange a word stands beside, in the same
run.  A thread that shares the GIL with a busy one waits for the interpreter's switch interval, 5 ms
each way, unless the busy one lets go of it: that is what the rivals under load show.
"""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter_ns

import pytest

import fastflow as ff
from bench import rivals
from bench.harness import Rival
from bench.stages import (
    Adder,
    Counter,
    Objects,
    PlainAdder,
    PlainCounter,
    PlainObjects,
    PlainTotal,
    Total,
)

# Events that a stage beside is busy with: enough that it never ends.
ENDLESS = 2**62


class Relay(ff.Producer):
    """Emits what it is told, at once."""

    dtype = object

    def handle_demand(self, demand):
        pass

    def handle_cast(self, request):
        return [request]


class Hear(ff.Consumer):
    """Takes the time since each event was cast; casts the next one itself, if it has somebody to."""

    def __init__(self, relay=None, times=0):
        self.relay, self.times, self.taken = relay, times, []

    def handle_events(self, events, source):
        self.taken.append(perf_counter_ns() - events[0])
        self.times -= 1
        if self.times > 0:
            self.relay.cast(perf_counter_ns())

    def result(self):
        return self.taken


class Echo(ff.Consumer):
    """Answers every call with what it was asked."""

    def handle_events(self, events, source):
        pass

    def handle_call(self, request, reply):
        return request


def relayed(times):
    """Nanoseconds from each cast in a callback to the next handle_events."""
    runtime = ff.Runtime()
    relay = runtime.start(Relay())
    hear = runtime.start(Hear(relay, times), subscribe_to=[(relay, {"max_demand": 1})])
    relay.cast(perf_counter_ns())
    runtime.run()
    return hear.result()


def relayed_by_hand(times):
    """The same from each cast outside of a runtime that is driven until it is idle again."""
    runtime = ff.Runtime()
    relay = runtime.start(Relay())
    hear = runtime.start(Hear(), subscribe_to=[(relay, {"max_demand": 1})])
    for _ in range(times):
        relay.cast(perf_counter_ns())
        ff.testing.settle(runtime)
    runtime.run()
    return hear.result()


def asked(ask, times):
    """Nanoseconds of each of so many questions, whose answers are checked."""
    taken = []
    for i in range(times):
        began = perf_counter_ns()
        answer = ask(i)
        taken.append(perf_counter_ns() - began)
        if answer != i:
            raise AssertionError(f"call: got the answer {answer!r}, expected {i!r}")
    return taken


def calls_beside(source, sink, times):
    """Nanoseconds of calls into a runtime that is busy with two stages."""
    with ff.Runtime() as runtime:
        busy = runtime.start(sink, subscribe_to=[runtime.start(source)])
        echo = runtime.start(Echo())
        taken = asked(echo.call, times)
        busy.kill()
        runtime.stop()
    return taken


def numpy_loop():
    """A stretch of NumPy callbacks, outside of any pipeline; NumPy lets go of the GIL in a sum."""
    counter, total = PlainCounter(ENDLESS, 16_384), PlainTotal()
    for _ in range(100):
        total.handle_events(counter.handle_demand(16_384), None)


def python_loop():
    """A stretch of callbacks in plain Python, likewise."""
    objects, adder = PlainObjects(ENDLESS), PlainAdder()
    for _ in range(100):
        adder.handle_events(objects.handle_demand(500), None)


def native_loop():
    """A stretch of native work that holds no GIL."""
    rivals.blocked_sum(1_000_000, 16_384)


@contextmanager
def beside(work):
    """A thread that does nothing else than the work, again and again."""
    over = threading.Event()

    def again():
        while not over.is_set():
            work()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def executor(times):
    """Nanoseconds of functions that another thread calls."""
    with ThreadPoolExecutor(1) as pool:
        return asked(lambda i: pool.submit(int, i).result(), times)


def two_queues(times):
    """Nanoseconds of a word to another thread and back."""
    there, back = queue.SimpleQueue(), queue.SimpleQueue()

    def echo():
        while (word := there.get()) is not None:
            back.put(word)

    def ask(word):
        there.put(word)
        return back.get()

    thread = threading.Thread(target=echo)
    thread.start()
    try:
        return asked(ask, times)
    finally:
        there.put(None)
        thread.join()


def bench_cast_to_handle_events(race):
    times = race.size(50_000, 50)

    def loop_of_deques():
        """The least that hands an event on: the calls themselves."""
        relay, hear = Relay.handle_cast, Hear.handle_events
        mine = Hear.__new__(Hear)
        mine.relay, mine.times, mine.taken = None, 0, []
        for _ in range(times):
            hear(mine, relay(None, perf_counter_ns()), None)
        return mine.taken

    race.latency(
        "one event, idle pipeline, from a cast in a callback to handle_events, one scheduler "
        "(GenStage, not in this run: p50 1.5 us, p99 4.5 us)",
        lambda: relayed(times),
        [Rival("the two callbacks alone", loop_of_deques)],
        most={50: 3e-6, 99: 15e-6},
    )


def bench_cast_and_settle(race):
    times = race.size(20_000, 50)
    race.latency(
        "one event, idle pipeline, from a cast outside to handle_events, settled after each",
        lambda: relayed_by_hand(times),
        most={50: None, 99: None},
    )


@pytest.mark.parametrize(
    ("what", "stages", "load", "most"),
    [
        ("native stages", lambda: (ff.Range(ENDLESS), ff.Sum()), native_loop, 200e-6),
        ("Python stages that call NumPy", lambda: (Counter(), Total()), numpy_loop, 1e-3),
        ("Python stages", lambda: (Objects(ENDLESS), Adder()), python_loop, 1e-3),
    ],
)
def bench_call_into_a_busy_runtime(race, what, stages, load, most):
    times, few = race.size(2_000, 20), race.size(100, 2)

    def under_load():
        with beside(load):
            return executor(few)

    race.latency(
        f"call from another thread into a runtime that is busy with {what}",
        lambda: calls_beside(*stages(), times),
        [
            Rival("concurrent.futures, beside a thread with the same load", under_load),
            Rival("two SimpleQueues, nobody busy", lambda: two_queues(times)),
        ],
        most={50: None, 99: most},
        rounds=5,
    )
