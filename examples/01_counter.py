"""Page two: stages written as classes, a producer and a consumer.

    Counter ──int64──▶ Total
            ◀─demand──

`Counter` is asked for up to 65,536 numbers at a time and writes them where `Total` will read them:
nothing is allocated, nothing is copied.  What `state` names is committed with every turn; a turn
that fails leaves it as it was.

Prints::

    49999995000000
"""

import fastflow as ff


class Counter(ff.Producer):
    """Counts from `start` up to `stop`."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, start=0, stop=None):
        self.next, self.end = start, stop

    def handle_demand(self, demand):
        # The demand is all that is asked and not yet sent, so there is nothing to remember here.
        out = self.claim(demand if self.end is None else min(demand, self.end - self.next))
        ff.fill_range(out, self.next)
        self.next += len(out)
        if self.next == self.end:
            self.finish()
        return out


class Total(ff.Consumer):
    """Adds up whatever comes."""

    state = ("total",)

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def result(self):
        return self.total


with ff.Runtime() as rt:
    counter = rt.start(Counter(0, 10_000_000), name="counter")
    total = rt.start(
        Total(), subscribe_to=[(counter, {"max_demand": 65_536, "min_demand": 32_768})]
    )
    print(total.result())
