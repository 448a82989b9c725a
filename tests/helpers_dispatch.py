"""One producer that emits what it is told, and consumers that ask when they are told.

    hub = Hub(ff.BroadcastDispatcher())
    a, b = hub.join(), hub.join()
    hub.ask((a, 3), (b, 5))
    hub.push(1, 2, 3)
    assert a.seen == b.seen == [1, 2, 3]

Every step is driven to rest before the next, so what comes is decided by the rules alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import fastflow as ff
from fastflow.testing import ManualClock, settle, stage_of


class Push(ff.Producer):
    """Answers no demand; emits what is cast to it; writes down what it hears.

    Attributes
    ----------
    demands : list
        What `handle_demand` was given.
    infos : list
        ``(message, events that wait at that moment)``.
    cancelled : list
        ``(reason, tag)``.
    """

    def __init__(self, dtype="int64"):
        self.dtype = dtype
        self.demands, self.infos, self.cancelled, self.subscribed = [], [], [], []

    def handle_demand(self, demand):
        self.demands.append(demand)

    def handle_cast(self, request):
        if callable(request):
            return request(self)
        return list(request) if self.dtype is object else np.array(request, dtype=self.dtype)

    def handle_info(self, message):
        self.infos.append(message)

    def handle_subscribe(self, role, options, subscription):
        self.subscribed.append(subscription.tag)
        return "automatic"

    def handle_cancel(self, reason, subscription):
        self.cancelled.append((reason, subscription.tag))


class Count(Push):
    """Answers demand with the next numbers, at most `chunk` a turn, up to `stop`."""

    def __init__(self, stop=None, chunk=None, dtype="int64"):
        super().__init__(dtype)
        self.next, self.stop, self.chunk = 0, stop, chunk

    def handle_demand(self, demand):
        self.demands.append(demand)
        n = min(demand, self.chunk or demand)
        if self.stop is not None:
            n = min(n, self.stop - self.next)
        first, self.next = self.next, self.next + n
        if self.next == self.stop:
            self.finish()
        return np.arange(first, self.next, dtype=self.dtype)


class Hand(ff.Consumer):
    """Takes nothing but what is asked for by hand; keeps batches, as lists, in `batches`.

    While `mood` is an exception, its `handle_events` raises that.
    """

    def __init__(self, batches=None):
        self.batches = [] if batches is None else batches
        self.cancelled = []
        self.mood = None

    def handle_subscribe(self, role, options, subscription):
        return "manual"

    def handle_events(self, events, source):
        if isinstance(self.mood, BaseException):
            raise self.mood
        self.batches.append(list(events) if isinstance(events, list) else events.tolist())

    def handle_cancel(self, reason, subscription):
        self.cancelled.append((reason, subscription.tag))


class Reader:
    """A consumer of the hub: its ref, its one subscription, and what it has handled."""

    def __init__(self, ref, edge, batches):
        self.ref, self.edge, self.batches = ref, edge, batches

    @property
    def seen(self):
        return [event for batch in self.batches for event in batch]

    @property
    def counters(self):
        """(asked, sent, acked)."""
        return tuple(statistics(self.edge)[name] for name in ("asked", "sent", "acked"))

    @property
    def discarded(self):
        return statistics(self.edge)["discarded"]


class Hub:
    """One producer, and consumers that join it.

    Parameters
    ----------
    dispatcher
        Of the producer; None: the default.
    producer : Stage, optional
        Another than `Push`.
    **options
        Of the producer.
    """

    def __init__(self, dispatcher=None, producer=None, seed=0, **options):
        self.clock = ManualClock()
        self.rt = ff.Runtime(clock=self.clock, seed=seed)
        if dispatcher is not None:
            options["dispatcher"] = dispatcher
        self.ref = self.rt.start(producer or Push(), name="hub", **options)
        self.readers = []

    @property
    def stage(self):
        return stage_of(self.ref)

    @property
    def demands(self):
        return self.stage.demands

    @property
    def waiting(self):
        """Events that were emitted and not sent."""
        return self.ref.estimate_buffered_count()

    def join(self, capacity=1000, ask=0, name=None, **options):
        """One more consumer, by hand, that lives on when the hub ends."""
        batches = []
        consumer = self.rt.start(Hand(batches), **({} if name is None else {"name": name}))
        options = {"max_demand": capacity, "cancel": "temporary", "tag": len(self.readers)} | options
        reader = Reader(consumer, consumer.subscribe(self.ref, **options), batches)
        self.readers.append(reader)
        settle(self.rt)
        if ask:
            self.ask((reader, ask))
        return reader

    def automatic(self, max_demand=1000, min_demand=None, **options):
        """One more consumer that asks by itself; nothing is driven yet."""
        batches = []

        class Auto(Hand):
            def handle_subscribe(self, role, options, subscription):
                return "automatic"

        consumer = self.rt.start(Auto(batches))
        options = {"max_demand": max_demand, "cancel": "temporary"} | options
        if min_demand is not None:
            options["min_demand"] = min_demand
        reader = Reader(consumer, consumer.subscribe(self.ref, **options), batches)
        self.readers.append(reader)
        return reader

    def ask(self, *asks):
        """``(reader, n)`` pairs, each driven to rest."""
        for reader, n in asks:
            reader.edge.ask(n)
            settle(self.rt)

    def push(self, *events):
        """The hub emits `events` in one turn."""
        self.ref.cast(events)
        settle(self.rt)

    def inform(self, *messages):
        for message in messages:
            self.ref.async_info(message)
        settle(self.rt)

    def leave(self, reader):
        reader.edge.cancel("cancel")
        settle(self.rt)

    def crash(self, reader):
        """The next batch of `reader` ends it."""
        stage_of(reader.ref).mood = ZeroDivisionError("on purpose")

    def freeze(self, reader):
        """`reader` handles nothing more until `thaw`: each turn of it is taken back."""
        stage_of(reader.ref).mood = ff.Retry(after=1.0)

    def thaw(self, reader):
        stage_of(reader.ref).mood = None
        self.clock.advance(1.0)
        settle(self.rt)


def statistics(of):
    """The statistics of a ref or a subscription, as a dict."""
    found = of.statistics()
    assert isinstance(found, Mapping), found
    return found


def text_of(error):
    """All that an error says."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def failure(ref):
    """The exception that ended a stage."""
    assert not ref.alive
    reason = ref.join()
    assert isinstance(reason, BaseException), f"it ended with {reason!r}"
    return reason


def warnings_in(caplog, words):
    """Messages of WARNINGs of fastflow.runtime that have `words`."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and record.name == "fastflow.runtime"
        and words in record.getMessage()
    ]


class RoundRobin(ff.Dispatcher):
    """One event to each in turn; `model_dispatch.RoundRobin` is the same in plain lists."""

    def start(self):
        self.line = []

    def subscribe(self, subscription, options):
        self.line.append(subscription)

    def cancel(self, subscription):
        self.line.remove(subscription)

    def dispatch(self, events, demands):
        left, shares, taken = dict(demands), {}, 0
        while taken < len(events):
            found = next((s for s in self.line if left.get(s)), None)
            if found is None:
                break
            self.line.remove(found)
            self.line.append(found)
            left[found] -= 1
            shares.setdefault(found, []).append(taken)
            taken += 1
        return taken, [(s, np.array(indices)) for s, indices in shares.items()]
