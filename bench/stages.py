"""Stages that several benchmarks use; Counter and Total are those of the README."""

import fastflow as ff


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
