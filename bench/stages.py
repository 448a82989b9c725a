"""Stages that several benchmarks use; Counter and Total are those of the README.

The plain ones have the same methods and nothing of the library: a loop that calls them is the rival
which shows what the callbacks themselves cost.
"""

import numpy as np

import fastflow as ff

add = np.add.reduce


class Counter(ff.Producer):
    """Counts from `start` up to `stop`."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, start=0, stop=None):
        self.next, self.end = start, stop

    def handle_demand(self, demand):
        out = self.claim(demand if self.end is None else min(demand, self.end - self.next))
        ff.fill_range(out, self.next)
        self.next += len(out)
        if self.next == self.end:
            self.finish()
        return out


class Total(ff.Consumer):
    """Adds up what it gets."""

    state = ("total",)

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def result(self):
        return self.total


class Objects(ff.Producer):
    """Counts up to `stop` in Python ints."""

    dtype = object

    def __init__(self, stop):
        self.next, self.end = 0, stop

    def handle_demand(self, demand):
        first = self.next
        stop = self.next = first + demand
        if stop >= self.end:
            stop = self.next = self.end
            self.finish()
        return [*range(first, stop)]


class Adder(ff.Consumer):
    """Adds up Python ints."""

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += sum(events)

    def result(self):
        return self.total


class PlainObjects:
    """The methods of `Objects` without a stage."""

    __init__ = Objects.__init__
    handle_demand = Objects.handle_demand

    def finish(self):
        """The loop ends by itself."""


class PlainAdder:
    """The methods of `Adder` without a stage."""

    __init__ = Adder.__init__
    handle_events = Adder.handle_events


class PlainCounter:
    """The methods of `Counter` without a stage: `claim` gives one buffer, again and again."""

    handle_demand = Counter.handle_demand

    def __init__(self, stop, batch):
        self.next, self.end = 0, stop
        self.buffer = np.empty(batch, np.int64)

    def claim(self, n):
        return self.buffer if n == len(self.buffer) else self.buffer[:n]

    def finish(self):
        """The loop ends by itself."""


class FreshCounter(PlainCounter):
    """The same with a fresh array each time: what is put into a queue is the reader's."""

    def claim(self, n):
        return np.empty(n, np.int64)


class PlainTotal:
    """The methods of `Total` without a stage."""

    handle_events = Total.handle_events

    def __init__(self):
        self.total = 0


class Forward(ff.ProducerConsumer):
    """Passes each batch on as it is."""

    dtype = "int64"

    def handle_events(self, events, source):
        return events


class Nothing(ff.Consumer):
    """Does nothing with its batches; its result is how many events it was given."""

    def handle_events(self, events, source):
        pass

    def result(self):
        return self.handled


def run_counter_to_total(stop, batch):
    """Sum of ``range(stop)`` by `Counter` and `Total`, in batches of `batch`."""
    runtime = ff.Runtime()
    counter = runtime.start(Counter(0, stop))
    total = runtime.start(Total(), subscribe_to=[(counter, edge(batch))])
    runtime.run()
    return total.result()


def edge(batch):
    """Options of a subscription whose deliveries have at most `batch` events."""
    return {"max_demand": 2 * batch, "min_demand": batch}


class Reducer(ff.Consumer):
    """Adds up arrays."""

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(add(events))

    def result(self):
        return self.total


class PlainReducer:
    """The methods of `Reducer` without a stage."""

    __init__ = Reducer.__init__
    handle_events = Reducer.handle_events
