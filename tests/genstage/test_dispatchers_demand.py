"""What every dispatcher does, and the demand dispatcher: GenStage 115 to 128.

The contract is tested with dispatchers of our own that write down what they are given.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers_dispatch import Count, Hand, Hub, Push, failure, statistics, text_of, warnings_in

import fastflow as ff
from fastflow.testing import settle, stage_of

OVERLOAD = "different maximum demands will overload greedy consumers"


class Logged(ff.Dispatcher):
    """Everything to the first subscriber that has demand; writes down each call in `log`."""

    options = ("weight",)

    def __init__(self, log):
        self.log = log

    def start(self):
        self.log.append("start")

    def subscribe(self, subscription, options):
        self.log.append(("subscribe", subscription.tag, options.get("weight")))
        if options.get("weight") == "too much":
            raise ValueError("nobody can carry that")

    def cancel(self, subscription):
        self.log.append(("cancel", subscription.tag))

    def demand(self, demands):
        total = sum(demands.values())
        self.log.append(("demand", total))
        return total

    def dispatch(self, events, demands):
        self.log.append(("dispatch", np.asarray(events).tolist()))
        for subscription, pending in demands.items():
            if pending:
                n = min(len(events), pending)
                return n, [(subscription, slice(0, n))]
        return 0, []


def calls(log, name):
    return [entry[1:] for entry in log if entry[0] == name]


# -- the contract ---------------------------------------------------------------------------------


def test_a_dispatcher_is_started_subscribed_asked_given_events_and_cancelled():
    """GenStage 115. The callbacks, in that order, with what they are given."""
    log = []
    hub = Hub(Logged(log))
    assert log[0] == "start"

    reader = hub.join(weight=3, ask=2)
    hub.push(1, 2)
    hub.leave(reader)

    assert calls(log, "subscribe") == [(0, 3)]
    assert (2,) in calls(log, "demand")
    assert calls(log, "dispatch") == [([1, 2],)]
    assert calls(log, "cancel") == [(0,)]
    assert reader.seen == [1, 2]


def test_a_dispatcher_that_refuses_a_subscriber_refuses_that_one_alone():
    """GenStage 116. The producer and its others go on."""
    hub = Hub(Logged(log := []))
    reader = hub.join(ask=5)

    with pytest.raises(ValueError, match="nobody can carry that"):
        hub.join(weight="too much")

    hub.push(1, 2)
    assert hub.ref.alive
    assert reader.seen == [1, 2]
    assert calls(log, "cancel") == []                   # who never was in is not told to leave


def test_what_a_dispatcher_leaves_waits_in_order():
    """GenStage 117."""
    hub = Hub(Logged([]))
    reader = hub.join(ask=2)

    hub.push(1, 2, 3)
    hub.push(4, 5)
    assert (reader.seen, hub.waiting) == ([1, 2], 3)

    hub.ask((reader, 2), (reader, 5))
    assert reader.seen == [1, 2, 3, 4, 5]


def test_an_error_of_a_dispatcher_is_the_producers_own():
    """GenStage 118. Better: what earlier turns sent is delivered, and the note says where."""

    class Breaks(Logged):
        def dispatch(self, events, demands):
            if 3 in events:
                raise LookupError("no way for a 3")
            return super().dispatch(events, demands)

    hub = Hub(Breaks([]))
    reader = hub.join(ask=10)
    hub.push(1, 2)

    hub.push(3, 4)

    error = failure(hub.ref)
    assert isinstance(error, LookupError)
    assert "'hub'" in text_of(error)
    assert "dispatch" in text_of(error)
    assert reader.seen == [1, 2]
    assert reader.ref.alive
    with pytest.raises(LookupError):
        hub.ref.result()


def test_a_dispatcher_is_separate_from_its_stage():
    """GenStage 119. Neither sees the other; a dispatcher given to two stages is a template."""

    class Numbered(Logged):
        def start(self):
            self.count = 0

        def dispatch(self, events, demands):
            self.count += len(events)
            self.log.append(self.count)
            return super().dispatch(events, demands)

    template = Numbered(log := [])
    rt = ff.Runtime()
    hubs = [rt.start(Push(), dispatcher=template) for _ in range(2)]
    for hub in hubs:
        rt.start(Hand()).subscribe(hub).ask(10)
        settle(rt)

    for hub in [*hubs, hubs[0]]:
        hub.cast([1, 2])
        settle(rt)

    assert [entry for entry in log if isinstance(entry, int)] == [2, 2, 4]
    assert not hasattr(template, "count")
    assert not hasattr(stage_of(hubs[0]), "count")


def test_a_dispatcher_may_be_given_more_than_was_asked_and_have_no_consumers():
    """GenStage 120. So it may throw away what nobody is there for (there a wish: #14)."""

    class NobodyNothing(Logged):
        def dispatch(self, events, demands):
            if not demands:
                return len(events), []
            return super().dispatch(events, demands)

    hub = Hub(NobodyNothing(log := []))
    hub.push(1, 2, 3)
    assert hub.waiting == 0
    assert statistics(hub.ref)["discarded"] == 3

    reader = hub.join(ask=2)
    hub.push(4, 5, 6)

    assert reader.seen == [4, 5]
    assert hub.waiting == 1
    assert calls(log, "dispatch")[0] == ([4, 5, 6],)


# -- the demand dispatcher ------------------------------------------------------------------------


@pytest.mark.parametrize("dispatcher", [None, "demand", ff.DemandDispatcher], ids=str)
def test_the_greatest_demand_is_served_first_as_much_as_it_wants(dispatcher):
    """GenStage 121. Then the next; it is the default."""
    hub = Hub(dispatcher() if isinstance(dispatcher, type) else dispatcher)
    a, b, c = (hub.join() for _ in range(3))
    hub.ask((a, 1), (b, 2), (c, 5))

    hub.push(*range(7))

    assert (a.seen, b.seen, c.seen) == ([], [5, 6], [0, 1, 2, 3, 4])


def test_who_gets_into_a_tie_later_stands_behind():
    """GenStage 121. A consumer whose demand grew, or shrank, to what others have."""
    hub = Hub()
    a, b, c = (hub.join() for _ in range(3))
    hub.ask((a, 2), (b, 3), (a, 1))                     # three each; a got there last
    hub.push(1)
    assert b.seen == [1]

    hub.ask((c, 2))                                     # b and c have two each; b was there first
    hub.push(2, 3, 4)
    assert a.seen == [2, 3, 4]
    hub.push(5, 6, 7)

    assert (a.seen, b.seen, c.seen) == ([2, 3, 4], [1, 5, 6], [7])


def test_five_events_for_asks_of_three_and_two():
    """GenStage 122. The first gets a, b, c; the second d, e."""
    hub = Hub()
    first, second = hub.join(ask=3), hub.join(ask=2)

    hub.push(1, 2, 3, 4, 5)

    assert (first.seen, second.seen) == ([1, 2, 3], [4, 5])


def test_two_two_and_three_events_for_two_asks_of_three():
    """GenStage 122. The last event is left over."""
    hub = Hub()
    first, second = hub.join(ask=3), hub.join(ask=3)

    hub.push(1, 2)
    hub.push(3, 4)
    assert (first.seen, second.seen) == ([1, 2], [3, 4])
    hub.push(5, 6, 7)

    assert (first.seen, second.seen) == ([1, 2, 5], [3, 4, 6])
    assert hub.waiting == 1


def test_demand_of_who_left_is_not_asked_upstream_and_no_other_ask_is_swallowed():
    """GenStage 123. Better: nothing is remembered; the demand is what is pending now."""
    hub = Hub()
    a, b = hub.join(ask=10), hub.join(ask=3)
    assert hub.demands == [10, 13]

    hub.leave(a)
    assert statistics(hub.ref)["asked"] == 3
    hub.ask((b, 2))

    assert hub.demands[-1] == 5
    hub.push(*range(8))
    assert b.seen == [0, 1, 2, 3, 4]
    assert statistics(hub.ref)["asked"] == 0
    hub.ask((b, 4))
    assert hub.demands[-1] == 1                         # three of the four waited


def test_events_emitted_without_consumers_reach_the_next_and_the_rest_is_asked_for():
    """GenStage 124. A consumer left with demand open; its answer came when nobody was there."""
    hub = Hub()
    gone = hub.join(ask=10)
    hub.leave(gone)
    hub.push(*range(10))
    assert hub.waiting == 10

    reader = hub.join(ask=12)

    assert reader.seen == list(range(10))
    assert hub.demands[-1] == 2
    hub.push(10, 11)
    assert reader.seen == list(range(12))


def test_a_greater_maximum_than_the_others_have_is_one_warning_and_works(caplog):
    """GenStage 125. One a stage, however many consumers there are."""
    hub = Hub(producer=Count(100))
    for most in (10, 10, 20, 30):
        hub.automatic(most, cancel="auto")
    settle(hub.rt)

    found = warnings_in(caplog, OVERLOAD)
    assert len(found) == 1
    assert "'hub'" in found[0]
    assert sorted(sum((reader.seen for reader in hub.readers), [])) == list(range(100))


def test_a_greater_ask_than_ones_first_waits_and_overloads_nobody(caplog):
    """GenStage 125. Better: what is asked beyond max_demand waits on the consumer's side: nothing to warn of."""
    hub = Hub()
    reader = hub.join(capacity=10)
    hub.ask((reader, 2), (reader, 2), (reader, 1))
    assert warnings_in(caplog, OVERLOAD) == []

    hub.ask((reader, 3), (reader, 2), (reader, 100))

    assert warnings_in(caplog, OVERLOAD) == []
    assert statistics(hub.ref)["asked"] == 10
    hub.push(*range(110))
    assert reader.seen == list(range(110))


def test_equal_maxima_draw_no_warning(caplog):
    """GenStage 125."""
    hub = Hub(producer=Count(100))
    for _ in range(4):
        hub.automatic(10, 5, cancel="auto")
    settle(hub.rt)

    assert sum(len(reader.seen) for reader in hub.readers) == 100
    assert warnings_in(caplog, OVERLOAD) == []


def test_the_other_dispatchers_have_no_greedy_consumers_to_warn_of(caplog):
    """GenStage 125. In a broadcast everybody gets everything, in a partition what is its own."""
    for dispatcher, options in (
        (ff.BroadcastDispatcher(), [{}, {}]),
        (ff.PartitionDispatcher(2), [{"partition": 0}, {"partition": 1}]),
    ):
        hub = Hub(dispatcher)
        small, large = (hub.join(capacity=n, **more) for n, more in zip((5, 50), options, strict=True))
        hub.ask((small, 5), (large, 50), (small, 100), (large, 1000))

    assert warnings_in(caplog, OVERLOAD) == []


def shuffled(seed, shuffle=True, n=20):
    """A hub whose `n` consumers ask for one event each, in order, and who got the n-th event."""
    hub = Hub(ff.DemandDispatcher(shuffle=shuffle), seed=seed)
    readers = [hub.join(ask=1) for _ in range(n)]
    hub.push(*range(n))
    return hub, readers, [reader.seen[0] for reader in readers]


def test_shuffle_mixes_equal_consumers_at_the_first_dispatch_only():
    """GenStage 126. Afterwards it is first come first served again."""
    hub, readers, order = shuffled(7)
    assert sorted(order) == list(range(20))
    assert order != list(range(20))

    hub.ask(*((reader, 1) for reader in readers))
    hub.push(*range(100, 120))

    assert [reader.seen[1] for reader in readers] == list(range(100, 120))


def test_a_seed_repeats_a_shuffle():
    """GenStage 126. Better: by the stage's own generator, so a run can be repeated."""
    assert shuffled(7)[2] == shuffled(7)[2]
    assert any(shuffled(7)[2] != shuffled(seed)[2] for seed in (8, 9))
    assert shuffled(7, shuffle=False)[2] == list(range(20))


def test_shuffle_leaves_the_greatest_demand_in_front():
    """GenStage 126. Only who stands equal is mixed."""
    for seed in range(5):
        hub = Hub(ff.DemandDispatcher(shuffle=True), seed=seed)
        readers = [hub.join(ask=n) for n in (1, 1, 1, 1, 3)]

        hub.push(*range(7))

        assert readers[4].seen == [0, 1, 2]
        assert sorted(sum((reader.seen for reader in readers[:4]), [])) == [3, 4, 5, 6]


def time_of_one_event_each(n):
    """Seconds in which `n` subscribe, ask for one event each, and get it."""
    got = []

    class One(ff.Consumer):
        def handle_subscribe(self, role, options, subscription):
            subscription.ask(1)
            return "manual"

        def handle_events(self, events, source):
            got.extend(events.tolist())

    rt = ff.Runtime()
    producer = rt.start(Push())
    began = time.perf_counter()
    for _ in range(n):
        rt.start(One(), subscribe_to=[(producer, dict(max_demand=1))])
    settle(rt)
    producer.cast(range(n))
    settle(rt)
    seconds = time.perf_counter() - began
    assert sorted(got) == list(range(n))
    rt.stop()
    return seconds


def test_ten_times_the_consumers_take_about_ten_times_as_long():
    """GenStage 127. Better: there each ask looks through all consumers, so it would be 100."""
    time_of_one_event_each(200)
    few = min(time_of_one_event_each(1000) for _ in range(3))
    many = time_of_one_event_each(10_000)

    assert many < 40 * few


def test_a_greedy_consumer_gets_its_whole_demand_first():
    """GenStage 128. Maxima of 4 and 10, twelve events."""
    hub = Hub()
    small, large = hub.join(ask=4), hub.join(ask=10)

    hub.push(*range(1, 13))

    assert large.seen == list(range(1, 11))
    assert small.seen == [11, 12]
