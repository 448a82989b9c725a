"""A dispatcher of your own: a standby that gets events only when the main consumer is gone.

Two methods decide: `demand` says how many events the producer may emit, `dispatch` who gets those
that wait.  Here both look at the consumer of the lowest rank only.  When that one fails, what it had
not handled goes back to the producer, so the standby goes on at the very event.

Prints::

    the main one failed: disk full
    the main one handled 0 to 299, the standby 300 to 999
"""

import fastflow as ff


class Standby(ff.Dispatcher):
    """All events to the consumer of the lowest `rank`, a subscription option."""

    options = ("rank",)

    def start(self):
        self.ranks = {}

    def subscribe(self, subscription, options):
        rank = options.get("rank", 0)
        if rank in self.ranks.values():
            raise ff.OptionError(f"rank: got {rank}, expected one that no other consumer has")
        self.ranks[subscription] = rank

    def cancel(self, subscription):
        del self.ranks[subscription]

    def first(self):
        return min(self.ranks, key=self.ranks.get, default=None)

    def demand(self, demands):
        return demands.get(self.first(), 0)

    def dispatch(self, events, demands):
        first = self.first()
        n = min(len(events), demands.get(first, 0))
        return n, [(first, slice(0, n))] if n else []


class Writer(ff.Consumer):
    """Stands for one that writes to a disk with room for so many events."""

    def __init__(self, room):
        self.room, self.written = room, []

    def handle_events(self, events, source):
        if len(self.written) + len(events) > self.room:
            raise OSError("disk full")
        self.written += events.tolist()

    def terminate(self, reason):
        ends.append((self.written[0], self.written[-1]))


ends = []
rt = ff.Runtime()
numbers = rt.start(ff.Range(1000), dispatcher=Standby())
main = rt.start(Writer(room=350), subscribe_to=[(numbers, {"rank": 1, "max_demand": 200})])
standby = rt.start(Writer(room=10_000), subscribe_to=[(numbers, {"rank": 2, "max_demand": 200})])
try:
    rt.run()
except OSError as error:
    print(f"the main one failed: {error}")

(first, last), (next_first, end) = ends
print(f"the main one handled {first} to {last}, the standby {next_first} to {end}")
