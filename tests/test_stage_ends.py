"""The ends of a stream: `finish`, `handle_end`, `handle_cancel`, `terminate` and their order."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_stage import Counter, Log, Push, flat

import fastflow as ff
from fastflow.testing import Recorder, settle


def test_callbacks_come_in_the_order_of_a_life():
    rt, log = ff.Runtime(), []
    producer = rt.start(Counter(0, 4))
    consumer = rt.start(Log(log))
    consumer.subscribe(producer, tag="t", max_demand=4, min_demand=2)

    settle(rt)

    assert log == [
        "setup",
        ("subscribe", "producer", "t"),
        ("events", [0, 1]),
        ("events", [2, 3]),
        ("cancel", "normal", "t"),
        "end",
        ("terminate", "normal"),
    ]


def test_handle_subscribe_is_called_on_both_sides():
    """GenStage 66: the role is what the other side is."""
    calls = []

    class Side(Push):
        def handle_subscribe(self, role, options, subscription):
            calls.append((role, options["max_demand"], subscription.tag))
            return "automatic"

    class Other(ff.Consumer):
        handle_subscribe = Side.handle_subscribe

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    producer = rt.start(Side())
    rt.start(Other()).subscribe(producer, tag=7, max_demand=10)
    settle(rt)

    assert sorted(calls) == [("consumer", 10, 7), ("producer", 10, 7)]


def test_the_end_comes_when_every_source_has_ended():
    rt, log = ff.Runtime(), []
    short, long = rt.start(Counter(0, 1)), rt.start(Push())
    consumer = rt.start(Log(log))
    consumer.subscribe(short, tag="short")
    consumer.subscribe(long, tag="long")
    settle(rt)
    assert consumer.alive
    assert "end" not in log

    class Ends(Push):
        def handle_cast(self, request):
            self.finish()

    ends = rt.start(Ends())
    second = rt.start(Log(again := []))
    second.subscribe(ends, tag="ends")
    settle(rt)
    ends.cast("now")
    settle(rt)

    assert again[-2:] == ["end", ("terminate", "normal")]
    assert second.join() == "normal"
    assert ends.join() == "normal"


def test_handle_end_returns_what_is_still_held():
    class Pairs(ff.ProducerConsumer):
        dtype = "int64"

        def __init__(self):
            self.held = []

        def handle_events(self, events, source):
            self.held += events.tolist()
            out, self.held = (
                self.held[: len(self.held) // 3 * 3],
                self.held[len(self.held) // 3 * 3 :],
            )
            return out

        def handle_end(self):
            return self.held

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 100))
    pairs = rt.start(Pairs(), subscribe_to=[(producer, dict(max_demand=10))])
    recorder = rt.start(Recorder(), subscribe_to=[pairs])

    settle(rt)

    assert flat(recorder) == list(range(100))
    assert pairs.join() == "normal"


def test_a_producer_ends_once_everything_emitted_is_delivered():
    class Burst(Push):
        def handle_cast(self, request):
            self.finish()
            return np.arange(10)

    rt = ff.Runtime()
    producer = rt.start(Burst())
    producer.cast("go")
    settle(rt)
    assert producer.alive
    assert producer.estimate_buffered_count() == 10

    recorder = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=4))])
    settle(rt)

    assert producer.join() == "normal"
    assert flat(recorder) == list(range(10))


def test_a_finished_producer_is_not_called_any_more():
    calls = []

    class Stops(ff.Producer):
        dtype = "int64"

        def handle_demand(self, demand):
            calls.append(demand)
            self.finish()
            return np.arange(2)

    rt = ff.Runtime()
    producer = rt.start(Stops())
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])
    settle(rt)

    assert calls == [10]
    assert producer.join() == "normal"


def test_a_subscription_to_a_producer_that_has_ended_closes_at_once():
    rt = ff.Runtime()
    producer = rt.start(Counter(0, 3))
    rt.start(Recorder(), subscribe_to=[producer])
    settle(rt)
    assert producer.join() == "normal"

    late = rt.start(Recorder(), subscribe_to=[producer])
    settle(rt)

    assert late.join() == "normal"
    assert late.result() == []


@pytest.mark.parametrize(
    ("mode", "alive"),
    [("auto", False), ("permanent", False), ("transient", True), ("temporary", True)],
)
def test_a_normal_end_acts_by_the_cancel_mode(mode, alive):
    """GenStage 71."""
    rt = ff.Runtime()
    producer = rt.start(Counter(0, 5))
    consumer = rt.start(Recorder(), subscribe_to=[(producer, dict(cancel=mode))])
    settle(rt)

    assert consumer.alive is alive
    if not alive:
        assert consumer.join() == "normal"
        assert flat(consumer) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("mode", "alive"),
    [("auto", False), ("permanent", False), ("transient", False), ("temporary", True)],
)
def test_an_abnormal_end_acts_by_the_cancel_mode(mode, alive):
    """GenStage 71 and 72: the consumer exits with the raw reason."""

    class Fails(Push):
        def handle_cast(self, request):
            raise ZeroDivisionError("on purpose")

    rt = ff.Runtime()
    producer = rt.start(Fails())
    consumer = rt.start(Recorder(), subscribe_to=[(producer, dict(cancel=mode))])
    producer.cast("now")
    settle(rt)

    assert consumer.alive is alive
    assert isinstance(producer.join(), ZeroDivisionError)
    if not alive:
        assert isinstance(consumer.join(), ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            consumer.result()


def test_handle_cancel_comes_before_the_stage_ends_of_it():
    """GenStage 75."""

    class Fails(Push):
        def handle_cast(self, request):
            raise ZeroDivisionError("on purpose")

    rt, log = ff.Runtime(), []
    producer = rt.start(Fails())
    consumer = rt.start(Log(log))
    consumer.subscribe(producer, tag="t", cancel="permanent")
    producer.cast("now")
    settle(rt)

    assert [entry[0] for entry in log[-2:]] == ["cancel", "terminate"]
    assert isinstance(log[-2][1], ZeroDivisionError)
    assert isinstance(log[-1][1], ZeroDivisionError)


def test_a_failed_consumer_leaves_its_producer_alone():
    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            raise ZeroDivisionError("on purpose")

    rt = ff.Runtime()
    producer = rt.start(Push())
    consumer = rt.start(Fails(), subscribe_to=[producer])
    producer.cast(np.arange(3))
    settle(rt)

    assert isinstance(consumer.join(), ZeroDivisionError)
    assert producer.alive


def test_terminate_runs_when_a_callback_fails():
    """GenStage 28."""
    log = []

    class Fails(Log):
        def handle_cast(self, request):
            raise ZeroDivisionError("on purpose")

    rt = ff.Runtime()
    consumer = rt.start(Fails(log))
    consumer.cast("now")
    settle(rt)

    assert log[-1][0] == "terminate"
    assert isinstance(log[-1][1], ZeroDivisionError)


def test_a_stage_ended_by_finish_takes_no_more_turns():
    rt, log = ff.Runtime(), []

    class Stops(Log):
        def handle_cast(self, request):
            super().handle_cast(request)
            self.finish()

    consumer = rt.start(Stops(log))
    consumer.cast(1)
    settle(rt)

    assert consumer.join() == "normal"
    assert log[-2:] == [("cast", 1), ("terminate", "normal")]


def test_a_consumer_may_end_later_than_its_sources():
    class Lingers(ff.Consumer):
        def handle_events(self, events, source):
            return None

        def _sources_over(self, finish):
            return None

        def handle_cast(self, request):
            self.finish()

    rt = ff.Runtime()
    lingers = rt.start(Lingers(), subscribe_to=[rt.start(ff.Range(3))])

    settle(rt)
    assert lingers.alive

    lingers.cast("now")
    settle(rt)
    assert lingers.join() == "normal"
