"""Stages written in Python, two of them on one thread: what the turn adds to their own work.

Counter ──int64──▶ Total          the stages of the README, with NumPy in their callbacks
Range ──▶ Forward ──▶ Nothing     callbacks that do nothing: the bare price of a turn
"""

import itertools
import queue
import threading
import time

import numpy as np

import fastflow as ff
from bench.harness import Clocked, Rival
from bench.stages import (
    Forward,
    FreshCounter,
    Nothing,
    PlainCounter,
    PlainTotal,
    edge,
    run_counter_to_total,
)


def bench_counter_to_total_and_a_loop(race):
    batch = 16_384
    stop = race.size(batch * 12_000, 3 * batch + 5)

    def plain_loop():
        counter, total = PlainCounter(stop, batch), PlainTotal()
        while counter.next < stop:
            total.handle_events(counter.handle_demand(batch), None)
        return total.total

    def bare_calls():
        buffer, total = np.empty(batch, np.int64), 0
        for start in range(0, stop, batch):
            out = buffer if stop - start >= batch else buffer[: stop - start]
            ff.fill_range(out, start)
            total += int(out.sum())
        return total

    race.faster(
        "Counter -> Total, NumPy callbacks, batches of 16 K",
        lambda: run_counter_to_total(stop, batch),
        [
            Rival("the same two methods in a plain loop over one buffer", plain_loop, 0.97),
            Rival("the bare calls, without methods", bare_calls),
        ],
        amount=stop,
    )


def bench_counter_to_total_and_queues(race):
    batch = 8_192
    stop = race.size(batch * 12_000, 3 * batch + 5)

    def through(kind):
        def run():
            line, total = kind(), PlainTotal()

            def produce():
                counter = FreshCounter(stop, batch)
                while counter.next < stop:
                    line.put(counter.handle_demand(batch))
                line.put(None)

            producer = threading.Thread(target=produce)
            producer.start()
            while (events := line.get()) is not None:
                total.handle_events(events, None)
            producer.join()
            return total.total

        return run

    race.faster(
        "Counter -> Total, NumPy callbacks, batches of 8 K",
        lambda: run_counter_to_total(stop, batch),
        [
            Rival("queue.Queue(4) and a thread", through(lambda: queue.Queue(4)), 2.2),
            Rival("queue.SimpleQueue and a thread", through(queue.SimpleQueue), 2.2),
        ],
        amount=stop,
    )


def bench_turn_around_two_callbacks(race):
    batch, batches = 1_024, race.size(200_000, 5)
    stop = batch * batches

    def bare_calls():
        forward, nothing = Forward.handle_events, Nothing.handle_events
        events = np.empty(batch, np.int64)
        began = time.perf_counter()
        for _ in itertools.repeat(None, batches):
            nothing(None, forward(None, events, None), None)
        called = time.perf_counter()
        for _ in itertools.repeat(None, batches):
            pass
        # The loop is the rival's, not the calls': it is not taken off our time.
        return Clocked(called - began - (time.perf_counter() - called), stop)

    race.cost(
        "Range -> Python producer_consumer -> Python consumer, batches of 1 K: for each batch",
        lambda: ff.run(ff.Range(stop), Forward(), Nothing(), **edge(batch)),
        [
            Rival("Range -> Count", lambda: ff.run(ff.Range(stop), ff.Count(), **edge(batch))),
            Rival("two bare calls", bare_calls),
        ],
        batches=batches,
        most=100e-9,
    )
