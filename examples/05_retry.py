"""Retry: the same turn again, later; nothing lost, nothing counted twice.

The ledger below refuses every fourth booking.  `raise ff.Retry(after=...)` undoes the turn: what
`state` names goes back to what it was, the batch counts as not yet handled, and after that many
seconds it is delivered again.  `refusals` is not named there, so each refusal stays counted.

Prints::

    booked 1000 in 10 batches, total 499500
    refused 3 times on the way
"""

import fastflow as ff


class Busy(Exception):
    """The ledger can't take a booking just now."""


class Ledger:
    """Stands for a service that fails now and then."""

    def __init__(self):
        self.calls = 0

    def book(self, amounts):
        self.calls += 1
        if self.calls % 4 == 0:
            raise Busy


class Book(ff.Consumer):
    """Books each batch, and keeps account of what was booked."""

    state = ("batches", "events", "total")

    def __init__(self):
        self.batches = self.events = self.total = 0
        self.refusals = 0

    def setup(self):
        self.ledger = Ledger()  # connections are opened here, in the place where the stage runs

    def handle_events(self, events, source):
        self.batches += 1
        self.events += len(events)
        self.total += int(events.sum())
        try:
            self.ledger.book(events)
        except Busy:
            self.refusals += 1
            raise ff.Retry(after=0.01) from None

    def result(self):
        return self.batches, self.events, self.total, self.refusals


batches, events, total, refusals = ff.run(ff.Range(1000), ff.Batcher(100), Book())
print(f"booked {events} in {batches} batches, total {total}")
print(f"refused {refusals} times on the way")
