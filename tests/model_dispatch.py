"""The three dispatchers, slow and plain: lists, one event at a time.

    Demand      the greatest pending demand first (`model.DemandDispatcher`)
    Broadcast   every event to every reader, as far as the slowest of those that block has asked
    Partition   a list a partition; each reader takes from its own
    RoundRobin  one to each in turn: the twin of a dispatcher that the tests write themselves

Each knows what is true at rest, when every turn has been taken: what each reader was sent and has
handled, and what waits.  Nothing here knows fastflow.
"""

from __future__ import annotations

from model import DemandDispatcher


class Reader:
    """One subscription, by hand: counters, what is in flight, what was handled, what was sent."""

    def __init__(self, number, lag="block", keeps=None, partition=None):
        self.number, self.lag, self.partition = number, lag, partition
        self.keeps = keeps or (lambda event: True)
        self.asked = self.sent = self.acked = self.discarded = 0
        self.flight, self.seen, self.taken = [], [], []
        self.frozen = self.stuck = self.crashing = self.closed = False

    @property
    def pending(self):
        return self.asked - self.sent

    def send(self, event):
        assert self.pending > 0
        self.sent += 1
        self.flight.append(event)
        self.taken.append(event)

    def handle(self):
        """Take all that is in flight; what is filtered out is asked for again."""
        kept = [event for event in self.flight if self.keeps(event)]
        self.seen += kept
        self.acked += len(self.flight)
        self.asked += len(self.flight) - len(kept)
        self.flight = []


class Model:
    """A producer with its buffer and its readers; `emit`, `ask`, `leave` ... each ends at rest."""

    def __init__(self):
        self.buffer, self.readers, self.ready = [], [], []
        self.held = False
        self.discarded = 0

    # -- what a dispatcher decides -----------------------------------------------------------------

    def joined(self, reader): ...

    def asked(self, reader, n): ...

    def left(self, reader):
        """What it had in hand is the next to be sent."""
        self.buffer[:0] = reader.flight

    def dispatch(self):
        """Send from the buffer what can be sent; return whom, in that order."""
        raise NotImplementedError

    def upstream(self):
        """The demand that the producer is asked for."""
        return sum(reader.pending for reader in self.readers)

    def waiting(self):
        return list(self.buffer)

    # -- what happens ------------------------------------------------------------------------------

    def join(self, reader):
        self.readers.append(reader)
        self.joined(reader)
        self.rest()

    def ask(self, reader, n):
        if n:
            reader.asked += n
            self.asked(reader, n)
            self.rest()

    def emit(self, events):
        self.buffer += events
        self.rest()

    def leave(self, reader):
        self.close(reader)
        self.rest()

    def replace(self, reader, new):
        """A resubscription: the one goes, the other comes, and nothing moves in between."""
        self.close(reader)
        self.readers.append(new)
        self.joined(new)
        self.rest()

    def close(self, reader):
        reader.closed = True
        self.readers.remove(reader)
        self.left(reader)
        reader.flight = []

    def freeze(self, reader):
        reader.frozen = True

    def thaw(self, reader):
        reader.frozen = reader.stuck = False
        self.ready.append(reader)
        self.rest()

    def crash(self, reader):
        reader.crashing, reader.frozen, reader.stuck = True, False, False
        self.ready.append(reader)
        self.rest()

    def hold(self, held):
        self.held = held
        self.rest()

    def rest(self):
        """Dispatch and deliver until nothing can move.

        Whoever asks in its turn makes the producer ready behind those that were ready before it.
        """
        while True:
            if not self.held:
                self.ready += self.dispatch()
            if not self.ready:
                return
            ready, self.ready = self.ready, []
            for reader in ready:
                self.deliver(reader)

    def deliver(self, reader):
        """Give a reader what it has in flight, unless it is stuck, or ends by it."""
        if reader.closed or reader.stuck or not reader.flight:
            return
        called = any(map(reader.keeps, reader.flight))      # what is filtered out reaches no callback
        if reader.frozen and called:
            reader.stuck = True
        elif reader.crashing and called:
            self.close(reader)
        else:
            reader.handle()


class Demand(Model):
    """The greatest pending demand first, ties first come first served.

    Its buffer is a list of batches: what was emitted while the stage was held is shared out batch
    by batch, as if it had never been (GenStage 62).
    """

    def __init__(self):
        super().__init__()
        self.line = DemandDispatcher()

    def emit(self, events):
        if events:
            self.buffer.append(list(events))
        self.rest()

    def asked(self, reader, n):
        self.line.ask(reader, n)

    def left(self, reader):
        if reader.flight:
            self.buffer.insert(0, reader.flight)
        self.line.cancel(reader)

    def dispatch(self):
        served = []
        while self.buffer:
            batch = self.buffer[0]
            shares, _ = self.line.dispatch(len(batch))
            for reader, count in shares:
                served.append(reader)
                for _ in range(count):
                    reader.send(batch.pop(0))
            if batch:
                break
            del self.buffer[0]
        return served

    def waiting(self):
        return sum(self.buffer, [])


class Broadcast(Model):
    """Every event to every reader; those that drop miss what they have not asked for."""

    def left(self, reader):
        reader.discarded += len(reader.flight)

    def upstream(self):
        blocking = [reader.pending for reader in self.readers if reader.lag == "block"]
        others = [reader.pending for reader in self.readers if reader.lag != "block"]
        return min(blocking) if blocking else max(others, default=0)

    def dispatch(self):
        moved = False
        while self.buffer and self.upstream():
            event, moved = self.buffer.pop(0), True
            for reader in self.readers:
                if reader.pending:
                    reader.send(event)
                else:
                    reader.discarded += 1
        return list(self.readers) if moved else []


class Partition(Model):
    """A queue for each partition; what belongs to none is discarded."""

    def __init__(self, partitions, where):
        super().__init__()
        self.queues = {partition: [] for partition in partitions}
        self.where = where

    def left(self, reader):
        self.queues[reader.partition][:0] = reader.flight

    def dispatch(self):
        for event in self.buffer:
            queue = self.queues.get(self.where(event))
            if queue is None:
                self.discarded += 1
            else:
                queue.append(event)
        self.buffer = []
        served = []
        for reader in self.readers:
            queue = self.queues[reader.partition]
            if queue and reader.pending:
                served.append(reader)
            while queue and reader.pending:
                reader.send(queue.pop(0))
        return served

    def waiting(self):
        kept = [event for event in self.buffer if self.where(event) in self.queues]
        return sum(self.queues.values(), []) + kept


class RoundRobin(Model):
    """One event to each in turn; who has no demand is passed over."""

    def dispatch(self):
        served = []
        while self.buffer:
            reader = next((reader for reader in self.readers if reader.pending), None)
            if reader is None:
                break
            self.readers.remove(reader)
            self.readers.append(reader)
            reader.send(self.buffer.pop(0))
            if reader not in served:
                served.append(reader)
        return served


def check_model():
    """The model's own tests: the tables of GenStage 129, 141 and 147."""
    model = Broadcast()
    slow, fast = Reader(0), Reader(1, keeps=lambda event: event % 2)
    model.join(slow)
    model.join(fast)
    model.emit(range(10))
    model.ask(fast, 3)
    assert model.upstream() == 0
    model.ask(slow, 4)
    assert (slow.seen, fast.seen) == ([0, 1, 2, 3], [1, 3])
    model.leave(slow)
    assert (fast.seen, model.waiting()) == ([1, 3, 5], [6, 7, 8, 9])

    model = Partition([0, 1], lambda event: None if event % 3 == 0 else event % 2)
    even, odd = Reader(0, partition=0), Reader(1, partition=1)
    model.join(even)
    model.join(odd)
    model.ask(even, 4)
    model.ask(odd, 4)
    model.emit(range(1, 13))
    assert (even.seen, odd.seen) == ([2, 4, 8, 10], [1, 5, 7, 11])
    assert model.discarded == 4
    model.freeze(even)
    model.ask(even, 2)
    model.emit([14, 16, 20])
    model.leave(even)
    assert model.waiting() == [14, 16, 20]

    model = Demand()
    first, second = Reader(0), Reader(1)
    for reader in (first, second):
        model.join(reader)
        model.ask(reader, 3)
    model.emit("ab")
    model.emit("cd")
    model.emit("efg")
    assert (first.seen, second.seen, model.waiting()) == (list("abe"), list("cdf"), ["g"])


if __name__ == "__main__":
    check_model()
    print("the model agrees with the tables")
