"""Dispatchers of one's own: GenStage 152, and the protocol of `ff.Dispatcher`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_dispatch import Count, Hand, Hub, Push, RoundRobin, failure, statistics, text_of

import fastflow as ff
from fastflow.testing import settle


class Parts(ff.Dispatcher):
    """Gives all to the first subscriber, as the part that `make(events)` is."""

    def __init__(self, make):
        self.make = make

    def dispatch(self, events, demands):
        for subscription, pending in demands.items():
            if pending >= len(events):
                return len(events), [(subscription, self.make(events))]
        return 0, []


class Answers(ff.Dispatcher):
    """Answers dispatch with ``answer(events, demands)`` when the events have a 5 among them."""

    def __init__(self, answer):
        self.answer = answer

    def dispatch(self, events, demands):
        if 5 in events:
            return self.answer(events, demands)
        subscription = next(iter(demands))
        return len(events), [(subscription, slice(None))]


def test_a_dispatcher_of_ones_own_decides_who_gets_what():
    """GenStage 152. A subclass of ff.Dispatcher, with arguments of its own."""
    hub = Hub(RoundRobin())
    a, b, c = hub.join(ask=3), hub.join(ask=1), hub.join(ask=9)

    hub.push(*range(10))

    assert a.seen == [0, 3, 5]
    assert b.seen == [1]
    assert c.seen == [2, 4, 6, 7, 8, 9]


def test_it_works_with_consumers_that_ask_by_themselves():
    """GenStage 152."""
    hub = Hub(RoundRobin(), Count(1000))
    readers = [hub.automatic(10, cancel="auto") for _ in range(3)]
    settle(hub.rt)

    seen = [reader.seen for reader in readers]
    assert sorted(sum(seen, [])) == list(range(1000))
    assert all(events == sorted(events) for events in seen)
    assert not any(reader.ref.alive for reader in readers)


def test_it_may_be_an_attribute_of_the_class():
    """GenStage 152. Each stage has a copy of its own, in which start() was called."""

    class Robin(Push):
        dispatcher = RoundRobin()

    first, second = Hub(producer=Robin()), Hub(producer=Robin())
    left = [first.join(ask=2), first.join(ask=2)]
    right = [second.join(ask=2), second.join(ask=2)]

    first.push(1)
    second.push(1, 2)
    first.push(2)

    assert [reader.seen for reader in left] == [[1], [2]]
    assert [reader.seen for reader in right] == [[1], [2]]


def test_subscription_options_reach_the_dispatcher_that_names_them():
    """GenStage 152 and 70."""

    class Weighted(RoundRobin):
        options = ("weight", "colour")

        def subscribe(self, subscription, options):
            got.append((subscription.tag, options))
            super().subscribe(subscription, options)

    got = []
    hub = Hub(Weighted())
    hub.join(weight=3)
    hub.join(colour="red", weight=None)
    hub.join()

    assert [tag for tag, _ in got] == [0, 1, 2]
    assert got[0][1]["weight"] == 3
    assert got[1][1]["colour"] == "red" and got[1][1]["weight"] is None
    assert "weight" not in got[2][1]


def test_an_option_that_it_does_not_name_is_refused_with_the_nearest():
    """GenStage 152. Before the dispatcher hears of the subscriber."""

    class Weighted(RoundRobin):
        options = ("weight",)

    hub = Hub(Weighted())
    with pytest.raises(ff.OptionError, match="'weight'") as caught:
        hub.join(wieght=3)
    assert "wieght" in str(caught.value)
    with pytest.raises(ff.OptionError, match="max_demand"):
        hub.join(max_demnad=3)

    hub.push(1)
    assert hub.join(ask=1).seen == [1]


@pytest.mark.parametrize(
    "make",
    [
        lambda events: slice(None),
        lambda events: slice(0, len(events)),
        lambda events: np.arange(len(events)),
        lambda events: np.ones(len(events), bool),
        lambda events: events,                          # of int64 it would be indices
    ],
    ids=["all", "slice", "indices", "mask", "batch"],
)
@pytest.mark.parametrize("kind", ["float64", object], ids=str)
def test_a_part_may_be_a_slice_indices_a_mask_or_a_batch(make, kind):
    """GenStage 152. Of arrays and of lists."""
    hub = Hub(Parts(make), Push(kind))
    reader = hub.join(ask=10)

    hub.push(1, 2, 3)

    assert reader.seen == [1, 2, 3]
    assert hub.waiting == 0


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda events: slice(None, None, -1), [3, 2, 1]),
        (lambda events: slice(1, None, 2), [2]),
        (lambda events: np.array([2, 2, 0]), [3, 3, 1]),
        (lambda events: np.array([-1]), [3]),
        (lambda events: events > 1, [2, 3]),
        (lambda events: events * 10, [10, 20, 30]),
        (lambda events: np.array([7]), None),
    ],
    ids=["backwards", "every second", "twice", "from the end", "mask", "made", "out of bounds"],
)
def test_a_part_is_what_numpy_would_take(make, expected):
    """GenStage 152. Events that nobody got are discarded, and an index beyond them is an error."""
    hub = Hub(Parts(make), Push("float64"))
    reader = hub.join(ask=10)

    hub.push(1, 2, 3)

    if expected is None:
        assert "7" in text_of(failure(hub.ref))
        assert reader.seen == []
    else:
        assert reader.seen == expected
        assert hub.waiting == 0


def test_columns_are_cut_like_arrays():
    """GenStage 152."""

    class Prices(Push):
        def handle_cast(self, request):
            return ff.Batch(price=np.array(request, "f8"), qty=np.arange(len(request)))

    class Keeps(Hand):
        def handle_events(self, events, source):
            self.batches.append((events["price"].tolist(), events["qty"].tolist()))

    rt, batches = ff.Runtime(), []
    dispatcher = Parts(lambda events: events["price"] > 1.5)
    hub = rt.start(Prices([("price", "f8"), ("qty", "i8")]), dispatcher=dispatcher)
    rt.start(Keeps(batches)).subscribe(hub).ask(10)
    hub.cast([1, 2, 3])
    settle(rt)

    assert batches == [([2.0, 3.0], [1, 2])]


def test_demand_says_how_much_the_producer_is_asked_for():
    """GenStage 152. The default is the sum; here the least."""

    class Least(Answers):
        def demand(self, demands):
            return min(demands.values(), default=0)

    plain, least = Hub(RoundRobin()), Hub(Least(None))
    for hub in (plain, least):
        hub.join(ask=3)
        hub.join(ask=5)

    assert plain.demands[-1] == 8
    assert statistics(plain.ref)["asked"] == 8
    assert least.demands[-1] == 3
    assert statistics(least.ref)["asked"] == 3


def test_nobody_is_given_more_than_it_asked_and_the_rest_waits():
    """GenStage 152."""
    hub = Hub(RoundRobin())
    a, b = hub.join(ask=1), hub.join(ask=1)

    hub.push(*range(5))
    assert (a.seen, b.seen, hub.waiting) == ([0], [1], 3)
    hub.ask((b, 1), (a, 5))

    assert (a.seen, b.seen, hub.waiting) == ([0, 3, 4], [1, 2], 0)


@pytest.mark.parametrize(
    ("answer", "error", "word"),
    [
        (lambda events, demands: 1 // 0, ZeroDivisionError, "dispatch"),
        (lambda events, demands: None, ff.CallbackError, "None"),
        (lambda events, demands: (1, 2, 3), ff.CallbackError, "dispatch"),
        (lambda events, demands: (3, []), ff.CallbackError, "3"),
        (lambda events, demands: (-1, []), ff.CallbackError, "-1"),
        (lambda events, demands: (True, []), ff.CallbackError, "True"),
        (lambda events, demands: (1.0, []), ff.CallbackError, "1.0"),
        (lambda events, demands: (2, None), ff.CallbackError, "None"),
        (lambda events, demands: (2, [("nobody", slice(None))]), ff.CallbackError, "nobody"),
        (lambda events, demands: (2, [(list(demands)[1], slice(None))]), ff.CallbackError, "1"),
        (lambda events, demands: (2, [(next(iter(demands)), "all")]), ff.FastflowError, "all"),
        (lambda events, demands: (2, [(next(iter(demands)), np.array([0.5]))]), ff.FastflowError, "float"),
        (lambda events, demands: (2, [(next(iter(demands)), np.array([True]))]), ff.CallbackError, "1"),
    ],
    ids=[
        "raises", "None", "a triple", "more than there are", "negative", "a bool", "a float",
        "no list of shares", "an unknown subscription", "more than asked", "a text for a part",
        "indices of float", "a mask of another length",
    ],
)
def test_an_answer_that_cannot_be_is_the_producers_error_and_nothing_is_lost(answer, error, word):
    """GenStage 152 and 118. What was sent before is delivered, and the rest is accounted for."""
    hub = Hub(Answers(answer))
    first, second = hub.join(ask=9), hub.join(ask=1)
    hub.push(1, 2)

    hub.push(4, 5)

    found = failure(hub.ref)
    assert isinstance(found, error)
    assert word in text_of(found)
    assert "'hub'" in text_of(found)
    assert "dispatch" in text_of(found)
    assert first.seen == [1, 2]
    assert second.seen == []
    assert statistics(hub.ref)["emitted"] == 2 + hub.waiting
    assert statistics(hub.ref)["discarded"] == 0


@pytest.mark.parametrize("answer", [-1, 1.5, True, None, "3"], ids=str)
def test_a_demand_that_cannot_be_is_the_producers_error(answer):
    """GenStage 152."""

    class Wrong(RoundRobin):
        def demand(self, demands):
            return answer if demands and max(demands.values()) > 1 else 0

    hub = Hub(Wrong())
    reader = hub.join(ask=1)

    hub.ask((reader, 5))

    error = failure(hub.ref)
    assert isinstance(error, ff.FastflowError)
    assert "demand" in text_of(error)
    assert repr(answer) in text_of(error)
    assert reader.ref.alive


def test_a_cancel_that_raises_is_the_producers_error():
    """GenStage 152."""

    class Wrong(RoundRobin):
        def cancel(self, subscription):
            raise LookupError("never heard of it")

    hub = Hub(Wrong())
    goes, stays = hub.join(ask=1), hub.join(ask=1)

    hub.leave(goes)

    assert isinstance(failure(hub.ref), LookupError)
    assert goes.ref.alive and stays.ref.alive


def test_what_a_consumer_that_left_did_not_handle_is_dispatched_again():
    """GenStage 152. As with the demand dispatcher: to the front."""
    hub = Hub(RoundRobin())
    goes = hub.join(ask=3)
    hub.freeze(goes)
    hub.push(1, 2, 3, 4)

    hub.leave(goes)
    assert hub.waiting == 4

    assert hub.join(ask=9).seen == [1, 2, 3, 4]


def test_a_dispatcher_may_send_one_event_to_several():
    """GenStage 152. A broadcast of one's own."""

    class Everyone(ff.Dispatcher):
        def demand(self, demands):
            return min(demands.values(), default=0)

        def dispatch(self, events, demands):
            n = min(len(events), self.demand(demands))
            return n, [(subscription, slice(n)) for subscription in demands] if n else []

    hub = Hub(Everyone())
    a, b = hub.join(ask=2), hub.join(ask=5)

    hub.push(1, 2, 3)
    assert a.seen == b.seen == [1, 2]
    hub.ask((a, 1))

    assert a.seen == b.seen == [1, 2, 3]


def test_a_dispatcher_without_a_decision_is_refused():
    """GenStage 152. `dispatch` is the one method that must be written."""
    with pytest.raises((TypeError, ff.CallbackError, NotImplementedError)) as caught:
        hub = Hub(ff.Dispatcher())
        hub.join(ask=1)
        hub.push(1)
        raise failure(hub.ref)

    assert "dispatch" in text_of(caught.value)
