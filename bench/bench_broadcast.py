"""Every event to every consumer: one copy of the data, however many read it.

    Counter ──64 K──▶ 8 × Reducer, or Sum            one array, eight sums
    Range ──1,000──▶ 10,000 × Heard, or Count      next to nothing to do: what a delivery costs

A delivery is an event that a consumer was given: 8 consumers of 1,000 events have 8,000.
"""

import itertools
import queue
import threading
import time

import pytest

import fastflow as ff
from bench.harness import Clocked, Rival
from bench.stages import Counter, FreshCounter, PlainCounter, PlainReducer, Reducer, edge

try:
    from bench import by_csp
except ImportError:                     # csp is an extra, and has no wheel for some systems
    by_csp = None

READERS = 8
BATCH = 65_536
MANY = 10_000
FEW_EVENTS = 1_000


class Heard(ff.Consumer):
    """Counts what it gets, in Python."""

    def __init__(self):
        self.heard = 0

    def handle_events(self, events, source):
        self.heard += len(events)

    def result(self):
        return self.heard


class PlainHeard:
    """The methods of `Heard` without a stage."""

    __init__ = Heard.__init__
    handle_events = Heard.handle_events


class LocatedCounter(Counter):
    """Counts, and writes down where in memory it put each batch."""

    def __init__(self, stop, places):
        super().__init__(0, stop)
        self.places = places

    def handle_demand(self, demand):
        out = super().handle_demand(demand)
        self.places.append((out.ctypes.data, out.nbytes))
        return out


class Located(ff.Consumer):
    """Writes down where in memory it was given each batch."""

    def __init__(self, places):
        self.places = places

    def handle_events(self, events, source):
        self.places.append((events.ctypes.data, events.nbytes))


def broadcast(source, consumers, batch):
    """Results of the consumers of one source."""
    runtime = ff.Runtime()
    events = runtime.start(source, dispatcher="broadcast")
    refs = [runtime.start(consumer) for consumer in consumers]
    for ref in refs:
        ref.subscribe(events, max_demand=batch, min_demand=0)     # one batch on its way, as in the loop
    runtime.run()
    return [ref.result() for ref in refs]


def by_loop(stop):
    """Sums of ``range(stop)`` of one array after the other, by the stages' methods."""
    counter, totals = PlainCounter(stop, BATCH), [PlainReducer() for _ in range(READERS)]
    while counter.next < stop:
        events = counter.handle_demand(BATCH)
        for total in totals:
            total.handle_events(events, None)
    return [total.total for total in totals]


def by_queues(stop):
    """The same by a thread and a queue for each consumer; all of them get the same array."""
    lines, totals = ([make() for _ in range(READERS)] for make in (lambda: queue.Queue(4), PlainReducer))

    def read(line, total):
        while (events := line.get()) is not None:
            total.handle_events(events, None)

    threads = [
        threading.Thread(target=read, args=pair) for pair in zip(lines, totals, strict=True)
    ]
    for thread in threads:
        thread.start()
    counter = FreshCounter(stop, BATCH)
    while counter.next < stop:
        events = counter.handle_demand(BATCH)
        for line in lines:
            line.put(events)
    for line, thread in zip(lines, threads, strict=True):
        line.put(None)
        thread.join()
    return [total.total for total in totals]


def bench_broadcast_to_8(race):
    stop = race.size(400 * BATCH, 2 * BATCH + 5)
    rivals = [
        Rival("the same sums in a plain loop over one array", lambda: by_loop(stop), 0.9),
        Rival("a queue.Queue(4) and a thread for each", lambda: by_queues(stop)),
    ]
    if by_csp is not None:
        rivals.append(Rival("csp, arrays as ticks", lambda: by_csp.sums(stop, BATCH, READERS)))
    race.faster(
        f"broadcast to {READERS}, batches of 64 K, Python callbacks "
        "(GenStage, not in this run: 0.1 G deliveries/s)",
        lambda: broadcast(Counter(0, stop), [Reducer() for _ in range(READERS)], BATCH),
        rivals,
        amount=READERS * stop,
        unit="deliveries",
    )


def bench_broadcast_to_8_native(race):
    stop = race.size(400 * BATCH, 2 * BATCH + 5)
    race.faster(
        f"broadcast to {READERS}, batches of 64 K, Range -> Sum, native",
        lambda: broadcast(ff.Range(stop), [ff.Sum() for _ in range(READERS)], BATCH),
        [Rival("the same sums in a plain loop over one array", lambda: by_loop(stop))],
        amount=READERS * stop,
        unit="deliveries",
        least_rate=9e9,
    )


def bench_broadcast_copies_nothing(race):
    stop = race.size(100 * BATCH, 3 * BATCH)

    def copied_kb():
        written, read = [], [[] for _ in range(READERS)]
        broadcast(LocatedCounter(stop, written), [Located(places) for places in read], BATCH)
        if {sum(size for _, size in places) for places in read} != {8 * stop}:
            raise AssertionError(f"a reader was not given all of the {8 * stop} bytes")
        elsewhere = (
            size
            for address, size in itertools.chain(*read)
            if not any(at <= address < at + n for at, n in set(written))
        )
        return sum(elsewhere) / 1024

    race.figure(
        f"broadcast to {READERS}: memory that was read elsewhere than where the producer wrote, "
        f"100 batches of 512 KB",
        copied_kb,
        unit="KB",
        most=0,
    )


@pytest.mark.parametrize(
    ("what", "consumer"), [("Python callbacks that count", Heard), ("native Count", ff.Count)]
)
def bench_broadcast_to_10_000(race, what, consumer):
    readers, stop = race.size(MANY, 20), race.size(20, 3) * FEW_EVENTS

    def ours():
        runtime = ff.Runtime()
        events = runtime.start(ff.Range(stop), dispatcher="broadcast")
        refs = runtime.start_many(consumer(), readers)
        for ref in refs:
            ref.subscribe(events, **edge(FEW_EVENTS))
        began = time.perf_counter()
        runtime.run()
        seconds = time.perf_counter() - began
        return Clocked(seconds, [ref.result() for ref in refs])

    def plain_loop():
        counter, heard = PlainCounter(stop, FEW_EVENTS), [PlainHeard() for _ in range(readers)]
        began = time.perf_counter()
        while counter.next < stop:
            events = counter.handle_demand(FEW_EVENTS)
            for one in heard:
                one.handle_events(events, None)
        seconds = time.perf_counter() - began
        return Clocked(seconds, [one.heard for one in heard])

    race.faster(
        f"broadcast to {MANY:,}, batches of {FEW_EVENTS:,}, {what} "
        "(GenStage, not in this run: 3.9 M deliveries/s)",
        ours,
        [Rival("the same Python calls in a plain loop", plain_loop)],
        amount=readers * stop,
        unit="deliveries",
        least_rate=400e6,
        rounds=7,
    )


def bench_subscribe_10_000(race):
    readers = race.size(MANY, 20)

    def seconds():
        runtime = ff.Runtime()
        events = runtime.start(ff.Range(FEW_EVENTS), dispatcher="broadcast")
        refs = runtime.start_many(Heard(), readers)
        began = time.perf_counter()
        for ref in refs:
            ref.subscribe(events, **edge(FEW_EVENTS))
        return time.perf_counter() - began

    race.figure(
        f"subscribing {MANY:,} consumers to a broadcast, one by one "
        "(GenStage, not in this run: 2.4 to 4.5 s)",
        seconds,
        unit="s",
        most=0.3,
        rounds=7,
    )
