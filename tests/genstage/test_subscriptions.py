"""Subscriptions, and how they end: GenStage 66 to 90."""

from __future__ import annotations

import contextlib
import logging

import numpy as np
import pytest
from helpers_demand import Counter, Hand, Push, Record
from helpers_stage import Log

import fastflow as ff
from fastflow.errors import Closed, FastflowError, GraphError, OptionError
from fastflow.testing import Recorder, settle, stage_of, step

MODES = ["auto", "permanent", "transient", "temporary"]


class Source(Push):
    """Told "finish" or "fail", it does; of its subscriptions it writes down what it hears."""

    def __init__(self, log=None):
        self.demands, self.log = [], [] if log is None else log

    def handle_subscribe(self, role, options, subscription):
        self.log.append(("source", "subscribe", role, subscription.tag))
        return "automatic"

    def handle_cancel(self, reason, subscription):
        self.log.append(("source", "cancel", reason, subscription.tag))

    def handle_demand(self, demand):
        self.demands.append(demand)
        self.log.append(("source", "demand", demand))

    def handle_info(self, message):
        if message == "finish":
            self.finish()
        if message == "fail":
            raise LookupError("on purpose")


def end(rt, source, how):
    """End it in one of the ways there are; returns the reason."""
    if how == "stop":
        source.stop()
    elif how == "kill":
        source.kill()
    else:
        source.info(how)
    settle(rt)
    return source.join()


# -- how to subscribe -----------------------------------------------------------------------------


def test_subscribe_returns_the_subscription_when_both_have_heard_of_it():
    """GenStage 66. The consumer's handle_subscribe runs inside the call."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source(log)), rt.start(Log(log))

    subscription = consumer.subscribe(source, tag="a", max_demand=5)
    settle(rt)

    assert ("subscribe", "producer", "a") in log
    assert ("source", "subscribe", "consumer", "a") in log
    assert log.index(("subscribe", "producer", "a")) < log.index(("source", "demand", 5))
    assert (subscription.producer, subscription.consumer, subscription.tag) == (source, consumer, "a")
    assert not subscription.closed
    assert rt.subscriptions() == [subscription]


def test_subscribe_needs_no_turn():
    """GenStage 66. Where nobody drives, it is done when the call returns."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source()), rt.start(Log(log))

    subscription = consumer.subscribe(source, max_demand=5)

    assert log == ["setup", ("subscribe", "producer", None)]
    assert subscription.statistics()["asked"] == 5


def test_options_reach_handle_subscribe():
    """GenStage 66. Those that were given, on both sides."""
    seen = []

    class Looks(Hand):
        def handle_subscribe(self, role, options, subscription):
            seen.append((role, options["max_demand"], options["min_demand"]))
            return "manual"

    class Gives(Push):
        handle_subscribe = Looks.handle_subscribe

    rt = ff.Runtime()
    rt.start(Looks()).subscribe(rt.start(Gives()), max_demand=9, min_demand=4)
    settle(rt)

    assert sorted(seen) == [("consumer", 9, 4), ("producer", 9, 4)]


@pytest.mark.parametrize("way", ["subscribe", "async_subscribe"])
def test_whom_to_subscribe_to_must_be_said(way):
    """GenStage 67."""
    rt = ff.Runtime()
    hand = rt.start(Hand())

    with pytest.raises(TypeError, match="'to'"):
        getattr(hand, way)(max_demand=5)

    assert hand.alive


@pytest.mark.parametrize("to", [None, 42, Push(), ("push", {}), b"push"], ids=repr)
def test_what_is_neither_ref_nor_name_cannot_be_subscribed_to(to):
    """GenStage 67. The text says what was got."""
    rt = ff.Runtime()
    hand = rt.start(Hand())

    with pytest.raises((TypeError, ValueError), match=r"got .*expected"):
        hand.subscribe(to)

    assert hand.alive


def test_a_producer_cannot_subscribe():
    """GenStage 68. It lives on."""
    rt = ff.Runtime()
    push, other = rt.start(Push()), rt.start(Push())

    with pytest.raises(GraphError, match=r"Push-2.*(consumer|producer)"):
        other.subscribe(push)

    settle(rt)
    assert other.alive and push.alive
    assert rt.subscriptions() == []


def test_async_subscribe_always_returns_none():
    """GenStage 69. The subscription is there after a turn."""
    rt = ff.Runtime()
    counter, seen = rt.start(Counter(5)), rt.start(Recorder())

    assert seen.async_subscribe(counter, tag="a", max_demand=10) is None
    settle(rt)

    assert [batch.tolist() for batch in seen.result()] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("to", "options"),
    [("nobody", {}), ("push", dict(max_demand=0)), ("push", dict(max_demnad=1)), ("end", {})],
    ids=["unknown name", "no demand", "unknown option", "a consumer"],
)
@pytest.mark.parametrize("cancel", MODES)
def test_an_error_of_async_subscribe_is_logged_and_ends_the_consumer_as_its_mode_says(to, options, cancel, caplog):
    """GenStage 69. All modes but "temporary" end it, since nobody else would hear of it."""
    rt = ff.Runtime()
    rt.start(Push(), name="push")
    rt.start(Hand(), name="end")
    hand = rt.start(Hand(), name="hand")

    with caplog.at_level(logging.ERROR, "fastflow"):
        assert hand.async_subscribe(to, cancel=cancel, **options) is None
        settle(rt)

    assert "hand" in caplog.text and to in caplog.text
    assert hand.alive == (cancel == "temporary")
    if cancel != "temporary":
        assert isinstance(hand.join(), (FastflowError, KeyError))


def test_options_of_a_dispatcher_go_to_it():
    """GenStage 70. A dispatcher of your own says which it knows."""
    seen = []

    class Own(ff.Dispatcher):
        options = ("colour",)

        def subscribe(self, subscription, options):
            seen.append((subscription, options["colour"]))

        def cancel(self, subscription):
            seen.append((subscription, "cancel"))

        def dispatch(self, events, demands):
            (subscription,) = demands
            return len(events), [(subscription, slice(0, len(events)))]

    rt = ff.Runtime()
    push, hand = rt.start(Push(), dispatcher=Own()), rt.start(Hand())
    subscription = hand.subscribe(push, max_demand=10, cancel="temporary", colour="red")
    subscription.ask(2)
    push.cast([1, 2])
    settle(rt)
    subscription.cancel("cancel")
    settle(rt)

    assert seen == [(subscription, "red"), (subscription, "cancel")]
    assert stage_of(hand).seen == [1, 2]


def test_an_option_that_the_dispatcher_does_not_know_is_refused():
    """GenStage 70. Better: it names the nearest, among the general ones and the dispatcher's."""
    rt = ff.Runtime()
    push, hand = rt.start(Push(), dispatcher="broadcast"), rt.start(Hand())
    plain = rt.start(Push())

    with pytest.raises(OptionError, match=r"'slector'.*did you mean 'selector'"):
        hand.subscribe(push, slector=None)
    with pytest.raises(OptionError, match=r"'max_demnad'.*did you mean 'max_demand'"):
        hand.subscribe(push, max_demnad=1)
    with pytest.raises(OptionError, match=r"'selector'"):
        hand.subscribe(plain, selector=None)

    assert rt.subscriptions() == []


# -- cancel modes ---------------------------------------------------------------------------------

# What becomes of a consumer whose one producer ends so: None: it lives on.
FAILED, NORMAL, SHUTDOWN = "as the producer", "normal", "shutdown"
ENDS = {
    ("auto", "finish"): NORMAL,
    ("auto", "stop"): NORMAL,
    ("auto", "fail"): FAILED,
    ("auto", "kill"): FAILED,
    ("permanent", "finish"): NORMAL,
    ("permanent", "stop"): SHUTDOWN,
    ("permanent", "fail"): FAILED,
    ("permanent", "kill"): FAILED,
    ("transient", "finish"): None,
    ("transient", "stop"): None,
    ("transient", "fail"): FAILED,
    ("transient", "kill"): FAILED,
    ("temporary", "finish"): None,
    ("temporary", "stop"): None,
    ("temporary", "fail"): None,
    ("temporary", "kill"): None,
}


@pytest.mark.parametrize(("mode", "how"), ENDS)
def test_cancel_says_what_the_end_of_a_producer_means(mode, how):
    """GenStage 71. Better: "auto", the default, ends a consumer normally when its last producer did."""
    rt = ff.Runtime()
    source, hand = rt.start(Source()), rt.start(Hand())
    subscription = hand.subscribe(source, cancel=mode)
    settle(rt)

    reason = end(rt, source, how)

    expected = ENDS[mode, how]
    assert subscription.closed
    assert hand.alive == (expected is None)
    if expected is not None:
        assert hand.join() == (reason if expected == FAILED else expected)


def test_cancel_is_auto_by_default():
    """GenStage 71. So finite pipelines end by themselves, and failures go through them."""
    rt, log = ff.Runtime(), []
    one, two, consumer = rt.start(Source()), rt.start(Source()), rt.start(Log(log))
    consumer.subscribe(one)
    consumer.subscribe(two)

    end(rt, one, "finish")
    assert consumer.alive
    end(rt, two, "finish")

    assert consumer.join() == "normal"
    assert log[-2:] == ["end", ("terminate", "normal")]


@pytest.mark.parametrize("mode", ["always", None, True, "Permanent"], ids=repr)
def test_an_unknown_cancel_mode_is_refused(mode):
    """GenStage 71. The text lists the four."""
    rt = ff.Runtime()
    push, hand = rt.start(Push()), rt.start(Hand())

    with pytest.raises(OptionError, match=r"cancel.*got .*auto.*permanent.*transient.*temporary"):
        hand.subscribe(push, cancel=mode)


@pytest.mark.parametrize("mode", ["auto", "permanent", "transient"])
def test_a_consumer_ends_with_the_very_reason_of_its_producer(mode):
    """GenStage 72. The exception itself, not wrapped: and through any number of stages it is one failure."""
    rt = ff.Runtime()
    source = rt.start(Source())
    same = rt.start(ff.Map(lambda x: x), subscribe_to=[(source, dict(cancel=mode))])
    seen = rt.start(Recorder(), subscribe_to=[(same, dict(cancel=mode))])
    settle(rt)

    error = end(rt, source, "fail")

    assert isinstance(error, LookupError)
    assert seen.join() is same.join() is error
    rt.run()  # one failure, and it was fetched


@pytest.mark.parametrize("mode", MODES)
def test_a_second_subscription_that_a_broadcast_refuses_ends_nobody(mode):
    """GenStage 73 and 86. Whatever the mode: the call raises, and the first subscription stays."""
    rt = ff.Runtime()
    push, hand = rt.start(Push(), dispatcher="broadcast"), rt.start(Hand())
    first = hand.subscribe(push, max_demand=10, cancel=mode)
    first.ask(2)

    with pytest.raises(GraphError, match=r"Hand-1"):
        hand.subscribe(push, max_demand=10, cancel=mode)

    push.cast([1, 2])
    settle(rt)
    assert hand.alive and push.alive
    assert rt.subscriptions() == [first]
    assert stage_of(hand).seen == [1, 2]


# -- hearing of the end ---------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["cancel", "normal", "shutdown", ValueError("enough")], ids=repr)
def test_both_sides_hear_of_a_cancel_and_its_reason(reason):
    """GenStage 74. Once each, with the subscription."""
    rt, log = ff.Runtime(), []
    source = rt.start(Source(log))
    consumer = rt.start(Log(log))
    subscription = consumer.subscribe(source, tag="a", cancel="temporary")
    settle(rt)
    log.clear()

    subscription.cancel(reason)
    settle(rt)

    assert sorted(log, key=len) == [("cancel", reason, "a"), ("source", "cancel", reason, "a")]
    assert source.alive and consumer.alive


@pytest.mark.parametrize("how", ["finish", "stop", "fail", "kill"])
def test_a_consumer_hears_why_its_producer_ended(how):
    """GenStage 74. "normal", "shutdown", or what killed it."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source()), rt.start(Log(log))
    consumer.subscribe(source, tag="a", cancel="temporary")
    settle(rt)

    reason = end(rt, source, how)

    assert log[2:] == [("cancel", reason, "a")]
    assert consumer.alive


@pytest.mark.parametrize("how", ["stop", "fail", "kill"])
def test_a_producer_hears_why_its_consumer_ended(how):
    """GenStage 74. It lives on, whatever the reason."""

    class Ends(Hand):
        def handle_info(self, message):
            raise LookupError("on purpose")

    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source(log)), rt.start(Ends())
    consumer.subscribe(source, tag="a")
    settle(rt)

    reason = end(rt, consumer, how)

    assert log[-1] == ("source", "cancel", reason, "a")
    assert source.alive


@pytest.mark.parametrize("mode", ["auto", "permanent", "transient"])
def test_handle_cancel_runs_before_the_end_that_it_leads_to(mode):
    """GenStage 75."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source()), rt.start(Log(log))
    consumer.subscribe(source, cancel=mode)
    settle(rt)

    reason = end(rt, source, "fail")

    assert log[2:] == [("cancel", reason, None), ("terminate", reason)]


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_name_is_a_key_error(mode):
    """GenStage 76. Better: raised to whoever said the name; the consumer, unhurt, lives on."""
    rt = ff.Runtime()
    hand = rt.start(Hand())

    with pytest.raises(KeyError, match="nobody"):
        hand.subscribe("nobody", cancel=mode)

    assert hand.alive
    assert rt.subscriptions() == []


@pytest.mark.parametrize(("mode", "how"), ENDS)
def test_a_producer_that_has_ended_already_counts_as_one_that_ends_now(mode, how):
    """GenStage 76. Better: the reason is why it ended, so being late makes no difference."""
    rt, log = ff.Runtime(), []
    source = rt.start(Source())
    reason = end(rt, source, how)
    consumer = rt.start(Log(log))

    subscription = consumer.subscribe(source, cancel=mode)
    settle(rt)

    expected = ENDS[mode, how]
    assert subscription.closed
    assert ("cancel", reason, None) in log
    assert consumer.alive == (expected is None)
    if expected is not None:
        assert consumer.join() == (reason if expected == FAILED else expected)


def test_a_cancel_takes_effect_at_once_for_the_producer_and_then_for_the_consumer():
    """GenStage 77. What was not handled goes back to the producer, for others; then the mode is applied."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source(log)), rt.start(Log(log))
    subscription = consumer.subscribe(source, max_demand=4, min_demand=2, cancel="permanent")
    settle(rt)
    source.cast([1, 2, 3, 4])
    while subscription.statistics()["acked"] < 2:
        step(rt)
    log.clear()

    subscription.cancel("enough")
    settle(rt)

    assert subscription.closed
    assert [entry for entry in log if "cancel" in entry] == [
        ("source", "cancel", "enough", None),
        ("cancel", "enough", None),
    ]
    assert consumer.join() == "enough"
    assert source.estimate_buffered_count() == 2


def test_cancelling_again_does_nothing():
    """GenStage 77. The first reason stands."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source(log)), rt.start(Hand())
    subscription = consumer.subscribe(source, cancel="temporary")
    settle(rt)
    subscription.cancel("one")
    subscription.cancel("two")
    settle(rt)
    subscription.cancel("three")
    settle(rt)

    assert [entry[2] for entry in log if "cancel" in entry] == ["one"]


def test_handle_cancel_runs_before_the_demand_that_the_cancel_sets_free():
    """GenStage 78. The slowest reader of a broadcast leaves: then the others' demand is asked for."""
    rt, log = ff.Runtime(), []
    source, slow, quick = rt.start(Source(log), dispatcher="broadcast"), rt.start(Hand()), rt.start(Hand())
    waits = slow.subscribe(source, max_demand=10, cancel="temporary", tag="slow")
    quick.subscribe(source, max_demand=10, tag="quick").ask(7)
    settle(rt)
    log.clear()

    waits.cancel("enough")
    settle(rt)

    assert log == [("source", "cancel", "enough", "slow"), ("source", "demand", 7)]


# -- resubscribe ----------------------------------------------------------------------------------


def test_resubscribe_replaces_a_subscription_in_one_step():
    """GenStage 79. What it had not handled comes again by the new one; options not given are the old ones."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source(log)), rt.start(Log(log))
    old = consumer.subscribe(source, tag="a", max_demand=4, min_demand=2, cancel="temporary")
    settle(rt)
    source.cast([1, 2, 3, 4])
    while old.statistics()["acked"] < 2:
        step(rt)
    log.clear()

    new = old.resubscribe(max_demand=8)
    settle(rt)

    assert old.closed and not new.closed
    assert (new.producer, new.consumer, new.tag) == (source, consumer, "a")
    assert ("source", "cancel", "resubscribe", "a") in log
    assert ("cancel", "resubscribe", "a") in log
    assert [entry for entry in log if entry[0] == "events"] == [("events", [3, 4])]
    # min_demand is that of the old one, 2: after 2 events 6 are open, and it has not asked again.
    assert [new.statistics()[name] for name in ("asked", "sent", "acked")] == [8, 2, 2]
    assert rt.subscriptions() == [new]


def test_resubscribe_works_on_a_subscription_that_is_closed():
    """GenStage 79."""
    rt = ff.Runtime()
    source, hand = rt.start(Source()), rt.start(Hand())
    old = hand.subscribe(source, max_demand=10, cancel="temporary")
    old.cancel("cancel")
    settle(rt)

    new = old.resubscribe("once more")
    new.ask(2)
    source.cast([1, 2])
    settle(rt)

    assert old.closed and not new.closed
    assert stage_of(hand).seen == [1, 2]


@pytest.mark.parametrize("reason", ["resubscribe", "normal", ValueError("enough")], ids=repr)
@pytest.mark.parametrize("mode", MODES)
def test_resubscribe_never_ends_the_consumer(mode, reason):
    """GenStage 80. Better: whatever the cancel mode of the old one, and whatever the reason."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source()), rt.start(Log(log))
    old = consumer.subscribe(source, cancel=mode)
    settle(rt)

    new = old.resubscribe(reason)
    settle(rt)

    assert consumer.alive
    assert ("cancel", reason, None) in log and "end" not in log
    assert old.closed and not new.closed
    end(rt, source, "fail")
    assert consumer.alive == (mode == "temporary")


def test_a_resubscribe_that_is_refused_leaves_the_old_one():
    """GenStage 79. One step: all of it, or nothing."""
    rt = ff.Runtime()
    source, hand = rt.start(Source()), rt.start(Hand())
    old = hand.subscribe(source, max_demand=10)
    settle(rt)

    with pytest.raises((TypeError, ValueError), match="max_demand"):
        old.resubscribe(max_demand=0)

    settle(rt)
    assert not old.closed
    old.ask(1)
    source.cast([1])
    settle(rt)
    assert stage_of(hand).seen == [1]


# -- identity -------------------------------------------------------------------------------------


def test_a_tag_is_a_label_and_may_be_used_twice():
    """GenStage 81. Better: a subscription is an object, so a duplicate of it can't come about."""
    rt, log = ff.Runtime(), []
    source, consumer = rt.start(Source(log)), rt.start(Hand())
    one, two = (consumer.subscribe(source, tag="a", max_demand=10, cancel="temporary") for _ in range(2))
    one.ask(1)
    two.ask(2)
    source.cast([1, 2, 3])
    settle(rt)
    one.cancel("cancel")
    settle(rt)

    assert one is not two
    assert one.closed and not two.closed
    assert [s.statistics()["acked"] for s in (one, two)] == [1, 2]


def test_an_ask_on_a_subscription_that_has_ended_asks_nothing():
    """GenStage 82."""
    rt, log = ff.Runtime(), []
    source, hand = rt.start(Source(log)), rt.start(Hand())
    subscription = hand.subscribe(source, max_demand=10, cancel="temporary")
    settle(rt)
    subscription.cancel("cancel")
    settle(rt)
    log.clear()

    with contextlib.suppress(Closed):
        subscription.ask(3)
    settle(rt)

    assert log == []
    assert stage_of(source).pending_demand == 0
    assert source.alive and hand.alive


def test_a_consumer_cannot_be_subscribed_to():
    """GenStage 83. Refused, with both named; both live on."""
    rt = ff.Runtime()
    one, two = rt.start(Hand(), name="one"), rt.start(Hand(), name="two")

    with pytest.raises(GraphError, match=r"'two'.*'one'|'one'.*'two'"):
        two.subscribe(one)

    settle(rt)
    assert one.alive and two.alive


def test_every_subscription_has_demand_of_its_own():
    """GenStage 85. Of several producers, up to the sum of all max_demand is in flight."""
    rt, demands = ff.Runtime(), [[], [], []]
    counters = [rt.start(Counter(1000, demands=each, ends=False)) for each in demands]
    seen = rt.start(Recorder())

    edges = [seen.subscribe(counter, max_demand=most) for counter, most in zip(counters, (10, 20, 30), strict=True)]
    assert [edge.statistics()["asked"] for edge in edges] == [10, 20, 30]
    for _ in range(3):
        step(rt)

    assert [each[0] for each in demands] == [10, 20, 30]


def test_the_same_consumer_may_subscribe_twice_to_one_producer():
    """GenStage 86. Two subscriptions, two demands, and each event comes by one of them."""
    rt, demands = ff.Runtime(), []
    push, hand = rt.start(Push(demands)), rt.start(Hand())
    one, two = hand.subscribe(push, max_demand=10), hand.subscribe(push, max_demand=10)
    one.ask(2)
    two.ask(3)
    settle(rt)
    push.cast([1, 2, 3, 4, 5])
    settle(rt)

    assert demands[0] == 5
    assert [edge.statistics()["sent"] for edge in (one, two)] == [2, 3]
    assert sorted(stage_of(hand).seen) == [1, 2, 3, 4, 5]


def test_handle_events_is_told_by_which_subscription_they_came():
    """GenStage 87. The subscription itself, with its producer and its tag."""
    came = []

    class Looks(ff.Consumer):
        def handle_events(self, events, source):
            came.append((source, source.producer.name, source.tag, list(events)))

    rt = ff.Runtime()
    for name in "a", "b":
        rt.start(Push(), name=name)
    looks = rt.start(Looks())
    one, two = looks.subscribe("a", tag=1), looks.subscribe("b", tag=2)
    rt["b"].cast([2])
    settle(rt)
    rt["a"].cast([1])
    settle(rt)

    assert came == [(two, "b", 2, [2]), (one, "a", 1, [1])]


def test_subscribe_to_is_done_in_order():
    """GenStage 89."""
    rt, log = ff.Runtime(), []
    refs = [rt.start(Push()) for _ in range(3)]

    rt.start(Log(log), subscribe_to=[(ref, dict(tag=i)) for i, ref in enumerate(refs)])

    assert log == ["setup"] + [("subscribe", "producer", i) for i in range(3)]


@pytest.mark.parametrize("bad", [("nobody", {}), ("push", dict(max_demand=0)), ("end", {})], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_the_first_failing_entry_of_subscribe_to_is_raised_by_start(bad, mode):
    """GenStage 89. Better: it leaves nothing: no stage, no name, no subscription of the entries before it."""
    rt = ff.Runtime()
    push = rt.start(Source(), name="push")
    rt.start(Hand(), name="end")
    to, options = bad

    with pytest.raises((KeyError, FastflowError)):
        rt.start(Log([]), name="new", subscribe_to=["push", (to, dict(options, cancel=mode)), "push"])

    settle(rt)
    assert rt.subscriptions() == []
    assert push.alive and stage_of(push).pending_demand == 0
    with pytest.raises(KeyError):
        rt["new"]
    batches = []
    fresh = rt.start(Record(batches), name="new", subscribe_to=["push"])
    push.cast(np.array([1]))
    settle(rt)
    assert fresh.alive and batches == [[1]]
