"""GenStage's stream and from_enumerable: what is held to here, item by item."""

from __future__ import annotations

import gc
import itertools
import logging
import queue
import threading

import numpy as np
import pytest
from helpers_runtime import WAIT, Counter, Echo, Hand

import fastflow as ff
from fastflow import testing


class Told(ff.Producer):
    """Emits what it is told, and notes what it hears."""

    dtype = "int64"

    def __init__(self, heard=None):
        self.heard = [] if heard is None else heard

    def handle_demand(self, demand):
        return None

    def handle_cast(self, request):
        if isinstance(request, Exception):
            raise request
        return np.array(request)

    def handle_call(self, request, reply):
        return self.pending_demand

    def handle_cancel(self, reason, subscription):
        self.heard.append(reason)


def failed(rt):
    """A stage that has ended by a failure, fetched."""
    told = rt.start(Told())
    told.cast(OSError("the disk is gone"))
    with pytest.raises(OSError, match="the disk is gone"):
        told.result(WAIT)
    return told


def flat(stream):
    return [int(x) for batch in stream for x in batch]


def test_a_stream_enumerates_one_or_several_producers_in_the_calling_thread():
    """GenStage 166."""
    rt, drivers = ff.Runtime(), set()

    def step(x):
        drivers.add(threading.get_ident())
        return x

    one, two = rt.start(Counter(10)), rt.start(Counter(10))
    assert sorted(flat(ff.stream([one, (two, dict(max_demand=3))], step))) == sorted([*range(10)] * 2)
    assert drivers == {threading.get_ident()}


def test_ten_events_of_a_demand_of_1000_leave_nothing_behind():
    """GenStage 166."""
    with ff.Runtime() as rt:
        counter = rt.start(Counter())
        events = itertools.chain.from_iterable(ff.stream(counter, max_demand=1000))
        assert list(itertools.islice(events, 10)) == list(range(10))
        del events
        gc.collect()

        assert [seat.ref for seat in rt.seats] == [counter]
        assert rt.subscriptions() == []
        assert counter.alive


def test_messages_for_others_are_left_alone():
    """GenStage 167."""
    with ff.Runtime() as rt:
        echo, counter = rt.start(Echo()), rt.start(Counter(4))
        echo.cast("before")
        for batch in ff.stream(counter, max_demand=4):
            echo.cast(("events", batch.tolist()))

    assert testing.stage_of(echo).log == ["before", ("events", [0, 1]), ("events", [2, 3])]


def test_bad_options_raise_when_the_stream_is_made():
    """GenStage 168."""
    with ff.Runtime() as rt:
        counter = rt.start(Counter(), name="counter")
        with pytest.raises(ff.DemandError, match="max_demand of the subscription of 'Stream-1' to 'counter': got 0"):
            ff.stream([(counter, dict(max_demand=0))])
        with pytest.raises(ff.OptionError, match="to 'counter': unknown option: got 'mx_demand', expected one of"):
            ff.stream([(counter, dict(mx_demand=1))])


@pytest.mark.parametrize("cancel", ["permanent", "transient", "auto"])
def test_a_producer_that_has_failed_before_raises_in_the_loop(cancel):
    """GenStage 169."""
    with ff.Runtime() as rt:
        stream = ff.stream([(failed(rt), dict(cancel=cancel))])
        with pytest.raises(OSError, match="the disk is gone"):
            next(stream)


def test_a_temporary_producer_that_has_failed_before_is_an_empty_stream():
    """GenStage 169."""
    with ff.Runtime() as rt:
        assert list(ff.stream([(failed(rt), dict(cancel="temporary"))])) == []


@pytest.mark.parametrize("cancel", ["permanent", "transient", "auto", "temporary"])
def test_a_refused_subscription_raises_its_reason(cancel):
    """GenStage 169; here at the call, whatever the mode, since a typing error should not look like an empty stream."""

    class Refuses(Counter):
        def handle_subscribe(self, role, options, subscription):
            raise PermissionError("not you")

    with ff.Runtime() as rt:
        refuses = rt.start(Refuses())
        with pytest.raises(PermissionError, match="not you"):
            ff.stream(refuses, cancel=cancel)
        assert [seat.ref for seat in rt.seats] == [refuses]


@pytest.mark.parametrize("cancel", ["permanent", "transient", "auto", "temporary"])
def test_a_producer_that_ends_normally_ends_the_stream_normally(cancel):
    """GenStage 170."""
    with ff.Runtime() as rt:
        assert flat(ff.stream(rt.start(Counter(5)), cancel=cancel)) == [0, 1, 2, 3, 4]
        stopped = rt.start(Counter())
        stopped.stop()
        assert list(ff.stream(stopped, cancel=cancel)) == []


def test_a_transient_stream_outlives_one_of_its_producers():
    """GenStage 170."""
    with ff.Runtime() as rt:
        got = flat(ff.stream([rt.start(Counter(3)), rt.start(Counter(5))], cancel="transient"))

    assert sorted(got) == [0, 0, 1, 1, 2, 2, 3, 4]


def test_producers_are_asked_when_the_loop_begins():
    """GenStage 171: what `demand: forward` is for."""
    with ff.Runtime() as rt:
        told = rt.start(Told())
        stream = ff.stream([told], max_demand=7)
        assert told.call("pending") == 0

        told.cast([1])
        assert next(stream).tolist() == [1]
        assert told.call("pending") == 6
        stream.close()


def test_the_next_batch_is_asked_for_when_the_loop_comes_back():
    """GenStage 172."""
    asked = []
    with ff.Runtime() as rt:
        counter, echo = rt.start(Counter()), rt.start(Echo())
        for batch in ff.stream(counter, max_demand=2, min_demand=0):
            echo.call("the scheduler has gone round")
            [edge] = rt.subscriptions()
            asked.append(edge.statistics()["asked"])
            if batch[0] == 4:
                break

    assert asked == [2, 4, 6]


def test_halting_cancels_all_subscriptions_with_normal_before_it_returns():
    """GenStage 173."""
    heard = [], []
    with ff.Runtime() as rt:
        tolds = [rt.start(Told(notes)) for notes in heard]
        tolds[0].cast([1, 2, 3])
        for _ in ff.stream(tolds):
            break

        assert heard == (["normal"], ["normal"])
        assert all(told.alive for told in tolds)


def test_several_producers_come_in_the_order_of_arrival():
    """GenStage 174."""
    with ff.Runtime() as rt:
        one, two = rt.start(Told()), rt.start(Told())
        stream, got = ff.stream([one, two]), []
        for source, event in ((one, 1), (two, 2), (two, 3), (one, 4)):
            source.cast([event])
            got += next(stream).tolist()
        stream.close()

    assert got == [1, 2, 3, 4]


def test_a_source_of_an_iterable_takes_exactly_what_is_asked():
    """GenStage 175."""
    numbers, rt = itertools.count(), ff.Runtime()
    hand = rt.start(Hand())
    edge = hand.subscribe(rt.start(ff.FromIterable(numbers)))
    for n, following in ((3, 3), (5, 9)):
        edge.ask(n)
        testing.settle(rt)
        assert next(numbers) == following       # it has taken n, and this one is the test's

    assert hand.statistics()["handled"] == 8
    rt.stop()


def test_a_source_of_an_iterable_emits_the_rest_and_ends_when_it_is_delivered():
    """GenStage 175."""
    with ff.Runtime() as rt:
        source, hand = rt.start(ff.FromIterable("abcde")), rt.start(Hand())
        hand.subscribe(source).ask(100)

        assert source.join(WAIT) == "normal"
        assert hand.join(WAIT) == "normal"
        assert hand.statistics()["handled"] == 5


def test_a_source_of_an_iterable_has_the_options_of_every_stage():
    """GenStage 176; nothing is linked here: a failure is raised where it is waited for."""
    with ff.Runtime() as rt:
        source = rt.start(ff.FromIterable([1, 2]), name="numbers")
        assert rt["numbers"] is source
        assert rt.start(ff.Collect(), subscribe_to=["numbers"]).result(WAIT) == [1, 2]


@pytest.mark.parametrize("isolate", [False, "thread"])
def test_on_cancel_continue_goes_on_without_consumers(isolate):
    """GenStage 177."""
    with ff.Runtime() as rt:
        source = rt.start(ff.FromIterable(itertools.count(), isolate=isolate))
        for first in (0, 1):
            for batch in ff.stream(source, max_demand=1):
                assert batch == [first]
                break

        assert source.alive


@pytest.mark.parametrize("isolate", [False, "thread"])
def test_on_cancel_stop_ends_with_the_last_consumer(isolate):
    """GenStage 177."""
    with ff.Runtime() as rt:
        source = rt.start(ff.FromIterable(itertools.count(), on_cancel="stop", isolate=isolate))
        one, two = ff.stream(source), ff.stream(source)
        next(one)
        one.close()
        assert source.alive
        two.close()
        assert source.join(WAIT) == "normal"


def test_an_iterable_that_blocks_holds_up_neither_its_events_nor_other_stages():
    """GenStage 178: the limitation that a thread of its own lifts."""
    items = queue.Queue()
    with ff.Runtime() as rt:
        slow = rt.start(ff.FromIterable(iter(lambda: items.get(timeout=WAIT), None), isolate="thread"))
        stream = ff.stream(slow, max_demand=1000)
        for i in range(3):
            items.put(i)                        # nothing else is there to fill the batch
            assert next(stream) == [i]
            assert flat(ff.stream(rt.start(Counter(3)))) == [0, 1, 2]
        items.put(None)
        assert list(stream) == []


def test_a_message_that_a_stage_does_not_know_is_logged_with_its_name(caplog):
    """GenStage 179: the end of a stream has no ref, so messages have a stage as their receiver; the log says which."""
    with caplog.at_level(logging.WARNING, "fastflow.stage"), ff.Runtime() as rt:
        told = rt.start(Told())
        told.info("unexpected")
        told.call("round")

    assert "message to Told: got 'unexpected', but it has no handle_info, so it was dropped" in caplog.text
