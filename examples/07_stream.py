"""Iterate over what comes out: `ff.stream` is `ff.run` whose sink is your loop.

This thread drives: a stage runs when the loop wants its next batch, and leaving the loop with
`break` stops everything.  The source is a function that gives a generator of arrays, which are
batches; `RunningMean` is a stage because it has to remember what came before.

Prints::

    the mean passed 2.0 at event 4001
"""

import numpy as np

import fastflow as ff


def readings():
    """Yield blocks of measurements without end, as a file or a device would."""
    start = 0
    while True:
        n = np.arange(start, start + 500)
        yield n / 1000 + (n % 7 - 3) / 10
        start += 500


class RunningMean(ff.ProducerConsumer):
    """Emits, for each event, the mean of all events so far."""

    dtype = "float64"
    state = ("count", "total")

    def __init__(self):
        self.count, self.total = 0, 0.0

    def handle_events(self, events, source):
        sums = self.total + np.cumsum(events)
        counts = np.arange(self.count + 1, self.count + 1 + len(events))
        self.count, self.total = int(counts[-1]), float(sums[-1])
        return sums / counts


seen = 0
for means in ff.stream(readings, RunningMean()):
    above = np.flatnonzero(means > 2.0)
    if len(above):
        print(f"the mean passed 2.0 at event {seen + above[0]}")
        break
    seen += len(means)
