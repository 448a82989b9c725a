"""What a newcomer runs into first: mistakes, and what the library says about them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import fastflow as ff
from fastflow.errors import NotDriven
from fastflow.testing import settle


class Count(ff.Producer):
    """Emits 0 to n - 1."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, n=10):
        self.n, self.next = n, 0

    def handle_demand(self, demand):
        first, self.next = self.next, min(self.n, self.next + demand)
        if self.next == self.n:
            self.finish()
        return np.arange(first, self.next)


class Echo(ff.Consumer):
    def handle_events(self, events, source):
        return None

    def handle_call(self, request, reply):
        return request


# -- waits that nobody would end --


@pytest.mark.parametrize(
    "wait",
    [
        lambda rt, ref: ref.result(),
        lambda rt, ref: ref.join(),
        lambda rt, ref: ref.call("anybody there?"),
        lambda rt, ref: rt.join(),
        lambda rt, ref: rt.drain(),
        lambda rt, ref: next(ff.stream(rt.start(Count()))),
    ],
    ids=["result", "join", "call", "rt.join", "drain", "stream"],
)
def test_a_wait_in_a_block_of_paused_is_an_error_at_once(wait):
    with ff.Runtime() as rt:
        ref = rt.start(Echo())
        with rt.paused(), pytest.raises(NotDriven, match=r"inside of `with rt.paused\(\):`.*leave that block first"):
            wait(rt, ref)
        assert ref.call("anybody there?") == "anybody there?"


def test_a_block_of_paused_changes_nothing_while_nobody_drives():
    rt = ff.Runtime()
    with rt.paused():
        rt.start(ff.Count(), name="count", subscribe_to=[rt.start(Count(1000))])
        assert rt.run() == {"count": 1000}


def test_stages_can_be_stopped_in_a_block_of_paused():
    with ff.Runtime() as rt, rt.paused():
        first, second = rt.start_many(Echo(), 2)
        first.stop()
        second.kill()
        assert first.join() == "shutdown"


@pytest.mark.parametrize("timeout", ["5", -1, True, float("nan"), [5]], ids=repr)
@pytest.mark.parametrize(
    "wait",
    [
        lambda rt, ref, timeout: ref.result(timeout=timeout),
        lambda rt, ref, timeout: ref.join(timeout=timeout),
        lambda rt, ref, timeout: ref.call("anybody there?", timeout=timeout),
        lambda rt, ref, timeout: asyncio.run(ref.acall("anybody there?", timeout=timeout)),
        lambda rt, ref, timeout: ref.sync_info("hello", timeout=timeout),
        lambda rt, ref, timeout: ref.stop(timeout=timeout),
        lambda rt, ref, timeout: ref.kill(timeout=timeout),
        lambda rt, ref, timeout: rt.join(timeout=timeout),
        lambda rt, ref, timeout: rt.drain(timeout=timeout),
        lambda rt, ref, timeout: rt.stop(timeout=timeout),
        lambda rt, ref, timeout: ff.Runtime().run(timeout=timeout),
        lambda rt, ref, timeout: ff.run(Count(), ff.Count(), timeout=timeout),
    ],
)
def test_a_timeout_that_is_no_time_is_refused(wait, timeout):
    with ff.Runtime() as rt:
        ref = rt.start(Echo())
        with pytest.raises(
            ValueError, match=r"timeout of .*: got .*, expected seconds from 0 up, or None to wait for ever"
        ):
            wait(rt, ref, timeout)
        assert ref.call("still there?", timeout=np.float64(5)) == "still there?"


# -- reasons why nothing moves --


def test_events_of_a_partition_that_nobody_took_are_a_warning(caplog):
    rt = ff.Runtime()
    numbers = rt.start(Count(9), name="numbers", dispatcher=ff.PartitionDispatcher(3, hash=lambda batch: batch % 3))
    taken = rt.start(ff.Count(), subscribe_to=[(numbers, {"partition": 1})])
    rt.run()
    assert taken.result() == 3
    assert caplog.messages == [
        "'numbers': 6 events are left in its partitions: partition 0 has 3 events that nobody takes, "
        "partition 2 has 3 events that nobody takes"
    ]


def test_a_stall_names_the_partitions_that_keep_a_producer_from_ending():
    class Thirds(Count):
        dispatcher = ff.PartitionDispatcher(3, hash=lambda batch: batch % 3)

    with pytest.raises(
        ff.Stalled, match="'Thirds-1' has events in its partitions: partition 0 has 3 events that nobody takes"
    ):
        ff.run(Thirds(9), ff.Count(), partition=1)


def test_a_report_on_many_partitions_stays_short(caplog):
    rt = ff.Runtime()
    numbers = rt.start(Count(1000), name="numbers", dispatcher=ff.PartitionDispatcher(1000, hash=lambda batch: batch))
    rt.start(ff.Count(), subscribe_to=[(numbers, {"partition": 1})])
    rt.run()
    assert caplog.messages[0].endswith("partition 8 has 1 events that nobody takes, and 991 more partitions have some")


def test_a_stall_names_a_producer_that_is_held():
    class Held(Count):
        hold = True

    with pytest.raises(ff.Stalled, match=r"'Held-1' is held back, and was asked for 32,768 events; call release\(\)"):
        ff.run(Held(), ff.Count())


def test_a_producer_that_is_held_to_the_end_is_a_warning(caplog):
    rt = ff.Runtime()
    rt.connect(rt.start(Count(), hold=True), ff.Count())
    rt.run()
    assert caplog.messages == [
        "'Count-1' was held back to the end, so its consumers had nothing more of it; call release() on its ref"
    ]


def test_a_result_that_does_not_come_in_time_says_why_when_nothing_moves():
    class Forgetful(ff.Producer):
        dtype = "int64"

        def handle_demand(self, demand):
            return None

    with ff.Runtime() as rt:
        total = rt.start(ff.Sum(), subscribe_to=[rt.start(Forgetful())])
        with pytest.raises(ff.WaitTimeout) as raised:
            total.result(timeout=0.05)
        assert raised.value.__notes__[0].startswith(
            "nothing moves: 'Forgetful-1' was asked for 32,768 events and gave none"
        )


def test_a_result_that_does_not_come_in_time_blames_nobody_while_something_moves():
    with ff.Runtime() as rt:
        count = rt.start(ff.Count(), subscribe_to=[rt.start(ff.Range(0, None))])
        with pytest.raises(ff.WaitTimeout) as raised:
            count.result(timeout=0.01)
        assert not hasattr(raised.value, "__notes__")
        count.stop()


# -- options in the wrong place --


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (
            lambda: ff.Runtime().start(Echo(), max_demand=3),
            r"write subscribe_to=\[\(producer, dict\(max_demand=...\)\)\]",
        ),
        (
            lambda: ff.Runtime().start(Echo(), partition=0),
            r"write subscribe_to=\[\(producer, dict\(partition=...\)\)\]",
        ),
        (lambda: ff.Runtime().connect(Count(), Echo(), selector=len), "start the producer with dispatcher='broadcast'"),
        (lambda: ff.Runtime().connect(Count(), Echo(), lag="drop"), "start the producer with dispatcher='broadcast'"),
        (
            lambda: ff.Runtime().connect(Count(), Echo(), partition=0),
            r"start the producer with dispatcher=ff.Partition",
        ),
        (
            lambda: ff.Runtime().connect(Count(), Echo(), buffer_size=3),
            r"belongs to a stage, write rt.start\(..., buffer_size",
        ),
        (
            lambda: ff.run(Count(), Echo(), dispatcher="broadcast"),
            r"write ff.step\(function, dispatcher=...\) or make it an",
        ),
        (
            lambda: ff.stream(Count(), buffer_size=3),
            r"write ff.step\(function, buffer_size=...\) or make it an attribute",
        ),
    ],
)
def test_an_option_in_the_wrong_place_is_told_where_it_belongs(wrong, hint):
    with pytest.raises(ff.OptionError, match=hint):
        wrong()


# -- dispatchers --


def test_a_dispatcher_shows_how_it_was_made():
    class Mine(ff.Dispatcher):
        def __init__(self, weight):
            self.weight = weight

    class Bare(ff.Dispatcher):
        pass

    shown = [ff.DemandDispatcher(), ff.DemandDispatcher(shuffle=True), ff.BroadcastDispatcher(), Mine(3), Bare()]
    assert (
        repr(shown) == "[DemandDispatcher(), DemandDispatcher(shuffle=True), BroadcastDispatcher(), Mine(...), Bare()]"
    )
    assert repr(ff.PartitionDispatcher(1000, hash="symbol")) == "PartitionDispatcher(1000, hash='symbol')"
    assert repr(ff.PartitionDispatcher(["ab"], queue_size=5)) == "PartitionDispatcher(['ab'], queue_size=5)"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("brodcast", "did you mean 'broadcast'?"),
        ("Demand", "did you mean 'demand'?"),
        ("partition", r"write ff.PartitionDispatcher\(4\), say"),
        (5, "or one derived from ff.Dispatcher; give one of these"),
        (ff.PartitionDispatcher, r"write ff.PartitionDispatcher\(...\)"),
        (type("Mine", (ff.Dispatcher,), {}), r"write Mine\(...\)"),
    ],
)
def test_what_is_no_dispatcher_is_told_what_was_meant(value, hint):
    with pytest.raises(ff.OptionError, match=hint):
        ff.Runtime().start(Count(), dispatcher=value)


@pytest.mark.parametrize("options", ["weight", 5, None, (1,)], ids=repr)
def test_the_options_of_a_dispatcher_are_names(options):
    class Mine(ff.Dispatcher):
        def dispatch(self, events, demands):
            return 0, []

    Mine.options = options
    with pytest.raises(
        ff.OptionError, match=r"got options = .* in Mine, expected a tuple of names; write options = \('weight',\)"
    ):
        ff.Runtime().start(Count(), dispatcher=Mine())


def test_names_of_partitions_have_an_order():
    with pytest.raises(ff.OptionError, match=r"expected names in an order, .*; write sorted\(...\)"):
        ff.PartitionDispatcher({"a", "b"})
    assert ff.PartitionDispatcher({"a": 1, "b": 2}).names == ("a", "b")


def test_the_name_of_a_column_is_not_empty():
    with pytest.raises(ff.OptionError, match="hash of a PartitionDispatcher: got '', expected the name of a column"):
        ff.PartitionDispatcher(2, hash="")


# -- numbers --


def test_numbers_may_be_those_of_numpy():
    rt = ff.Runtime(seed=np.int64(7))
    numbers = rt.start(
        Count(),
        buffer_size=np.int32(3),
        whole=np.int8(100),
        dispatcher=ff.PartitionDispatcher(np.uint8(2), queue_size=np.int64(5)),
    )
    count = rt.start(ff.Count(), subscribe_to=[(numbers, {"partition": np.int16(1), "max_demand": np.int64(400)})])
    rt.run()
    assert count.result() > 0


@pytest.mark.parametrize("number", [True, 1.0, "3", -1, 2**63], ids=repr)
@pytest.mark.parametrize("option", ["buffer_size", "whole"])
def test_a_number_of_events_is_a_whole_number(option, number):
    with pytest.raises(ff.OptionError, match=f"{option} of Count: got .*, expected a number of events"):
        ff.Runtime().start(Count(), **{option: number})


def test_a_dispatcher_may_let_a_stage_emit_without_limit():
    class Eager(ff.Dispatcher):
        def demand(self, demands):
            return 10**30

        def dispatch(self, events, demands):
            ((only, pending),) = demands.items()
            return min(len(events), pending), [(only, slice(0, pending))]

    rt = ff.Runtime()
    _, count = rt.connect(rt.start(Count(), dispatcher=Eager()), ff.Count())
    rt.run()
    assert count.result() == 10


def test_the_state_of_a_stage_is_a_tuple_of_names():
    with pytest.raises(
        ff.errors.StateError, match=r"got 5, expected a tuple of attribute names; write state = \('total',\)"
    ):
        ff.Runtime().start(Count(), state=5)


# -- stages and subscriptions --


def test_a_template_shows_how_it_was_made():
    assert repr([Count(5), Count(n=7), Echo(), ff.Range(3)]) == "[Count(5), Count(n=7), Echo(), Range(3)]"
    assert len(repr(ff.FromIterable(range(10**6)))) < 60
    assert len(repr(ff.FromIterable(list(range(10**6))))) < 60
    with pytest.raises(TypeError, match=r"got Count\(5\) as a stage to subscribe to"):
        ff.Runtime().start(Echo()).subscribe(Count(5))


@pytest.mark.parametrize(
    "entry",
    [("numbers",), ("numbers", {}, 1), ("numbers", 5), ["numbers", {}], {"max_demand": 3}, None, Count(5)],
    ids=repr,
)
def test_an_entry_of_subscribe_to_is_a_producer_or_a_pair(entry):
    rt = ff.Runtime()
    rt.start(Count(), name="numbers")
    with pytest.raises(
        TypeError, match=r"subscribe_to of Echo: got .*, expected a ref or name, or a pair .*; start the producer first"
    ):
        rt.start(Echo(), subscribe_to=[entry])
    with pytest.raises(TypeError, match=r"subscribe_to of Echo: got \{'max_demand': 3\}"):
        rt.start(Echo(), subscribe_to=("numbers", {"max_demand": 3}))


@pytest.mark.parametrize("source", [[(Count(5), 5)], [(Count(5),)], [(Count(5), {}, 1)], (Count(5), 5)], ids=repr)
def test_a_stream_over_what_looks_like_a_pair_is_refused(source):
    with pytest.raises(
        TypeError, match="among producers, expected a ref, a producer, or a pair of one and a dict of options"
    ):
        ff.stream(source)


def test_the_class_of_an_exception_is_no_reason_to_cancel():
    rt = ff.Runtime()
    rt.start(Count(), name="numbers")
    echo = rt.start(Echo())
    subscription = echo.subscribe("numbers")
    with pytest.raises(TypeError, match=r"got the class ValueError as the reason, .*; write ValueError\(...\)"):
        subscription.cancel(ValueError)
    assert not subscription.closed
    subscription.cancel(ValueError("enough"))
    settle(rt)
    assert repr(echo.join()) == "ValueError('enough')"


def test_dir_shows_what_users_need():
    rt = ff.Runtime()
    subscription = rt.start(Echo()).subscribe(rt.start(Count()))
    assert [name for name in dir(subscription) if not name.startswith("_")] == [
        "ask",
        "cancel",
        "capacity",
        "closed",
        "consumer",
        "counters",
        "min_demand",
        "options",
        "producer",
        "resubscribe",
        "statistics",
        "tag",
    ]
    assert [name for name in dir(rt) if not name.startswith("_")] == [
        "clock",
        "closed",
        "connect",
        "drain",
        "driven",
        "join",
        "names",
        "paused",
        "run",
        "seed",
        "start",
        "start_many",
        "stop",
        "subscriptions",
    ]


@pytest.mark.parametrize("base", [ff.Producer, ff.ProducerConsumer, ff.Consumer], ids=lambda base: base.__name__)
@pytest.mark.parametrize("name", ["handle_events", "handle_demand", "handle_call", "handle_info", "setup", "terminate"])
def test_a_callback_that_would_do_nothing_is_refused(base, name):
    def generates(self, *args):
        yield 1

    async def waits(self, *args):
        return None

    for function in generates, waits:
        stage = type("Lazy", (base,), {name: function})
        with pytest.raises(ff.OptionError, match=f"{name} of Lazy: got a generator or coroutine function"):
            ff.Runtime().start(stage())


def test_a_step_or_sink_that_would_do_nothing_is_refused():
    def generates(batch):
        yield batch

    async def waits(batch):
        return batch

    for function in generates, waits:
        for make in ff.Map, ff.Filter, ff.ForEach:
            with pytest.raises(TypeError, match=f"{make.__name__}: got a generator or coroutine function"):
                make(function)
        with pytest.raises(TypeError, match="ForEach: got a generator or coroutine function"):
            ff.run(Count(), function)
    assert ff.run(lambda: generates(np.arange(3)), ff.Count()) == 3


def test_what_is_connected_is_a_stage_or_a_ref():
    with pytest.raises(TypeError, match=r"write Count\(...\), and start it first"):
        ff.Runtime().connect(Count, Echo())
    with pytest.raises(TypeError, match=r"wrap a function in ff\.Map or ff\.ForEach, start it first"):
        ff.Runtime().connect(Count(), lambda batch: batch)


@pytest.mark.parametrize("events", [5, np.arange(3), [1, 2], "ab"], ids=repr)
def test_samples_for_the_conformance_kit_are_a_list_of_batches(events):
    with pytest.raises(TypeError, match=r"events: got .*, expected a list of sample batches"):
        ff.testing.conformance(Echo, events=events)


@pytest.mark.parametrize(
    ("rest", "options"), [([lambda batch: batch], {}), ([Echo()], {"max_demnad": 3}), ([ff.Count(), "nobody"], {})]
)
def test_a_connect_that_fails_leaves_nothing(rest, options):
    class Named(Count):
        name = "numbers"

    rt = ff.Runtime()
    old = rt.start(Echo())
    with pytest.raises((TypeError, KeyError)):
        rt.connect(Named(1000), *rest, **options)
    assert repr(rt).count("\n") == 2
    assert (rt.names, old.alive) == ({}, True)
    _, count = rt.connect(Named(1000), ff.Count())
    rt.run()
    assert count.result() == 1000
    with ff.Runtime() as rt:
        with pytest.raises((TypeError, KeyError)):
            rt.connect(Named(1000), *rest, **options)
        assert rt.connect(Named(1000), ff.Count())[1].result() == 1000
