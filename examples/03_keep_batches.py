"""A batch you keep stays valid: no copy, no rule to remember.

A batch is a view of memory that later batches use again.  While somebody holds the view, or a slice
of it, that memory is left alone and the next batch goes elsewhere; once nobody does, it is used
again.  So keep what you like for as long as you like, even past the end of the run.

Prints::

    1000 batches seen, 3 kept
    1000000 at 993, after [136454, 144373, 152292] ...
    1000002 at 332, after [370900, 378819, 386738] ...
    1000001 at 664, after [741800, 749719, 757638] ...
"""

import fastflow as ff


class Watch(ff.Consumer):
    """Keeps each batch in which a value is above `limit`."""

    def __init__(self, limit):
        self.limit = limit
        self.seen = 0
        self.kept = []

    def handle_events(self, events, source):
        self.seen += 1
        if events.max() > self.limit:
            self.kept.append(events)

    def result(self):
        return self.seen, self.kept


seen, kept = ff.run(
    ff.Range(1_000_000),
    lambda x: x * 7919 % 1_000_003,
    ff.Batcher(1000),
    Watch(limit=999_999),
)
print(f"{seen} batches seen, {len(kept)} kept")
for batch in kept:
    print(f"{batch.max()} at {batch.argmax()}, after {batch[:3].tolist()} ...")
