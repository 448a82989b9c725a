"""What an independent review of the dispatchers found: callbacks that keep, change or re-enter what they are given.

Each test failed before its defect was mended; some of them ended the process.
"""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from helpers_dispatch import Hand, Hub, Push, failure, statistics, text_of

import fastflow as ff
from fastflow.testing import settle, stage_of

DEADLINE = 20.0


class Dealing(ff.Dispatcher):
    """Deals by a function; what it cancels, is done by another."""

    def __init__(self, deal=None, on_cancel=None, allow=None):
        self.deal, self.on_cancel, self.allow = deal or in_turn, on_cancel, allow

    def demand(self, demands):
        return super().demand(demands) if self.allow is None else self.allow(demands)

    def dispatch(self, events, demands):
        return self.deal(events, demands)

    def cancel(self, subscription):
        if self.on_cancel is not None:
            self.on_cancel(subscription)


def in_turn(events, demands):
    """Serve the consumers in the order of `demands`."""
    shares, at = [], 0
    for subscription, pending in demands.items():
        n = min(pending, len(events) - at)
        if n:
            shares.append((subscription, slice(at, at + n)))
        at += n
    return at, shares


# -- the run queue and the queues of inputs hold no references ---------------------------------------


def test_a_start_that_fails_after_its_stage_got_ready_leaves_the_run_queue():
    rt = ff.Runtime()
    over, live = rt.start(ff.Range(3)), rt.start(Push())
    rt.start(ff.Sum(), subscribe_to=[over])
    settle(rt)
    assert not over.alive

    with pytest.raises(ff.DemandError):
        # The end of `over` makes it ready; then the second subscription is refused.
        rt.start(Hand(), subscribe_to=[over, (live, dict(max_demand=0))])
    gc.collect()

    settle(rt)
    assert live.alive


def test_a_stage_that_finishes_in_a_setup_that_fails_leaves_the_run_queue():
    class Early(ff.Producer):
        dtype = "int64"
        state = ("missing",)

        def setup(self):
            self.finish()

        def handle_demand(self, demand):
            return None

    rt = ff.Runtime()

    with pytest.raises(ff.FastflowError, match="missing"):
        rt.start(Early())
    gc.collect()

    settle(rt)


def test_a_dispatcher_that_ends_its_stage_when_a_consumer_leaves_keeps_nothing_of_that_consumer():
    hub = Hub(Dealing(on_cancel=lambda subscription: hub.ref.kill()))
    consumer, other = hub.rt.start(Hand()), hub.join()
    consumer.subscribe(hub.ref, cancel="temporary").cancel()
    gc.collect()

    consumer.subscribe(hub.ref, cancel="temporary")
    settle(hub.rt)

    assert not hub.ref.alive
    assert consumer.alive
    assert hub.rt.subscriptions() == []
    assert other.edge.closed


def test_a_dispatcher_whose_cancel_raises_fails_its_stage_and_no_consumer():
    def fail(subscription):
        raise ZeroDivisionError("cancel")

    hub = Hub(Dealing(on_cancel=fail))
    a, b = hub.join(ask=3), hub.join(ask=3)

    hub.leave(a)

    assert isinstance(failure(hub.ref), ZeroDivisionError)
    assert a.ref.alive and b.ref.alive
    assert a.edge.closed and b.edge.closed


# -- hashes --------------------------------------------------------------------------------------------


def test_a_hash_that_empties_its_list_takes_no_event_away():
    def hash_(batch):
        n = len(batch)
        batch.clear()
        return [0] * n

    hub = Hub(ff.PartitionDispatcher(2, hash=hash_), producer=Push(object))
    reader = hub.join(partition=0, ask=100)

    hub.push(*range(50))

    assert reader.seen == list(range(50))


def test_a_hash_that_emits_is_refused_and_nothing_leaks_into_the_next_turn():
    def hash_(batch):
        stage_of(hub.ref).emit([7])
        return np.zeros(len(batch), int)

    hub = Hub(ff.PartitionDispatcher(2, hash=hash_))
    reader = hub.join(partition=0, ask=100)

    hub.push(1, 2)

    assert "hash" in text_of(failure(hub.ref))
    assert reader.seen == []


def test_a_hash_that_changes_its_batch_in_place_changes_no_event():
    def hash_(batch):
        n = len(batch)
        batch.shape = (1, n)
        return np.zeros(n, int)

    hub = Hub(ff.PartitionDispatcher(2, hash=hash_))
    reader = hub.join(partition=0, ask=100)

    hub.push(1, 2, 3)
    hub.push(4)

    assert reader.seen == [1, 2, 3, 4]


# -- dispatchers in Python -------------------------------------------------------------------------------


def test_a_dispatcher_may_count_down_in_the_demands_that_it_is_given():
    def deal(events, demands):
        taken, shares = in_turn(events, demands)
        for subscription in demands:
            demands[subscription] = 0
        return taken, shares

    hub = Hub(Dealing(deal))
    reader = hub.join(ask=5)

    hub.push(1, 2, 3)

    assert reader.seen == [1, 2, 3]


def test_a_dispatcher_that_raises_the_demands_it_is_given_gives_nobody_more_than_was_asked_for():
    def deal(events, demands):
        subscription = next(iter(demands))
        demands[subscription] = 10**6
        return len(events), [(subscription, slice(None))]

    hub = Hub(Dealing(deal))
    reader = hub.join(capacity=5, ask=5)

    hub.push(*range(50))

    assert "at most the 5" in text_of(failure(hub.ref))
    assert reader.counters == (5, 0, 0)


def test_a_share_of_columns_counts_its_events_and_not_its_columns():
    def deal(events, demands):
        return len(events), [(next(iter(demands)), {"a": np.arange(100), "b": np.arange(100.0)})]

    hub = Hub(Dealing(deal), producer=Push([("a", "i8"), ("b", "f8")]))
    reader = hub.join(capacity=5, ask=5)

    hub.ref.cast(lambda stage: {"a": np.arange(3), "b": np.arange(3.0)})
    settle(hub.rt)

    assert "got 100 events" in text_of(failure(hub.ref))
    assert reader.counters == (5, 0, 0)


@pytest.mark.parametrize("dtype", ["int64", object], ids=["numbers", "objects"])
def test_a_dispatcher_that_makes_its_batch_longer_takes_no_more_than_waits(dtype):
    def deal(events, demands):
        if isinstance(events, list):
            events.extend([9] * 10)
        else:
            events.dtype = "int8"
        return len(events), []

    hub = Hub(Dealing(deal), producer=Push(dtype))
    hub.join(ask=5)

    hub.push(1, 2, 3)

    assert "expected 0 to 3" in text_of(failure(hub.ref))


def test_a_dispatcher_that_empties_its_list_takes_no_event_away():
    def deal(events, demands):
        shares = [(subscription, events[:n]) for subscription, n in demands.items()]
        taken = len(shares[0][1])
        events.clear()
        return taken, shares[:1]

    hub = Hub(Dealing(deal), producer=Push(object))
    reader = hub.join(ask=2)

    hub.push("a", "b", "c")
    assert hub.waiting == 1
    hub.ask((reader, 5))

    assert reader.seen == ["a", "b", "c"]


def test_a_dispatcher_that_cancels_its_taker_loses_nothing():
    cancelled = []

    def deal(events, demands):
        first = next(iter(demands))
        if not cancelled:
            cancelled.append(first)
            first.cancel("in dispatch")
        return in_turn(events, demands)

    hub = Hub(Dealing(deal))
    a, b = hub.join(ask=2), hub.join(ask=7)

    hub.push(1, 2, 3, 4)

    assert a.edge.closed
    assert sorted(a.seen + b.seen) == [1, 2, 3, 4]
    assert statistics(hub.ref)["asked"] == 7 - len(b.seen)


def test_a_dispatcher_that_gives_back_what_others_hold_takes_what_it_was_shown():
    """The cancelled consumer's events come back to the front of the buffer that is being dealt out."""
    victims = []

    def deal(events, demands):
        if victims:
            victims.pop().edge.cancel("in dispatch")
        return in_turn(events, demands)

    hub = Hub(Dealing(deal))
    a, b = hub.join(ask=3), hub.join()
    hub.freeze(a)
    hub.push(1, 2, 3)
    victims.append(a)
    hub.ask((b, 10))

    hub.push(4, 5)

    assert sorted(b.seen) == [1, 2, 3, 4, 5]
    assert hub.waiting == 0


def test_a_dispatcher_may_start_and_subscribe_a_consumer_while_it_deals():
    started = []

    def deal(events, demands):
        if not started:
            started.append(hub.rt.start(Auto(), subscribe_to=[(hub.ref, dict(cancel="temporary"))]))
        return in_turn(events, demands)

    class Auto(ff.Consumer):
        def handle_events(self, events, source):
            pass

    hub = Hub(Dealing(deal))
    reader = hub.join(ask=2)

    hub.push(1, 2, 3, 4)

    assert reader.seen == [1, 2]
    assert hub.waiting == 0


def test_demands_stay_in_the_order_in_which_consumers_joined():
    seen = []

    def deal(events, demands):
        seen.append([subscription.tag for subscription in demands])
        return 0, []

    hub = Hub(Dealing(deal))
    for _ in range(5):
        hub.join(ask=1)
    hub.leave(hub.readers[0])
    hub.leave(hub.readers[3])
    hub.join(ask=1)

    hub.push(1)

    assert seen == [[1, 2, 4, 5]]


def test_a_dispatcher_that_cancels_whom_it_hears_of_harms_nobody_else():
    class Choosy(Dealing):
        def subscribe(self, subscription, options):
            if subscription.tag == "unwanted":
                subscription.cancel()

    hub = Hub(Choosy())
    a = hub.join(ask=5)
    unwanted = hub.rt.start(Hand())

    with pytest.raises(ff.Closed, match="cancelled by the dispatcher"):
        unwanted.subscribe(hub.ref, tag="unwanted", cancel="temporary")
    hub.push(1, 2)

    assert a.seen == [1, 2]
    assert not a.edge.closed
    assert unwanted.alive


def test_a_dispatcher_that_stops_whom_it_hears_of_leaves_no_demand_behind():
    class Choosy(Dealing):
        def subscribe(self, subscription, options):
            if subscription.tag == "unwanted":
                subscription.consumer.kill()

    hub = Hub(Choosy())
    unwanted = hub.rt.start(ff.Sum())

    with pytest.raises(ff.Closed):
        unwanted.subscribe(hub.ref, tag="unwanted", cancel="temporary")
    hub.push(1, 2)

    assert hub.waiting == 2
    assert statistics(hub.ref)["asked"] == 0


def test_what_a_dispatcher_asks_for_when_it_hears_of_a_consumer_counts():
    class Asking(Dealing):
        def subscribe(self, subscription, options):
            subscription.ask(4)

    hub = Hub(Asking())
    reader = hub.join(capacity=4)

    hub.push(1, 2, 3, 4, 5)

    assert reader.seen == [1, 2, 3, 4]
    assert statistics(hub.ref)["asked"] == 0


# -- broadcasts ------------------------------------------------------------------------------------------


def test_a_batch_that_conflates_during_a_delivery_leaves_that_delivery_alone():
    class Telling(Push):
        def handle_cancel(self, reason, subscription):
            return np.arange(100, 105)

    class Provoking(ff.Consumer):
        def __init__(self):
            self.seen = []

        def handle_events(self, events, source):
            self.seen.append(events.tolist())
            if len(self.seen) == 1:
                other.edge.resubscribe()

    hub = Hub(ff.BroadcastDispatcher(), producer=Telling())
    other = hub.join(lag="drop")
    consumer = hub.rt.start(Provoking())
    edge = consumer.subscribe(hub.ref, lag="conflate", max_demand=8, cancel="temporary")
    settle(hub.rt)

    hub.push(1, 2, 3)

    assert sum(stage_of(consumer).seen, []) == [1, 2, 3, 100, 101, 102, 103, 104]
    assert statistics(edge) | {"asked": 0} == {"asked": 0, "sent": 8, "acked": 8, "buffered": 0, "discarded": 0}


def test_a_stream_that_conflates_never_acknowledges_more_than_was_sent():
    rt = ff.Runtime()
    hub = rt.start(Push(), dispatcher="broadcast")
    batches = ff.stream([(hub, dict(lag="conflate", max_demand=8, min_demand=4))])
    hub.cast([0])
    assert next(batches).tolist() == [0]
    (edge,) = rt.subscriptions()

    # The loop has a batch in hand, and its stage takes no turn.
    hub.cast([1, 2])
    hub.cast([3, 4, 5])
    settle(rt)
    _, sent, acked = edge.counters
    assert acked < sent
    assert next(batches).tolist() == [3, 4, 5]
    _, sent, acked = edge.counters
    batches.close()

    assert sent - acked == 3
    assert edge.statistics()["discarded"] == 2
    assert edge.statistics()["acked"] == edge.statistics()["sent"]


def test_a_selector_that_wants_all_gives_a_writable_consumer_its_own_copy():
    class Writing(ff.Consumer):
        def __init__(self):
            self.seen = []

        def handle_events(self, events, source):
            events += 1
            self.seen += events.tolist()

    hub = Hub(ff.BroadcastDispatcher())
    other = hub.join(ask=100)
    writer = hub.rt.start(Writing())
    writer.subscribe(hub.ref, writable=True, selector=lambda batch: batch >= 0)
    settle(hub.rt)

    hub.push(1, 2, 3)

    assert stage_of(writer).seen == [2, 3, 4]
    assert other.seen == [1, 2, 3]


# -- subscriptions in callbacks --------------------------------------------------------------------------


def test_resubscribing_in_the_delivery_is_refused_and_doubles_nothing():
    refused = []

    class Again(ff.Consumer):
        def __init__(self):
            self.seen = []

        def handle_events(self, events, source):
            self.seen += events.tolist()
            if len(self.seen) == 4:
                try:
                    source.resubscribe(max_demand=16)
                except ff.CallbackError as error:
                    refused.append(str(error))

        def result(self):
            return self.seen

    rt = ff.Runtime()
    numbers = rt.start(ff.Range(20))
    again = rt.start(Again(), name="again", subscribe_to=[(numbers, dict(max_demand=8))])
    seen = stage_of(again).seen
    rt.run()

    assert seen == list(range(20))
    assert len(refused) == 1 and "resubscribe" in refused[0]


def test_resubscribing_in_handle_cancel_goes_on_where_it_was():
    class Again(ff.Consumer):
        def __init__(self):
            self.seen = []

        def handle_events(self, events, source):
            self.seen += events.tolist()

        def handle_cancel(self, reason, subscription):
            if reason == "once more":
                subscription.resubscribe(max_demand=16, cancel="temporary")

    hub = Hub()
    again = hub.rt.start(Again())
    old = again.subscribe(hub.ref, max_demand=8, cancel="temporary")
    hub.push(1, 2)
    old.cancel("once more")
    hub.push(3, 4)

    assert stage_of(again).seen == [1, 2, 3, 4]
    assert hub.ref.alive


def test_resubscribing_to_a_partition_that_is_taken_leaves_the_old_subscription():
    hub = Hub(ff.PartitionDispatcher(2, hash=lambda batch: batch % 2))
    a, b = hub.join(partition=0, ask=10), hub.join(partition=1, ask=10)

    with pytest.raises(ff.GraphError, match="partition"):
        a.edge.resubscribe(partition=1)
    hub.push(0, 1, 2, 3)

    assert not a.edge.closed
    assert (a.seen, b.seen) == ([0, 2], [1, 3])


def test_a_subscription_that_is_refused_behind_a_delivery_ends_its_stage_and_not_the_runtime():
    class Refusing(ff.Consumer):
        def handle_events(self, events, source):
            hub.rt.find(refusing).subscribe(more)

        def handle_subscribe(self, role, options, subscription):
            if subscription.producer is more:
                raise ZeroDivisionError("no more")
            return "automatic"

    hub = Hub()
    more = hub.rt.start(Push())
    refusing = hub.rt.start(Refusing())
    refusing.subscribe(hub.ref)

    hub.push(1)

    assert isinstance(failure(refusing), ZeroDivisionError)
    assert hub.ref.alive and more.alive


def test_a_producer_hears_behind_its_turn_that_a_start_in_it_has_failed():
    class Starting(Push):
        def __init__(self):
            super().__init__()
            self.turns = []

        def handle_info(self, message):
            self.emit([1])
            with pytest.raises(ff.DemandError):
                hub.rt.start(Hand(), subscribe_to=[hub.ref, (hub.ref, dict(max_demand=0))])
            self.turns.append(len(self.cancelled))
            self.emit([2])

    hub = Hub(producer=Starting())
    reader = hub.join(ask=10)

    hub.ref.info("start")
    settle(hub.rt)

    assert hub.ref.alive
    assert reader.seen == [1, 2]
    assert hub.stage.turns == [0]
    assert len(hub.stage.cancelled) == 1


def test_a_stage_that_is_stopped_from_within_its_delivery_ends_behind_it():
    """By way of another stage's turn in that delivery, whose own effects leave when it commits."""

    class Stopping(Push):
        def handle_subscribe(self, role, options, subscription):
            if subscription.tag == "stop":
                refs[0].stop()
            return "automatic"

    class Joining(ff.Consumer):
        def __init__(self):
            self.seen = []

        def handle_events(self, events, source):
            if not self.seen:
                hub.rt.start(Hand(), subscribe_to=[(hub.ref, dict(tag="stop", cancel="temporary"))])
            self.seen += events.tolist()

    hub = Hub(producer=Stopping())
    refs = [hub.rt.start(Joining())]
    refs[0].subscribe(hub.ref, cancel="temporary", max_demand=4)
    joining = stage_of(refs[0])
    other = hub.join()

    hub.push(1, 2, 3, 4)
    hub.ask((other, 10))

    assert not refs[0].alive
    assert joining.seen + other.seen == [1, 2, 3, 4]


def test_a_consumer_that_is_started_in_a_turn_that_is_put_off_gets_its_events():
    class Asking(ff.Consumer):
        def __init__(self):
            self.seen = []

        def handle_events(self, events, source):
            self.seen += events.tolist()

    class Starting(Push):
        def handle_info(self, message):
            if not started:
                started.append(hub.rt.start(Asking(), subscribe_to=[(hub.ref, dict(cancel="temporary"))]))
                raise ff.Retry(after=1.0)

    started = []
    hub = Hub(producer=Starting())

    hub.ref.info("start")
    settle(hub.rt)
    hub.clock.advance(1.0)
    hub.push(1, 2, 3)

    assert stage_of(started[0]).seen == [1, 2, 3]


# -- demand ------------------------------------------------------------------------------------------------


def test_a_producer_that_holds_itself_back_in_its_turn_sends_nothing_of_that_turn():
    class Holding(ff.Producer):
        dtype = "int64"

        def handle_demand(self, demand):
            out = self.claim(3)
            out[:] = 7
            ref.hold()
            return out

    rt = ff.Runtime()
    ref = rt.start(Holding())
    consumer = rt.start(Hand())
    consumer.subscribe(ref).ask(3)
    settle(rt)

    assert stage_of(consumer).batches == []
    assert ref.estimate_buffered_count() == 3
    ref.release()
    settle(rt)
    assert stage_of(consumer).batches == [[7, 7, 7]]


def test_a_native_producer_shuffles_too():
    orders = set()
    for seed in range(12):
        rt = ff.Runtime(seed=seed)
        numbers = rt.start(ff.Range(4), dispatcher=ff.DemandDispatcher(shuffle=True))
        batches = [[] for _ in range(4)]
        with_asks = [rt.start(Hand(seen)).subscribe(numbers, max_demand=1, cancel="temporary") for seen in batches]
        for edge in with_asks:
            edge.ask(1)
        settle(rt)
        orders.add(str(batches))

    assert len(orders) > 3


def test_events_that_wait_for_a_partition_are_told_of_at_the_end(caplog):
    rt = ff.Runtime()
    numbers = rt.start(Push(), name="numbers", dispatcher=ff.PartitionDispatcher(2, hash=lambda batch: batch % 2))
    numbers.cast([1, 3, 5])

    rt.run()

    assert any("'numbers': 3 events are left" in record.getMessage() for record in caplog.records)


# -- several threads -----------------------------------------------------------------------------------------


def test_a_run_goes_on_after_another_thread_has_paused_it():
    held = threading.Event()

    class Pausing(ff.Producer):
        dtype = "int64"

        def __init__(self):
            self.next = 0

        def handle_demand(self, demand):
            if self.next == 1:
                # What `paused()` of another thread does, at a moment that is known.
                rt.scheduler.post(rt.scheduler.hold_turns, 1)
                rt.scheduler.post(held.set)
            self.next += 1
            if self.next == 100:
                self.finish()
            return [self.next]

    def release():
        assert held.wait(DEADLINE)
        rt.execute(rt.scheduler.hold_turns, -1)

    rt = ff.Runtime()
    rt.start(ff.Sum(), name="total", subscribe_to=[rt.start(Pausing())])
    other = threading.Thread(target=release)
    other.start()

    results = rt.run(timeout=DEADLINE)

    other.join(DEADLINE)
    assert results == {"total": 5050}


@pytest.mark.parametrize("what", ["execute", "call", "sync_info", "cast"])
def test_mail_to_a_driver_that_has_just_left_is_handled_all_the_same(what):
    """Between the look at who drives and the mail, the driver leaves."""

    class Late:
        """A scheduler whose mail from one thread waits until the driver has gone."""

        def __init__(self, scheduler):
            self.scheduler = scheduler

        def __getattr__(self, name):
            return getattr(self.scheduler, name)

        def post(self, function, *args):
            if threading.current_thread() is other:
                posting.set()
                assert gone.wait(DEADLINE)
            self.scheduler.post(function, *args)

    class Echo(ff.Consumer):
        def handle_call(self, request, reply):
            return request

    def say():
        try:
            results.append({
                "execute": lambda: rt.execute(int, "42"),
                "call": lambda: echo.call(42, timeout=DEADLINE),
                "sync_info": lambda: echo.sync_info(42, timeout=DEADLINE),
                "cast": lambda: echo.cast(42),
            }[what]())
        except ff.Closed as error:
            results.append(type(error))

    posting, gone, results = threading.Event(), threading.Event(), []
    rt = ff.Runtime()
    echo = rt.start(Echo())
    rt.scheduler = Late(rt.scheduler)
    other = threading.Thread(target=say, daemon=True)
    with rt:
        other.start()
        assert posting.wait(DEADLINE)
    gone.set()
    other.join(DEADLINE)

    assert results == [{"execute": 42, "call": ff.Closed, "sync_info": None, "cast": None}[what]]
    assert not rt.scheduler.mailbox
    assert not rt.driven
