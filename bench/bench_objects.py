"""Events that are Python objects, from one Python stage to another on the same thread.

    Ticks ──object──▶ Tally

The rivals are what a program does today: a thread that puts, a loop that gets.
"""

import queue
import threading

import fastflow as ff
from bench.harness import Rival
from bench.stages import edge


class Ticks(ff.Producer):
    """Emits the numbers below `end` as objects, one at a time."""

    dtype = object

    def __init__(self, end):
        self.next, self.end = 0, end

    def handle_demand(self, demand):
        tick = self.next
        self.next = tick + 1
        if self.next == self.end:
            self.finish()
        return [tick]


class Tally(ff.Consumer):
    """Adds up its events, which come one at a time."""

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += events[0]

    def result(self):
        return self.total


class Lists(ff.Producer):
    """Emits `count` lists of 100 objects, cut from one long list."""

    dtype = object

    def __init__(self, items, count):
        self.items, self.count, self.next = items, count, 0

    def handle_demand(self, demand):
        at = self.next % 100
        self.next += 1
        if self.next == self.count:
            self.finish()
        return self.items[at : at + 100]


class Ends(ff.Consumer):
    """Adds up the first and the last event of each list."""

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += events[0] + events[-1]

    def result(self):
        return self.total


def through_a_queue(kind, produced, handle):
    """A run that puts what is produced in one thread and handles it in another."""

    def run():
        line, total = kind(), 0

        def produce():
            for item in produced():
                line.put(item)
            line.put(None)

        producer = threading.Thread(target=produce)
        producer.start()
        while (item := line.get()) is not None:
            total += handle(item)
        producer.join()
        return total

    return run


def bench_one_event_a_turn(race):
    stop = race.size(300_000, 50)
    rivals = {
        "queue.Queue(1000) and a thread": (lambda: queue.Queue(1000), 1.7),
        "queue.Queue() and a thread": (queue.Queue, 1.7),
        "queue.SimpleQueue and a thread": (queue.SimpleQueue, None),
    }
    race.faster(
        "object events, one a turn (max_demand 1), Python callbacks",
        lambda: ff.run(Ticks(stop), Tally(), max_demand=1, min_demand=0),
        [
            Rival(name, through_a_queue(kind, lambda: range(stop), lambda tick: tick), least)
            for name, (kind, least) in rivals.items()
        ],
        amount=stop,
        least_rate=1.5e6,
    )


def bench_lists_of_100_objects(race):
    count, items = race.size(30_000, 20), list(range(200))

    def lists():
        for i in range(count):
            yield items[i % 100 : i % 100 + 100]

    def first_and_last(events):
        return events[0] + events[-1]

    race.faster(
        "object events in batches of 100, Python callbacks",
        lambda: ff.run(Lists(items, count), Ends(), **edge(100)),
        [
            Rival(
                "queue.Queue(4) and a thread",
                through_a_queue(lambda: queue.Queue(4), lists, first_and_last),
                1,
            ),
            Rival(
                "queue.Queue() and a thread",
                through_a_queue(queue.Queue, lists, first_and_last),
                1,
            ),
        ],
        amount=count * 100,
    )
