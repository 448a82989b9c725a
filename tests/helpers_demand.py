"""Producers that write down their demands, consumers that write down their batches."""

from __future__ import annotations

import numpy as np

import fastflow as ff
from fastflow.testing import settle


class Counter(ff.Producer):
    """Counts up to `stop`, at most `chunk` a turn; writes down the demands that it is given."""

    dtype = "int64"

    def __init__(self, stop, chunk=None, demands=None, ends=True):
        self.next, self.stop, self.chunk, self.ends = 0, stop, chunk, ends
        self.demands = [] if demands is None else demands

    def handle_demand(self, demand):
        self.demands.append(demand)
        count = min(demand, self.stop - self.next, self.chunk or demand)
        out = self.claim(count)
        out[:] = np.arange(self.next, self.next + count)
        self.next += count
        if self.ends and self.next == self.stop:
            self.finish()
        return out


class Push(ff.Producer):
    """Answers no demand; what is cast to it, it emits."""

    dtype = "int64"

    def __init__(self, demands=None):
        self.demands = [] if demands is None else demands

    def handle_demand(self, demand):
        self.demands.append(demand)

    def handle_cast(self, request):
        return np.array(request, dtype="int64")


class Hand(ff.Consumer):
    """Takes nothing but what is asked for by hand; keeps the events."""

    def __init__(self, seen=None):
        self.seen = [] if seen is None else seen

    def handle_subscribe(self, role, options, subscription):
        return "manual"

    def handle_events(self, events, source):
        self.seen.extend(np.asarray(events).tolist())


class Record(ff.Consumer):
    """Appends a list of every batch to `batches`, which the test holds."""

    def __init__(self, batches):
        self.batches = batches

    def handle_events(self, events, source):
        self.batches.append(list(events))


def by_hand(stop=1000, max_demand=100, **counter):
    """(runtime, subscription, seen, demands) of a counter and a consumer in manual mode."""
    rt, seen, demands = ff.Runtime(), [], []
    producer = rt.start(Counter(stop, demands=demands, ends=False, **counter))
    consumer = rt.start(Hand(seen))
    subscription = consumer.subscribe(producer, max_demand=max_demand)
    settle(rt)
    return rt, subscription, seen, demands
