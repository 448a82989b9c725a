"""The dispatchers under random subscribe, ask, cancel, emit, info, crash, retry, hold and release.

`Exact` drives each step to rest, with consumers that ask by hand, and holds all of it against the
plain models of `model_dispatch`: who has got what, in which order, what waits, what was discarded.

`Loose` takes single turns, with consumers that ask by themselves too, and checks what must hold
after every one of them:

    acked <= sent <= asked <= acked + capacity      so nobody gets more than it has asked for
    asked is what the re-ask rule says              `model.Watch`
    the demand handed to the producer is pending    so none is asked for twice
    nothing lost, nothing twice, order kept         when all has come to rest
    no stall                                        at rest, no demand stands beside events for it

Every event is a number of its own, an int64 or an object: a count.
"""

from __future__ import annotations

from collections import Counter

import model_dispatch
import numpy as np
import pytest
from helpers_dispatch import RoundRobin, statistics
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from model import Watch, check_shares

import fastflow as ff
from fastflow.testing import ManualClock, settle, stage_of, step

TURNS = 200_000  # more than any example needs: one that never rests shows as too many
PARTITIONS = ["a", "b", "c"]


def where(event):
    """Three of four go to a partition, the fourth to none."""
    return None if event % 4 == 3 else PARTITIONS[event % 4]


def even(event):
    return event % 2 == 0


def listed(events):
    return list(events) if isinstance(events, list) else events.tolist()


def select_even(events):
    """A selector: a list of truth values for a list, an array for an array."""
    return [even(e) for e in events] if isinstance(events, list) else events % 2 == 0


class Source(ff.Producer):
    """Emits what is cast, and on demand what its mode says; writes down both.

    Modes: "none" answers nothing, "less" at most 3, "exact" all that is asked, "more" 2 beyond it,
    "retry" takes one turn back and then is "exact".
    """

    state = ("count",)

    def __init__(self, out, demands, infos, pending, form):
        self.out, self.demands, self.infos, self.pending = out, demands, infos, pending
        self.dtype, self.claims = object if form == "object" else "int64", form == "claimed"
        self.count, self.mode = 0, "none"

    def make(self, n):
        events = list(range(self.count, self.count + n))
        self.count += n
        if self.mode == "retry":
            self.mode = "exact"
            raise ff.Retry
        if events:
            self.out.append(events)
        if self.claims:
            out = self.claim(n)
            out[:] = events
            return out
        return events if self.dtype is object else np.array(events, "int64")

    def handle_demand(self, demand):
        self.demands.append((demand, self.pending()))
        if self.mode == "none":
            return None
        return self.make({"less": min(demand, 3), "more": demand + 2}.get(self.mode, demand))

    def handle_cast(self, request):
        if request == "finish":
            return self.finish()
        if isinstance(request, str):
            self.mode = request
            return None
        return self.make(request)

    def handle_info(self, message):
        self.infos.append(message)


class Sink(ff.Consumer):
    """Keeps what it handles by subscription; its mood is what it raises, and how often."""

    def __init__(self, seen, manual):
        self.seen, self.manual = seen, manual
        self.mood = None

    def handle_subscribe(self, role, options, subscription):
        return "manual" if self.manual else "automatic"

    def handle_events(self, events, source):
        assert len(events), "handle_events was called with nothing"
        if self.mood == "retry":
            self.mood = None
            raise ff.Retry
        if self.mood is not None:
            raise self.mood
        self.seen.setdefault(source.tag, []).extend(listed(events))


forms = st.sampled_from(["returned", "claimed", "object"])


class Edge:
    """A subscription of the machine, with its options and its twin in the model."""

    def __init__(self, ref, subscription, number, options, manual, capacity):
        self.ref, self.subscription, self.number = ref, subscription, number
        self.options, self.manual, self.capacity = options, manual, capacity
        self.twin = self.watch = None
        self.frozen = False

    @property
    def numbers(self):
        found = statistics(self.subscription)
        return found["asked"], found["sent"], found["acked"]

    @property
    def open(self):
        return not self.subscription.closed


class Machine(RuleBasedStateMachine):
    """What both have: a source, its subscriptions, and what they can be told."""

    kind = "demand"

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.rt = ff.Runtime(clock=self.clock)
        self.out, self.demands, self.infos, self.seen = [], [], [], {}
        self.edges, self.told = [], 0
        self.held, self.mode, self.queue_size = False, "none", None

    def dispatcher(self):
        return {
            "demand": ff.DemandDispatcher,
            "broadcast": ff.BroadcastDispatcher,
            "partition": lambda: ff.PartitionDispatcher(
                PARTITIONS,
                hash=lambda events: [where(event) for event in listed(events)],
                queue_size=self.queue_size,
            ),
            "custom": RoundRobin,
        }[self.kind]()

    def begin(self, form):
        source = Source(self.out, self.demands, self.infos, self.pending, form)
        self.ref = self.rt.start(source, dispatcher=self.dispatcher(), name="source")

    @property
    def alive(self):
        return [edge for edge in self.edges if edge.open]

    @property
    def emitted(self):
        return [event for batch in self.out for event in batch]

    def pending(self):
        """The demand that stands, by the counters of the subscriptions."""
        room = [(edge, edge.numbers[0] - edge.numbers[1]) for edge in self.alive]
        if self.kind != "broadcast":
            return sum(n for _, n in room)
        blocking = [n for edge, n in room if edge.options.get("lag", "block") == "block"]
        return min(blocking) if blocking else max((n for _, n in room), default=0)

    def free(self):
        """A partition that nobody has; None: all are taken."""
        taken = {edge.options["partition"] for edge in self.alive}
        return next((p for p in PARTITIONS if p not in taken), None)

    def subscribe(self, ref, manual, capacity, low, options, old=None):
        number = len(self.edges)
        if old:
            subscription = old.subscription.resubscribe(tag=number, **options)
        else:
            subscription = ref.subscribe(
                self.ref,
                tag=number,
                cancel="temporary",
                max_demand=capacity,
                min_demand=low,
                **options,
            )
        edge = Edge(ref, subscription, number, options, manual, capacity)
        self.edges.append(edge)
        return edge

    def pick(self, i, edges=None):
        edges = self.alive if edges is None else edges
        return edges[i % len(edges)] if edges else None

    def look(self):
        for edge in self.edges:
            asked, sent, acked = edge.numbers
            assert acked <= sent <= asked <= acked + edge.capacity
        for demand, pending in self.demands:
            assert demand == pending, f"asked for {demand} upstream while {pending} were pending"
        self.demands.clear()

    def teardown(self):
        if hasattr(self, "ref"):
            self.end()
        self.rt.stop()


# -- exact ----------------------------------------------------------------------------------------


class Exact(Machine):
    """Every step is driven to rest and compared with the model."""

    kinds = {
        "demand": model_dispatch.Demand,
        "broadcast": model_dispatch.Broadcast,
        "partition": lambda: model_dispatch.Partition(PARTITIONS, where),
        "custom": model_dispatch.RoundRobin,
    }

    @initialize(form=forms)
    def start(self, form):
        self.begin(form)
        self.model, self.read = self.kinds[self.kind](), 0
        self.waits = []  # (message, events that were waiting when it was sent, and not sent since)

    # -- one step, to rest -------------------------------------------------------------------------

    def rest(self):
        """Drive to rest; hand what was emitted meanwhile to the model; compare."""
        settle(self.rt)
        for batch in self.out[self.read :]:
            self.model.emit(batch)
        self.read = len(self.out)
        self.look()
        self.compare()

    def compare(self):
        emitted = self.emitted
        for edge in self.edges:
            twin = edge.twin
            assert self.seen.get(edge.number, []) == twin.seen
            assert edge.open == (not twin.closed)
            assert edge.numbers == (twin.asked, twin.sent, twin.acked)
            found = statistics(edge.subscription)
            if self.kind == "broadcast":
                assert found["discarded"] == twin.discarded
            if edge.open:
                assert found["buffered"] >= found["sent"] - found["acked"]

        waiting, found = self.ref.estimate_buffered_count(), statistics(self.ref)
        flight = sum(len(edge.twin.flight) for edge in self.alive)
        assert found["emitted"] == len(emitted)
        if self.kind == "partition":
            # What belongs nowhere is discarded when it is routed, which may be later than here.
            assert waiting >= len(self.model.waiting())
            acked = sum(edge.twin.acked for edge in self.edges)
            assert len(emitted) == acked + flight + waiting + found["discarded"]
        else:
            assert waiting == len(self.model.waiting())
            assert found["discarded"] == 0
        if self.kind in ("demand", "custom"):
            acked = sum(edge.twin.acked for edge in self.edges)
            assert len(emitted) == acked + flight + waiting

        if not self.held and self.mode != "none":
            assert self.pending() == 0, "demand stands, and the producer was not asked"
        if self.pending() and not self.held and self.kind != "partition":
            assert not waiting, "demand stands beside events that wait"
        if not self.held:
            assert found["asked"] == self.pending()
        self.compare_infos(waiting)

    def sent_so_far(self):
        """How often each event was sent."""
        return Counter(event for edge in self.edges for event in edge.twin.taken)

    def compare_infos(self, waiting):
        now, sent = set(self.model.waiting()), self.sent_so_far()
        assert self.infos == list(range(len(self.infos))), "infos are out of order"
        for message, events, before in self.waits:
            # What was sent and came back, as its reader died, is behind the info.
            missed = {event for event in events & now if sent[event] == before[event]}
            if message < len(self.infos):
                assert not missed, f"info {message} overtook {sorted(missed)}"
            elif self.kind != "partition":
                assert events & now, f"info {message} waits for nothing"
        if not waiting:
            assert len(self.infos) == self.told, "an info waits for nothing"

    # -- what can happen ---------------------------------------------------------------------------

    def add(self, ref, options, old=None):
        edge = self.subscribe(ref, True, 100_000, 0, options, old)
        edge.twin = model_dispatch.Reader(
            edge.number,
            options.get("lag", "block"),
            even if "selector" in options else None,
            options.get("partition"),
        )
        return edge

    def options(self, lag, selects):
        if self.kind == "partition":
            return {"partition": self.free()}
        if self.kind == "broadcast":
            selector = {"selector": select_even} if selects and lag == "block" else {}
            return {"lag": lag} | selector
        return {}

    @precondition(lambda self: len(self.alive) < 5)
    @rule(lag=st.sampled_from(["block", "block", "drop"]), selects=st.booleans())
    def join(self, lag, selects):
        options = self.options(lag, selects)
        if options.get("partition", "") is None:
            return
        edge = self.add(self.rt.start(Sink(self.seen, manual=True)), options)
        self.model.join(edge.twin)
        self.rest()

    @precondition(lambda self: any(not edge.open and edge.ref.alive for edge in self.edges))
    @rule(i=st.integers(0, 99), lag=st.sampled_from(["block", "drop"]), selects=st.booleans())
    def join_again(self, i, lag, selects):
        busy = {edge.ref for edge in self.alive}
        idle = [e.ref for e in self.edges if e.ref.alive and e.ref not in busy]
        options = self.options(lag, selects)
        if not idle or options.get("partition", "") is None or len(self.alive) >= 5:
            return
        ref = idle[i % len(idle)]
        stage_of(ref).mood = None
        self.clock.advance(1.0)
        settle(self.rt)
        edge = self.add(ref, options)
        self.model.join(edge.twin)
        self.rest()

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99))
    def resubscribe(self, i):
        """A new subscription in the place of the old one; what was in hand goes back."""
        old = self.pick(i)
        edge = self.add(old.ref, old.options, old)
        edge.twin.frozen, edge.twin.stuck = old.twin.frozen, old.twin.stuck
        edge.twin.crashing = old.twin.crashing
        self.model.replace(old.twin, edge.twin)
        self.rest()

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99), n=st.integers(0, 12))
    def ask(self, i, n):
        edge = self.pick(i)
        edge.subscription.ask(n)
        self.model.ask(edge.twin, n)
        self.rest()

    @rule(n=st.integers(0, 15))
    def emit(self, n):
        self.ref.cast(n)
        self.rest()

    @rule(mode=st.sampled_from(["none", "none", "less", "exact", "more", "retry"]))
    def answer(self, mode):
        self.mode = mode
        self.ref.cast(mode)
        self.rest()

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99))
    def leave(self, i):
        edge = self.pick(i)
        edge.subscription.cancel("cancel")
        self.model.leave(edge.twin)
        self.rest()

    @precondition(lambda self: any(not edge.twin.crashing for edge in self.alive))
    @rule(i=st.integers(0, 99))
    def crash(self, i):
        """Its next delivery ends it: now, if it has one in hand."""
        if any(edge.twin.crashing for edge in self.alive):
            return
        edge = self.pick(i)
        stage_of(edge.ref).mood = ZeroDivisionError("on purpose")
        self.clock.advance(1.0)
        self.model.crash(edge.twin)
        self.rest()

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99))
    def retry(self, i):
        """Its next turn is taken back once."""
        edge = self.pick(i)
        if not edge.twin.frozen and not edge.twin.crashing:
            stage_of(edge.ref).mood = "retry"

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99))
    def freeze(self, i):
        edge = self.pick(i)
        if not edge.twin.crashing:
            stage_of(edge.ref).mood = ff.Retry(after=1.0)
            self.model.freeze(edge.twin)

    @precondition(lambda self: any(edge.twin.frozen for edge in self.alive))
    @rule(i=st.integers(0, 99))
    def thaw(self, i):
        edge = self.pick(i, [edge for edge in self.alive if edge.twin.frozen])
        stage_of(edge.ref).mood = None
        self.clock.advance(1.0)
        self.model.thaw(edge.twin)
        self.rest()

    @rule()
    def hold(self):
        self.held = True
        self.ref.hold()
        self.model.hold(True)
        self.rest()

    @rule()
    def release(self):
        self.held = False
        self.ref.release()
        self.model.hold(False)
        self.rest()

    @rule()
    def info(self):
        self.ref.async_info(self.told)
        self.waits.append((self.told, set(self.model.waiting()), self.sent_so_far()))
        self.told += 1
        self.rest()

    def end(self):
        """All that waits is delivered, once there is demand; then all infos have come."""
        self.release()
        self.answer("none")
        for edge in self.alive:
            if edge.twin.frozen:
                stage_of(edge.ref).mood = None
                self.clock.advance(1.0)
                self.model.thaw(edge.twin)
                self.rest()
        while self.kind == "partition" and self.free():
            self.join("block", False)
        if not self.alive:
            self.join("block", False)
        for _ in range(2):                              # an armed crash may go off the first time
            for edge in self.alive:
                if edge.open:                           # one before it may have set it off
                    edge.subscription.ask(10_000)
                    self.model.ask(edge.twin, 10_000)
                    self.rest()
            if not self.alive or (self.kind == "partition" and self.free()):
                return
        assert self.model.waiting() == []
        assert self.ref.estimate_buffered_count() == 0
        assert len(self.infos) == self.told
        discarded = sum(where(event) is None for event in self.emitted)
        if self.kind == "partition":
            assert statistics(self.ref)["discarded"] == discarded


# -- loose ----------------------------------------------------------------------------------------


class Loose(Machine):
    """Single turns, and what must hold after each."""

    @initialize(form=forms, queue_size=st.sampled_from([None, None, 1, 5]))
    def start(self, form, queue_size):
        self.queue_size = queue_size
        self.begin(form)
        self.turns, self.joined_at = 0, {}

    def tick(self):
        moved = step(self.rt)
        self.turns += moved
        assert self.turns < TURNS, "it does not come to rest"
        self.look()
        looks = [(edge.open, edge.watch.look()) for edge in self.edges if edge.watch]
        if self.kind == "demand":
            check_shares(look for still_open, look in looks if still_open)
        return moved

    def come_to_rest(self):
        while self.tick():
            pass
        if self.kind != "partition" and not self.held and self.pending():
            assert not self.ref.estimate_buffered_count(), "demand stands beside events that wait"

    @precondition(lambda self: len(self.alive) < 6)
    @rule(
        manual=st.booleans(),
        high=st.integers(1, 30),
        low=st.integers(0, 29),
        lag=st.sampled_from(["block", "block", "drop", "conflate"]),
        selects=st.booleans(),
    )
    def join(self, manual, high, low, lag, selects):
        options = {}
        if self.kind == "partition":
            options = {"partition": self.free()}
            if options["partition"] is None:
                return
        if self.kind == "broadcast":
            options = {"lag": lag}
            if selects:
                options["selector"] = select_even
        ref = self.rt.start(Sink(self.seen, manual))
        dispatched = len(self.emitted) - self.ref.estimate_buffered_count()
        low = min(low, high - 1)
        edge = self.subscribe(ref, manual, high, low, options)
        self.joined_at[edge.number] = dispatched
        if not {"selector", "lag"} & options.keys() or options == {"lag": "block"}:
            edge.watch = Watch(edge.subscription, high, low, manual)

    @rule(turns=st.integers(1, 20))
    def some_turns(self, turns):
        for _ in range(turns):
            if not self.tick():
                break

    @rule()
    def all_turns(self):
        self.come_to_rest()

    @rule(i=st.integers(0, 99), n=st.integers(0, 60))
    def ask(self, i, n):
        edge = self.pick(i, [edge for edge in self.alive if edge.manual])
        if edge:
            (edge.watch or edge.subscription).ask(n)
            self.look()

    @rule(n=st.integers(0, 40))
    def emit(self, n):
        self.ref.cast(n)

    # For a few turns only: whoever asks by itself would never let it come to rest.
    @rule(turns=st.integers(1, 12), mode=st.sampled_from(["less", "exact", "more", "retry"]))
    def answer(self, turns, mode):
        self.ref.cast(mode)
        for _ in range(turns):
            self.tick()
        self.ref.cast("none")
        self.tick()

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99))
    def leave(self, i):
        edge = self.pick(i)
        edge.subscription.cancel("cancel")
        if edge.watch:
            edge.watch.ended = True
        self.look()

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99))
    def crash(self, i):
        edge = self.pick(i)
        stage_of(edge.ref).mood = ZeroDivisionError("on purpose")
        if edge.watch:
            edge.watch.ended = True

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99))
    def stop(self, i):
        edge = self.pick(i)
        if edge.watch:
            edge.watch.ended = True
        edge.ref.stop()

    @precondition(lambda self: self.alive)
    @rule(i=st.integers(0, 99), after=st.sampled_from([0.0, 1.0]))
    def retry(self, i, after):
        edge = self.pick(i)
        if stage_of(edge.ref).mood is None:
            stage_of(edge.ref).mood = ff.Retry(after=after) if after else "retry"

    @rule()
    def thaw(self):
        for edge in self.alive:
            if isinstance(stage_of(edge.ref).mood, ff.Retry):
                stage_of(edge.ref).mood = None
        self.clock.advance(1.0)

    @rule()
    def hold(self):
        self.held = True
        self.ref.hold()

    @rule()
    def release(self):
        self.held = False
        self.ref.release()

    @rule()
    def info(self):
        self.ref.async_info(self.told)
        self.told += 1

    # -- at the end -------------------------------------------------------------------------------

    def end(self):
        self.release()
        self.ref.cast("none")
        for edge in self.alive:
            stage_of(edge.ref).mood = None
        self.clock.advance(1.0)
        self.come_to_rest()
        while (self.kind == "partition" and self.free()) or not self.alive:
            self.join(False, 30, 15, "block", False)
        for edge in self.alive:
            if edge.manual:
                (edge.watch or edge.subscription).ask(10**6)
        self.come_to_rest()
        assert self.ref.estimate_buffered_count() == 0, "events wait beside demand"
        assert self.infos == list(range(self.told))
        if self.kind == "broadcast":
            self.check_broadcast()
        else:
            self.check_shared()
        self.ref.cast("finish")
        self.come_to_rest()
        assert self.ref.join() == "normal"
        assert settle(self.rt) == 0

    def check_shared(self):
        """Each event was handled once; in a partition, in order, whoever has had it."""
        emitted = self.emitted
        got = [event for edge in self.edges for event in self.seen.get(edge.number, [])]
        discarded = 0
        if self.kind == "partition":
            discarded = sum(where(event) is None for event in emitted)
            for partition in PARTITIONS:
                mine = [
                    event
                    for edge in self.edges
                    if edge.options["partition"] == partition
                    for event in self.seen.get(edge.number, [])
                ]
                assert mine == [event for event in emitted if where(event) == partition]
        assert len(got) == len(set(got)), "an event was handled twice"
        assert sorted(got) == [e for e in emitted if self.kind != "partition" or where(e)]
        acked = sum(edge.numbers[2] for edge in self.edges)
        assert acked == len(got), "acknowledged is not what was handled"
        assert statistics(self.ref)["emitted"] == acked + discarded
        assert statistics(self.ref)["discarded"] == discarded

    def check_broadcast(self):
        """Each reader has what was dispatched from its joining on, but for what it missed."""
        emitted = self.emitted
        assert statistics(self.ref)["discarded"] == 0
        for edge in self.edges:
            stream = emitted[self.joined_at[edge.number] :]
            if "selector" in edge.options:
                stream = [event for event in stream if even(event)]
            got, found = self.seen.get(edge.number, []), statistics(edge.subscription)
            if edge.options["lag"] == "block":
                assert got == stream[: len(got)]
                assert not edge.open or got == stream
                assert found["acked"] + found["discarded"] == found["sent"]
            else:
                assert got == sorted(set(got) & set(stream)), "twice, or out of order"
            whole = len(emitted) - self.joined_at[edge.number]
            if edge.open and edge.options["lag"] != "conflate":
                assert found["acked"] + found["discarded"] == whole
                assert edge.options["lag"] != "block" or not found["discarded"]
            elif edge.open and "selector" not in edge.options:
                assert len(got) + found["discarded"] == whole


def cases(base, kinds):
    """A test case of `base` for each kind of dispatcher."""
    made = {}
    for kind in kinds:
        machine = type(f"{base.__name__}{kind.title()}", (base,), {"kind": kind})
        case = machine.TestCase
        case.settings = settings(
            max_examples=100,
            # A failing example is shown as it was found: shrinking one takes longer than a test may.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        made[f"Test{machine.__name__}"] = pytest.mark.timeout(120)(case)
    return made


KINDS = ["demand", "broadcast", "partition", "custom"]
globals().update(cases(Exact, KINDS) | cases(Loose, KINDS))


def test_the_models_agree_with_the_tables():
    model_dispatch.check_model()
