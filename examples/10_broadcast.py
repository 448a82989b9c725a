"""Every event to everybody: a broadcast with three readers, one of which keeps missing some.

`BroadcastDispatcher` gives each consumer each event; nothing is copied for that.  A `selector` picks
the events that a reader wants.  `lag="conflate"` says that nobody waits for this reader: whenever it
comes back, it gets the newest events, and those it missed are counted.

Prints::

    mean of 1000 readings: 49.50
    above 98: 10
    shown: 20 readings, the newest 999; missed: 980
"""

import numpy as np

import fastflow as ff


class Sensor(ff.Producer):
    """Emits `n` made-up readings from 0 to 99, each with its time."""

    dtype = [("time", "i8"), ("value", "f8")]
    dispatcher = ff.BroadcastDispatcher()
    state = ("at",)

    def __init__(self, n):
        self.at, self.n = 0, n

    def handle_demand(self, demand):
        times = np.arange(self.at, min(self.at + demand, self.n))
        self.at += len(times)
        if self.at == self.n:
            self.finish()
        return ff.Batch(time=times, value=times * 37.0 % 100)


class Mean(ff.Consumer):
    state = ("n", "total")

    def __init__(self):
        self.n, self.total = 0, 0.0

    def handle_events(self, events, source):
        self.n += len(events)
        self.total += float(events["value"].sum())

    def result(self):
        return f"mean of {self.n} readings: {self.total / self.n:.2f}"


class Display(ff.Consumer):
    """Shows one reading at a time, so it has room for one only."""

    def __init__(self):
        self.shown = []

    def handle_events(self, events, source):
        self.shown.append(int(events["time"][-1]))

    def result(self):
        return f"{len(self.shown)} readings, the newest {self.shown[-1]}"


rt = ff.Runtime()
sensor = rt.start(Sensor(1000))
mean = rt.start(Mean(), subscribe_to=[(sensor, {"max_demand": 100})])
alarms = rt.start(ff.Count())
alarms.subscribe(sensor, max_demand=100, selector=lambda batch: batch["value"] > 98)
display = rt.start(Display())
edge = display.subscribe(sensor, max_demand=1, lag="conflate")
rt.run()

print(mean.result())
print(f"above 98: {alarms.result()}")
print(f"shown: {display.result()}; missed: {edge.statistics()['discarded']}")
