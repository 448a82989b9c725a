"""Random topologies of stages, driven turn by turn, held against the rules of `model`.

Stages are added, joined, fed, asked and ended in any order.  What must hold:

    acked <= sent <= asked <= acked + capacity      on every subscription, after every turn
    asked is what the re-ask rule says              `model.Watch`
    the greatest demand is served first             `model.check_shares`
    nothing lost, nothing doubled, order kept       each output against what its subscribers got
    no stall                                        once all sources have ended, every stage ends

Every event is an int64 that no other stage makes: the number of its stage, and a count.
"""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from model import Watch, check_shares

import fastflow as ff
from fastflow.testing import settle, step

LABEL = 10**9  # events of stage k are k * LABEL + 0, 1, 2, ...
TURNS = 200_000  # more than any example needs: one that never rests shows as too many


class Log:
    """What one stage emitted and what it was given, written down by the stage itself."""

    def __init__(self):
        self.out = []  # events in the order in which they were emitted
        self.into = []  # (number of the producer, events), turn by turn
        self.demands = []
        self.retries = 0
        self.ended = None


class Source(ff.Producer):
    """Emits `chunk` events a turn when asked, or claims the whole demand, and more when told to."""

    dtype = "int64"
    state = ("count",)

    def __init__(self, number, log, limit, chunk, claims, retry):
        self.number, self.log, self.limit, self.chunk = number, log, limit, chunk
        self.claims, self.retry = claims, retry
        self.count = self.tries = 0

    def make(self, n, out=None):
        events = np.arange(n) + (self.number * LABEL + self.count)
        self.count += n
        self.tries += 1
        if self.retry and self.tries % self.retry == 0:
            self.log.retries += 1
            raise ff.Retry
        self.log.out += events.tolist()
        if out is None:
            return events
        out[:] = events
        return out

    def handle_demand(self, demand):
        self.log.demands.append(demand)
        n = min(self.limit - self.count, self.chunk or demand)
        if n <= 0:
            return None
        return self.make(n, self.claim(n) if self.claims else None)

    def handle_cast(self, request):
        if request == "finish":
            return self.finish()
        return self.make(request, self.claim(request) if self.claims else None)

    def terminate(self, reason):
        self.log.ended = reason


class Middle(ff.ProducerConsumer):
    """Passes on, halves, doubles, holds back until the end, or claims what it returns."""

    dtype = "int64"
    state = ("count", "held")

    def __init__(self, number, log, kind, retry):
        self.number, self.log, self.kind, self.retry = number, log, kind, retry
        self.count = self.held = self.tries = 0

    def make(self, n, claims=False):
        events = np.arange(n) + (self.number * LABEL + self.count)
        self.count += n
        if claims:
            out = self.claim(n)
            out[:] = events
            return out
        return events

    def handle_events(self, events, source):
        n = len(events)
        assert n, "an empty batch"
        if self.kind == "same":
            out = events
        elif self.kind == "head":
            out = events[: (n + 1) // 2]
        elif self.kind == "half":
            out = self.make(n // 2)
        elif self.kind == "double":
            out = self.make(2 * n)
        elif self.kind == "claim":
            out = self.make(n, claims=True)
        else:
            self.held += n
            out = None
        self.tries += 1
        if self.retry and self.tries % self.retry == 0:
            self.log.retries += 1
            raise ff.Retry
        self.log.into.append((source.tag, events.tolist()))
        self.log.out += [] if out is None else out.tolist()
        return out

    def handle_end(self):
        out = self.make(self.held)
        self.held = 0
        self.log.out += out.tolist()
        return out

    def terminate(self, reason):
        self.log.ended = reason


class Sink(ff.Consumer):
    """Keeps what it gets; asks by itself, or is asked by hand."""

    def __init__(self, log, manual=False):
        self.log, self.manual = log, manual

    def handle_subscribe(self, role, options, subscription):
        return "manual" if self.manual else "automatic"

    def handle_events(self, events, source):
        assert len(events), "an empty batch"
        self.log.into.append((source.tag, events.tolist()))

    def terminate(self, reason):
        self.log.ended = reason


class Node:
    """A stage of the machine, with its log and its edges."""

    def __init__(self, number, ref, log, kind):
        self.number, self.ref, self.log, self.kind = number, ref, log, kind
        self.upstream, self.downstream = [], []  # of Edge
        self.ending = False  # an end was set off upstream: leave it alone from here on


class Edge:
    """A subscription of the machine: from one node to another, and the watch over its counters."""

    def __init__(self, producer, consumer, watch):
        self.producer, self.consumer, self.watch = producer, consumer, watch


demands = st.integers(1, 40).flatmap(
    lambda high: st.tuples(st.just(high), st.integers(0, high - 1))
)
retries = st.sampled_from([0, 0, 0, 2, 3])


class Topologies(RuleBasedStateMachine):
    """Adds, joins, feeds, asks, ends; checks after every turn."""

    def __init__(self):
        super().__init__()
        self.rt, self.nodes, self.turns = ff.Runtime(), [], 0

    # -- building ---------------------------------------------------------------------------------

    def add(self, make, kind):
        log = Log()
        number = len(self.nodes) + 1
        node = Node(number, self.rt.start(make(number, log), name=f"stage {number}"), log, kind)
        self.nodes.append(node)
        return node

    def join(self, producer, consumer, demand):
        high, low = demand
        manual = consumer.kind == "manual"
        subscription = consumer.ref.subscribe(
            producer.ref, tag=producer.number, max_demand=high, min_demand=low
        )
        edge = Edge(producer, consumer, Watch(subscription, high, low, manual))
        edge.watch.ended = producer.ending
        producer.downstream.append(edge)
        consumer.upstream.append(edge)
        self.look()

    def emitters(self):
        return [
            node for node in self.nodes if node.kind not in ("sink", "manual") and not node.ending
        ]

    @initialize(
        limit=st.integers(0, 100), chunk=st.integers(0, 20), claims=st.booleans(), retry=retries
    )
    def begin(self, limit, chunk, claims, retry):
        self.add_source(limit, chunk, claims, retry)

    @precondition(lambda self: len(self.nodes) < 8)
    @rule(limit=st.integers(0, 100), chunk=st.integers(0, 20), claims=st.booleans(), retry=retries)
    def add_source(self, limit, chunk, claims, retry):
        self.add(lambda number, log: Source(number, log, limit, chunk, claims, retry), "source")

    @precondition(lambda self: len(self.nodes) < 8 and self.emitters())
    @rule(
        kind=st.sampled_from(["same", "head", "half", "double", "claim", "hold"]),
        retry=retries,
        pick=st.lists(st.tuples(st.integers(0, 99), demands), min_size=1, max_size=3),
    )
    def add_middle(self, kind, retry, pick):
        found = self.emitters()
        if kind == "double" and sum(node.kind == "double" for node in self.nodes) == 2:
            kind = "claim"  # every double may double once more what the others made
        node = self.add(lambda number, log: Middle(number, log, kind, retry), kind)
        for i, demand in pick:
            self.join(found[i % len(found)], node, demand)

    @precondition(lambda self: len(self.nodes) < 12 and self.emitters())
    @rule(
        kind=st.sampled_from(["sink", "sink", "manual"]),
        pick=st.lists(st.tuples(st.integers(0, 99), demands), min_size=1, max_size=3),
    )
    def add_sink(self, kind, pick):
        found = self.emitters()
        node = self.add(lambda number, log: Sink(log, kind == "manual"), kind)
        for i, demand in pick:
            self.join(found[i % len(found)], node, demand)

    @precondition(lambda self: self.emitters())
    @rule(i=st.integers(0, 99), k=st.integers(0, 99), demand=demands)
    def join_later(self, i, k, demand):
        found = self.emitters()
        producer = found[i % len(found)]
        behind = [n for n in self.nodes[producer.number :] if n.kind != "source" and not n.ending]
        if behind:
            self.join(producer, behind[k % len(behind)], demand)

    # -- moving -----------------------------------------------------------------------------------

    @rule(turns=st.integers(1, 30))
    def some_turns(self, turns):
        for _ in range(turns):
            if not self.turn():
                break

    @rule()
    def all_turns(self):
        self.come_to_rest()

    @rule(i=st.integers(0, 99), n=st.integers(1, 40))
    def feed(self, i, n):
        sources = [node for node in self.nodes if node.kind == "source" and not node.ending]
        if sources:
            sources[i % len(sources)].ref.cast(n)

    @rule(i=st.integers(0, 99), n=st.integers(0, 100))
    def ask(self, i, n):
        edges = [edge for node in self.nodes if node.kind == "manual" for edge in node.upstream]
        edges = [edge for edge in edges if not edge.producer.ending]
        if edges:
            edges[i % len(edges)].watch.ask(n)
            self.look()

    @rule(i=st.integers(0, 99))
    def finish(self, i):
        sources = [node for node in self.nodes if node.kind == "source" and not node.ending]
        if len(sources) > 1:
            self.end(sources[i % len(sources)])

    def end(self, source):
        source.ref.cast("finish")
        reached = [source]
        while reached:
            node = reached.pop()
            node.ending = True
            for edge in node.downstream:
                edge.watch.ended = True
                if not edge.consumer.ending:
                    reached.append(edge.consumer)

    def turn(self):
        moved = step(self.rt)
        self.turns += moved
        assert self.turns < TURNS, "it does not come to rest"
        self.look()
        return moved

    def come_to_rest(self):
        while self.turn():
            pass

    def look(self):
        for node in self.nodes:
            check_shares(edge.watch.look() for edge in node.downstream)

    # -- at the end -------------------------------------------------------------------------------

    def check_edges(self):
        """What subscribers have got is, for each, a part of the output in order; nothing twice."""
        for node in self.nodes:
            position = {event: i for i, event in enumerate(node.log.out)}
            assert len(position) == len(node.log.out), "an event was emitted twice"
            got = []
            for other in {edge.consumer for edge in node.downstream}:
                events = [e for tag, batch in other.log.into if tag == node.number for e in batch]
                mine = [position[event] for event in events]
                if sum(edge.producer is node for edge in other.upstream) == 1:
                    assert mine == sorted(mine), "out of order"
                got += mine
            assert len(got) == len(set(got)), "an event was delivered twice"
            acked = sum(edge.watch.acked for edge in node.downstream)
            assert acked == len(got), "acknowledged is not what was handled"

    def teardown(self):
        if not self.nodes:
            return
        self.come_to_rest()
        self.check_edges()

        for node in list(self.nodes):
            if node.kind not in ("sink", "manual") and node.ref.alive and not node.downstream:
                drain = self.add(lambda number, log: Sink(log), "sink")
                self.join(node, drain, (30, 15))
        for node in self.nodes:
            if node.kind == "manual":
                for edge in node.upstream:
                    if node.ref.alive:
                        edge.watch.ask(2**62)
        self.come_to_rest()
        for node in self.nodes:
            if node.kind == "source" and not node.ending:
                self.end(node)
        self.come_to_rest()

        self.check_edges()
        for node in self.nodes:
            if node.upstream or node.kind == "source":
                assert node.log.ended == "normal", (
                    f"stage {node.number} ({node.kind}): {node.log.ended}"
                )
                assert node.ref.join() == "normal"
            if node.downstream:
                got = sum(edge.watch.acked for edge in node.downstream)
                assert got == len(node.log.out), "an event was lost"
                assert all(edge.watch.acked == edge.watch.sent for edge in node.downstream)
            elif node.kind not in ("sink", "manual"):
                assert not node.log.out, "a stage ended although nobody took what it emitted"
            if node.kind == "double":
                taken = sum(len(batch) for _, batch in node.log.into)
                assert len(node.log.out) == 2 * taken
            if node.kind == "hold":
                taken = sum(len(batch) for _, batch in node.log.into)
                assert len(node.log.out) == taken
        assert settle(self.rt) == 0


TestTopologies = Topologies.TestCase
TestTopologies.settings = settings(
    max_examples=60,
    # A failing example is shown as it was found: shrinking one takes longer than a test may.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
