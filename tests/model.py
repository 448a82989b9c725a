"""The rules of demand, slow and plain: what the tests hold the real thing against.

    Subscription       three counters, the delivery rule, the re-ask rule
    DemandDispatcher   the greatest pending demand first, ties first come first served
    Buffer             what was emitted beyond demand
    Machine            a run queue, first in first out, over stages made of these
    Watch              looks at a real subscription after every turn: was that step allowed?

The rules, with max_demand 1000 and min_demand 750: the consumer asks for 1000.  A delivery is at
most 1000 - 750 = 250 events.  After it, d = asked - acked is what is still to come; when d is 750
or less, it asks for 1000 - d more.  So three deliveries of 100 lead to one ask of 300 (GenStage 44
and 49).

Nothing here knows fastflow: events are list items, and a turn is a method call.  `Watch` alone is
handed real subscriptions, and of those it calls ``statistics()`` and, by hand, ``ask(n)`` only.

How a delivery is cut further by the memory it lies in (it lies in one segment) is no part of the
model: sizes are compared only where the rules alone decide them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

INT64_MAX = 2**63 - 1


class Subscription:
    """One edge: a ring without memory limits, and three counters that only grow.

    Parameters
    ----------
    max_demand, min_demand : int
        Also the capacity, and the low mark; half of it by default.
    manual : bool
        Nothing is asked but by `ask`.
    producer, consumer : Stage, optional
        The two sides, when a `Machine` runs them.
    """

    def __init__(self, max_demand, min_demand=None, manual=False, producer=None, consumer=None):
        self.max = self.capacity = max_demand
        self.min = max_demand // 2 if min_demand is None else min_demand
        self.manual = manual
        self.producer, self.consumer = producer, consumer
        self.wanted = self.asked = self.sent = self.acked = 0
        self.ring = deque()
        self.closed = False
        if not manual:
            self.ask(self.max)

    @property
    def pending(self) -> int:
        """Demand not yet answered, which is also the room."""
        return self.asked - self.sent

    def ask(self, n: int) -> int:
        """Want `n` more; returns by how much `asked` grew: the capacity holds the rest."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"ask: got {n!r}, expected a whole number from 0 up")
        self.wanted = min(self.wanted + n, INT64_MAX)
        return self._advance()

    def _advance(self) -> int:
        asked = min(self.wanted, self.acked + self.capacity)
        grown, self.asked = asked - self.asked, asked
        return grown

    def publish(self, events: Iterable) -> None:
        """Put `events` into the ring: never more than is pending."""
        events = list(events)
        assert len(events) <= self.pending, "more was sent than was asked"
        self.ring.extend(events)
        self.sent += len(events)

    def batch(self) -> list:
        """The next delivery: what waits, at most max - min of it (in manual mode, all of it)."""
        limit = self.capacity if self.manual else self.max - self.min
        return [self.ring[i] for i in range(min(limit, len(self.ring)))]

    def acknowledge(self, n: int) -> int:
        """Commit `n` handled events; returns by how much `asked` grew (GenStage 44)."""
        for _ in range(n):
            self.ring.popleft()
        self.acked += n
        if self.manual:
            return self._advance()
        to_come = self.asked - self.acked
        return self.ask(self.max - to_come) if to_come <= self.min and not self.closed else 0

    def check(self) -> None:
        """The line that is true at every instruction."""
        assert self.acked <= self.sent <= self.asked <= self.acked + self.capacity
        assert len(self.ring) == self.sent - self.acked


class DemandDispatcher:
    """Who gets the next events: the greatest pending demand first, equal ones in order of arrival.

    A consumer whose demand changed, by an ask or by what it was sent, stands behind those that have
    as much now (GenStage 121).
    """

    def __init__(self):
        self.line = []  # [pending, consumer], the greatest first

    def _place(self, pending, consumer):
        behind = sum(1 for other, _ in self.line if other >= pending)
        self.line.insert(behind, [pending, consumer])

    def _leave(self, consumer):
        for i, (pending, other) in enumerate(self.line):
            if other is consumer or other == consumer:
                del self.line[i]
                return pending
        return 0

    def ask(self, consumer, n: int) -> None:
        """`consumer` wants `n` more; one that is new enters the line."""
        self._place(self._leave(consumer) + n, consumer)

    def cancel(self, consumer) -> None:
        """Forget `consumer`, and its demand with it."""
        self._leave(consumer)

    @property
    def pending(self) -> int:
        """What `handle_demand` is given: all that is asked and not yet sent."""
        return sum(pending for pending, _ in self.line)

    def dispatch(self, n: int) -> tuple[list, int]:
        """Shares of `n` events as ``[(consumer, count), ...]``, and how many are left over."""
        shares = []
        while n and self.line and self.line[0][0]:
            pending, consumer = self.line.pop(0)
            count = min(n, pending)
            self._place(pending - count, consumer)
            shares.append((consumer, count))
            n -= count
        return shares, n


class Buffer:
    """Events emitted beyond demand; keeps everything unless it is given a size."""

    def __init__(self, size=None, keep="last"):
        self.size, self.keep = size, keep
        self.events = deque()

    def put(self, events: Iterable) -> int:
        """Keep `events`; returns how many were discarded, the oldest with "last"."""
        self.events.extend(events)
        excess = 0 if self.size is None else max(0, len(self.events) - self.size)
        for _ in range(excess):
            self.events.popleft() if self.keep == "last" else self.events.pop()
        return excess

    def take(self, n: int) -> list:
        """The oldest `n` events."""
        return [self.events.popleft() for _ in range(min(n, len(self.events)))]


class Stage:
    """A stage of the model: `produce` answers demand, `handle` answers a batch.

    Parameters
    ----------
    produce : callable, optional
        ``produce(demand) -> list or None``; with it the stage is a producer.
    handle : callable, optional
        ``handle(batch) -> list or None``; with it the stage takes input.
    emits : bool
        Whether the stage has an output side: input then waits for demand (GenStage 91).
    """

    def __init__(
        self, produce: Callable | None = None, handle: Callable | None = None, emits=False
    ):
        self.produce, self.handle = produce, handle
        self.emits = emits or produce is not None
        self.inputs, self.dispatcher, self.buffer = deque(), DemandDispatcher(), Buffer()
        self.parked = False  # answered the present demand with nothing
        self.demands, self.batches = [], []  # the log that tests compare

    def has_input(self) -> bool:
        """Input waits, and what comes of it has somewhere to go."""
        open_to_output = not self.emits or (not self.buffer.events and self.dispatcher.pending > 0)
        return open_to_output and any(edge.ring for edge in self.inputs)

    def has_demand(self) -> bool:
        """Demand waits that was not yet answered with nothing."""
        return bool(
            self.produce and not self.parked and not self.buffer.events and self.dispatcher.pending
        )

    def ready(self) -> bool:
        """Whether the stage can take a turn."""
        return self.has_input() or self.has_demand()


class Machine:
    """Runs turns one at a time; what a turn makes ready enters the queue before its stage does."""

    def __init__(self):
        self.queue, self.edges = deque(), []

    def connect(
        self, producer: Stage, consumer: Stage, max_demand: int, min_demand=None
    ) -> Subscription:
        """Subscribe `consumer` to `producer`: the first ask is made at once (GenStage 42)."""
        edge = Subscription(max_demand, min_demand, producer=producer, consumer=consumer)
        consumer.inputs.append(edge)
        self.edges.append(edge)
        self._asked(edge, edge.asked)
        return edge

    def _asked(self, edge, n):
        if n:
            edge.producer.dispatcher.ask(edge, n)
            edge.producer.parked = False
            waiting = edge.producer.buffer.take(edge.producer.dispatcher.pending)
            self._dispatch(edge.producer, waiting)
            self._wake(edge.producer)

    def _wake(self, stage):
        if stage.ready() and stage not in self.queue:
            self.queue.append(stage)

    def _dispatch(self, stage, events):
        shares, left = stage.dispatcher.dispatch(len(events))
        start = 0
        for edge, count in shares:
            edge.publish(events[start : start + count])
            start += count
            self._wake(edge.consumer)
        if left:
            stage.buffer.put(events[start:])

    def step(self) -> bool:
        """Take one turn; False when nothing can move."""
        if not self.queue:
            return False
        stage = self.queue.popleft()
        if stage.has_input():
            while not stage.inputs[0].ring:  # subscriptions in rotation
                stage.inputs.rotate(-1)
            edge = stage.inputs[0]
            batch = edge.batch()
            stage.batches.append(batch)
            self._dispatch(stage, stage.handle(batch) or [])
            self._asked(edge, edge.acknowledge(len(batch)))
            stage.inputs.rotate(-1)
        elif stage.has_demand():
            demand = stage.dispatcher.pending
            stage.demands.append(demand)
            events = stage.produce(demand) or []
            stage.parked = not events
            self._dispatch(stage, events)
        for edge in self.edges:
            edge.check()
        self._wake(stage)
        return True

    def settle(self, limit=1_000_000) -> int:
        """Take turns until nothing can move; returns how many."""
        turns = 0
        while self.step():
            turns += 1
            assert turns < limit, "the model does not come to rest"
        return turns


def source(stop: int, chunk: int | None = None) -> Callable:
    """Answer demand with the numbers up to `stop`, at most `chunk` in one turn."""
    position = 0

    def produce(demand):
        nonlocal position
        count = min(demand, stop - position, demand if chunk is None else chunk)
        events = list(range(position, position + count))
        position += count
        return events

    return produce


def counters(subscription) -> tuple[int, int, int]:
    """(asked, sent, acked) of a real subscription, whatever shape ``statistics()`` has."""
    found = subscription.statistics()
    if isinstance(found, Mapping):
        return found["asked"], found["sent"], found["acked"]
    return found.asked, found.sent, found.acked


class Watch:
    """Looks at one real subscription after every turn: did the rules allow what happened?

    Parameters
    ----------
    subscription
        Anything with ``statistics()``.
    max_demand, min_demand : int
        As given when it was made.
    manual : bool
        With manual demand `wanted` is what the test itself asked for: tell it to `ask`.
    """

    def __init__(self, subscription, max_demand, min_demand, manual=False):
        self.subscription = subscription
        self.max, self.min, self.manual = max_demand, min_demand, manual
        self.wanted = 0
        self.ended = False  # the producer's end is known: no ask is due any more
        self.asked, self.sent, self.acked = counters(subscription)
        self._line(self.asked, self.sent, self.acked)

    def ask(self, n: int) -> None:
        """The test asked for `n` more."""
        self.subscription.ask(n)
        self.wanted = min(self.wanted + n, INT64_MAX)

    def _line(self, asked, sent, acked):
        assert acked <= sent <= asked <= acked + self.max, (asked, sent, acked, self.max)

    def look(self) -> tuple[int, int]:
        """Check one turn; returns the pending demand that the producer had, and what it sent."""
        asked, sent, acked = counters(self.subscription)
        self._line(asked, sent, acked)
        assert asked >= self.asked and sent >= self.sent and acked >= self.acked, (
            "a counter went back"
        )
        handled = acked - self.acked
        if self.manual:
            # Asked is what was wanted, as far as the capacity holds.  An ask may be on its way as
            # mail, so it may lag behind, but never run ahead.
            assert asked <= min(self.wanted, acked + self.max)
        else:
            assert handled <= self.max - self.min, f"{handled} events in one delivery"
            start = self.asked or self.max  # the first ask may be made in a turn of its own
            due = acked + self.max if start - acked <= self.min else start
            allowed = {due, self.asked} if self.ended or not self.asked else {due}
            assert asked in allowed, f"asked {asked}, the rule says {due} after {acked} events"
        pending, count = asked - self.sent, sent - self.sent
        self.asked, self.sent, self.acked = asked, sent, acked
        return pending, count


def check_shares(looks: Iterable[tuple[int, int]]) -> None:
    """One turn of a producer: nobody is served while one with more demand gets nothing."""
    looks = list(looks)
    served = [pending for pending, count in looks if count]
    passed_over = [pending for pending, count in looks if not count]
    if served and passed_over:
        assert min(served) >= max(passed_over), f"served {served}, passed over {passed_over}"


def check_model() -> None:
    """The model's own tests: GenStage's tables."""
    # GenStage 45, 46, 48: sizes that follow from max - min.
    for high, low, size in [(1000, 500, 500), (100, 80, 20), (1, 0, 1)]:
        machine, producer = Machine(), Stage(source(5 * high))
        consumer = Stage(handle=lambda batch: None)
        edge = machine.connect(producer, consumer, high, low)
        machine.settle()
        assert [len(batch) for batch in consumer.batches] == [size] * (5 * high // size)
        assert sum(consumer.batches, []) == list(range(5 * high))
        assert producer.demands[:3] == [high, size, size]
        assert edge.acked == edge.sent == 5 * high

    # GenStage 44, 49: three batches of 100, then one ask of 300.
    edge = Subscription(1000, 750)
    edge.publish(range(300))
    assert [edge.acknowledge(100) for _ in range(3)] == [0, 0, 300]

    # An ask beyond the capacity waits.
    edge = Subscription(4, manual=True)
    assert edge.ask(10) == 4
    edge.publish("abcd")
    assert edge.acknowledge(3) == 3 and edge.asked == 7
    edge.publish("efg")
    assert edge.acknowledge(4) == 3 and edge.asked == 10
    edge.check()

    # GenStage 121, 122: greatest first, ties first come first served.
    line = DemandDispatcher()
    line.ask("one", 3)
    line.ask("two", 2)
    assert line.dispatch(5) == ([("one", 3), ("two", 2)], 0)
    line = DemandDispatcher()
    line.ask("one", 3)
    line.ask("two", 3)
    assert line.dispatch(2) == ([("one", 2)], 0)
    assert line.dispatch(2) == ([("two", 2)], 0)
    assert line.dispatch(3) == ([("one", 1), ("two", 1)], 1)
    assert line.pending == 0

    # GenStage 103: which end of a full buffer is discarded.
    for keep, kept in [("last", "defgh"), ("first", "abcde")]:
        buffer = Buffer(5, keep)
        assert buffer.put("abcde") == 0 and buffer.put("fgh") == 3
        assert "".join(buffer.take(9)) == kept

    # GenStage 91, 95: a stage in the middle waits for demand; one that drops all goes on pulling.
    machine, producer = Machine(), Stage(source(1000))
    middle, consumer = Stage(handle=lambda batch: [], emits=True), Stage(handle=lambda batch: None)
    first = machine.connect(producer, middle, 10, 5)
    machine.settle()
    assert first.sent == 10 and first.acked == 0
    machine.connect(middle, consumer, 4, 2)
    machine.settle()
    assert first.acked == 1000 and consumer.batches == []

    # Output beyond demand waits, in order, and holds the input back.
    machine, producer = Machine(), Stage(source(200))
    middle = Stage(handle=lambda batch: [x for x in batch for _ in (0, 1)], emits=True)
    consumer = Stage(handle=lambda batch: None)
    machine.connect(producer, middle, 100, 80)
    machine.connect(middle, consumer, 7, 3)
    machine.settle()
    assert sum(consumer.batches, []) == [x for x in range(200) for _ in (0, 1)]


if __name__ == "__main__":
    check_model()
    print("the model agrees with the tables")
