"""Stages: templates, options, what callbacks may return, claims, state, retries, timers, ends."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow as ff
from fastflow.errors import (
    CallbackError,
    FastflowError,
    GraphError,
    OptionError,
    SchemaError,
    StateError,
)
from fastflow.testing import ManualClock, Recorder, Script, settle, stage_of


class Counter(ff.Producer):
    """The one of the README."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, start=0, stop=None):
        self.next, self.end = start, stop

    def handle_demand(self, demand):
        out = self.claim(demand if self.end is None else min(demand, self.end - self.next))
        ff.fill_range(out, self.next)
        self.next += len(out)
        if self.next == self.end:
            self.finish()
        return out


class Total(ff.Consumer):
    """The one of the README."""

    state = ("total",)

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def result(self):
        return self.total


class Push(ff.Producer):
    """Answers no demand; what is cast to it, it emits."""

    dtype = "int64"

    def handle_demand(self, demand):
        return None

    def handle_cast(self, request):
        return request


class Log(ff.Consumer):
    """Writes down which callback ran; sources may end without ending it."""

    def __init__(self, log):
        self.log = log

    def setup(self):
        self.log.append("setup")

    def handle_subscribe(self, role, options, subscription):
        self.log.append(("subscribe", role, subscription.tag))
        return "automatic"

    def handle_events(self, events, source):
        self.log.append(("events", list(events)))

    def handle_cancel(self, reason, subscription):
        self.log.append(("cancel", reason, subscription.tag))

    def handle_end(self):
        self.log.append("end")

    def terminate(self, reason):
        self.log.append(("terminate", reason))

    def handle_cast(self, request):
        self.log.append(("cast", request))

    def handle_info(self, message):
        self.log.append(("info", message))


def flat(recorder):
    """The events of a Recorder that ended, in one list."""
    return [int(x) for batch in recorder.result() for x in batch]


def failure(rt, stage, **options):
    """What goes wrong with `stage`: when it is started, or when its turns are taken."""
    try:
        ref = rt.start(stage, **options)
        settle(rt)
    except (FastflowError, OSError, TypeError, ValueError, AttributeError) as error:
        return error
    reason = ref.join()
    assert isinstance(reason, BaseException), f"it ended with {reason!r}"
    return reason


def failure_of_demand(body, dtype="int64", demand=10):
    """What ends a producer whose `handle_demand` is ``body(stage, demand)``."""

    class Bad(ff.Producer):
        def __init__(self):
            self.dtype = dtype

        def handle_demand(self, demand):
            return body(self, demand)

    rt = ff.Runtime()
    producer = rt.start(Bad(), name="bad")
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=demand, cancel="temporary"))])
    settle(rt)
    return producer.join()


# -- page two -------------------------------------------------------------------------------------


def test_page_two_adds_up():
    rt = ff.Runtime()
    counter = rt.start(Counter(0, 1_000_000), name="counter")
    total = rt.start(Total(), subscribe_to=[(counter, dict(max_demand=65_536, min_demand=32_768))])

    settle(rt)

    assert total.result() == sum(range(1_000_000))
    assert total.join() == "normal"
    assert counter.join() == "normal"


def test_a_bare_instance_can_be_tested_by_calling_its_methods():
    counter, total = Counter(3, 7), Total()

    first, second = counter.handle_demand(3), counter.handle_demand(3)
    total.handle_events(first, None)

    assert first.tolist() == [3, 4, 5]
    assert second.tolist() == [6]
    assert total.result() == 12


def test_a_claim_of_a_bare_instance_has_its_dtype():
    out = Counter().claim(4)

    assert out.dtype == np.dtype("int64")
    assert out.shape == (4,)


# -- templates ------------------------------------------------------------------------------------


def test_one_template_started_twice_gives_two_stages():
    rt, template = ff.Runtime(), Counter(5, 10)
    refs = [rt.start(template), rt.start(template)]
    recorders = [rt.start(Recorder(), subscribe_to=[ref]) for ref in refs]

    settle(rt)

    assert stage_of(refs[0]) is not stage_of(refs[1]) or stage_of(refs[0]) is None
    assert [flat(recorder) for recorder in recorders] == [[5, 6, 7, 8, 9]] * 2


def test_the_stage_that_runs_is_not_the_template():
    rt, template = ff.Runtime(), Counter(5, stop=10)

    ref = rt.start(template)

    assert stage_of(ref) is not template
    assert type(stage_of(ref)) is Counter
    assert (stage_of(ref).next, stage_of(ref).end) == (5, 10)


def test_what_is_set_on_a_template_later_is_not_carried_over():
    rt, template = ff.Runtime(), Counter(5, 10)
    template.next = 100

    ref = rt.start(template)

    assert stage_of(ref).next == 5


def test_keyword_and_variable_arguments_are_remembered():
    class Many(ff.Consumer):
        def __init__(self, first, /, *rest, word, **more):
            self.got = first, rest, word, more

        def handle_events(self, events, source):
            return None

    ref = ff.Runtime().start(Many(1, 2, 3, word="w", other=4))

    assert stage_of(ref).got == (1, (2, 3), "w", {"other": 4})


def test_a_dataclass_can_be_a_stage():
    @dataclass
    class Scale(ff.ProducerConsumer):
        factor: int
        offset: int = 0

        def handle_events(self, events, source):
            return events * self.factor + self.offset

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 4))
    scale = rt.start(Scale(10, offset=1), subscribe_to=[producer])
    recorder = rt.start(Recorder(), subscribe_to=[scale])

    settle(rt)

    assert flat(recorder) == [1, 11, 21, 31]
    assert Scale(2) == Scale(2, 0)


def test_a_subclass_that_calls_super_is_constructed_once_more_with_its_own_arguments():
    made = []

    class Base(ff.Consumer):
        def __init__(self, a):
            self.a = a

        def handle_events(self, events, source):
            return None

    class Derived(Base):
        def __init__(self, b):
            super().__init__(b + 1)
            made.append(b)

    ref = ff.Runtime().start(Derived(1))

    assert stage_of(ref).a == 2
    assert made == [1, 1]


def test_a_constructor_that_fails_in_its_place_is_an_error_that_says_so():
    made = []

    class Once(ff.Consumer):
        def __init__(self):
            made.append(1)
            if len(made) > 1:
                raise OSError("no second time")

        def handle_events(self, events, source):
            return None

    error = failure(ff.Runtime(), Once())

    assert isinstance(error, OSError)
    assert "no second time" in str(error)


def test_setup_runs_in_the_stages_place_before_anything_else():
    made, log = [], []

    class Place(Log):
        def __init__(self, log):
            super().__init__(log)
            made.append(self)

        def setup(self):
            super().setup()
            assert self is not made[0]

    rt = ff.Runtime()
    rt.start(Place(log), subscribe_to=[rt.start(Counter(0, 1))])
    settle(rt)

    assert log[0] == "setup"
    assert log.count("setup") == 1
    assert len(made) == 2


def test_a_setup_that_fails_is_an_error():
    class Bad(Push):
        def setup(self):
            raise OSError("no such device")

    assert isinstance(failure(ff.Runtime(), Bad()), OSError)


def test_a_class_is_not_a_stage():
    with pytest.raises((TypeError, ValueError)):
        ff.Runtime().start(Counter)


@pytest.mark.parametrize("thing", [None, 3, "counter", object()])
def test_what_is_no_stage_cannot_be_started(thing):
    with pytest.raises((TypeError, ValueError)):
        ff.Runtime().start(thing)


# -- options and attributes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("bufer_size", "buffer_size"),
        ("dtpye", "dtype"),
        ("subscribe", "subscribe_to"),
        ("nam", "name"),
    ],
)
def test_an_unknown_option_names_the_nearest(wrong, right):
    """GenStage 5."""
    with pytest.raises(OptionError, match=right):
        ff.Runtime().start(Push(), **{wrong: 1})


def test_an_unknown_subscription_option_names_the_nearest():
    rt = ff.Runtime()
    producer, consumer = rt.start(Push()), rt.start(Recorder())

    with pytest.raises(OptionError, match="max_demand"):
        consumer.subscribe(producer, max_demnad=10)
    with pytest.raises(OptionError, match="max_demand"):
        rt.start(Recorder(), subscribe_to=[(producer, dict(max_demnad=10))])


@pytest.mark.parametrize("option", ["workers", "on_error", "ordered"])
def test_options_that_come_later_are_unknown(option):
    with pytest.raises(TypeError, match=option):
        ff.Runtime().start(Push(), **{option: 1})


def test_an_unknown_cancel_mode_is_refused():
    rt = ff.Runtime()
    producer, consumer = rt.start(Push()), rt.start(Recorder())

    with pytest.raises((TypeError, ValueError), match=r"permanent.*transient.*temporary|cancel"):
        consumer.subscribe(producer, cancel="perhaps")


def test_options_are_class_attributes_that_start_may_override():
    class Small(Push):
        buffer_size = 3
        buffer_keep = "first"

    rt = ff.Runtime()
    own, other = rt.start(Small()), rt.start(Small(), buffer_size=5)

    for ref in (own, other):
        ref.cast(np.arange(9))
    settle(rt)

    assert (own.estimate_buffered_count(), other.estimate_buffered_count()) == (3, 5)


def test_dtype_may_be_set_in_the_constructor():
    class Any(Push):
        def __init__(self, dtype):
            self.dtype = dtype

    rt = ff.Runtime()
    producer = rt.start(Any("float32"))
    recorder = rt.start(Recorder())
    recorder.subscribe(producer)
    producer.cast(np.ones(2, "float32"))
    settle(rt)

    assert stage_of(recorder).batches[0].dtype == np.dtype("float32")


@pytest.mark.parametrize(
    "name", ["result", "handle_events", "emit", "claim", "finish", "setup", "terminate"]
)
def test_an_attribute_that_hides_a_method_is_refused_by_name(name):
    class Hides(ff.Consumer):
        def __init__(self):
            setattr(self, name, 0)

        def handle_events(self, events, source):
            return None

    with pytest.raises(FastflowError, match=name):
        ff.Runtime().start(Hides())


@pytest.mark.parametrize("name", ["accepts", "buffer_size", "state", "subscribe_to"])
def test_an_attribute_that_hides_an_option_is_refused_by_name(name):
    class Hides(ff.ProducerConsumer):
        def __init__(self):
            setattr(self, name, ())

        def handle_events(self, events, source):
            return events

    with pytest.raises(FastflowError, match=name):
        ff.Runtime().start(Hides())


def test_an_attribute_set_in_setup_that_hides_a_method_is_refused():
    class Hides(ff.Consumer):
        def setup(self):
            self.result = 0

        def handle_events(self, events, source):
            return None

    error = failure(ff.Runtime(), Hides())

    assert isinstance(error, FastflowError)
    assert "result" in str(error)


def test_an_attribute_that_hides_a_property_is_refused():
    """Python itself may refuse a property without a setter."""

    class Hides(ff.Consumer):
        def __init__(self):
            self.pending_demand = 0

        def handle_events(self, events, source):
            return None

    with pytest.raises((FastflowError, AttributeError), match="pending_demand"):
        ff.Runtime().start(Hides())


def test_a_stage_without_its_callback_is_refused():
    """GenStage 15: handle_demand and handle_events are mandatory for their types."""

    class Nothing(ff.Producer):
        dtype = "int64"

    class Idle(ff.Consumer):
        pass

    rt = ff.Runtime()
    with pytest.raises((TypeError, NotImplementedError, FastflowError)):
        producer = rt.start(Nothing())
        rt.start(Recorder(), subscribe_to=[(producer, dict(cancel="temporary"))])
        settle(rt)
        producer.result()
    with pytest.raises((TypeError, NotImplementedError, FastflowError)):
        consumer = rt.start(Idle(), subscribe_to=[rt.start(Counter(0, 5))])
        settle(rt)
        consumer.result()


# -- what callbacks return ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "events",
    [
        np.arange(3),
        np.arange(6)[::2] // 2,
        np.arange(3)[::-1][::-1],
        np.array([0, 1, 2], dtype=">i8").astype("int64"),
        [0, 1, 2],
    ],
    ids=["array", "computed", "view", "cast", "list"],
)
def test_arrays_and_lists_may_be_returned(events):
    rt = ff.Runtime()
    producer, recorder = rt.start(Push()), rt.start(Recorder())
    recorder.subscribe(producer)

    producer.cast(events)
    settle(rt)

    assert [batch.tolist() for batch in stage_of(recorder).batches] == [[0, 1, 2]]


def test_strided_and_read_only_arrays_may_be_returned():
    base = np.arange(20)
    base.flags.writeable = False
    rt = ff.Runtime()
    producer, recorder = rt.start(Push()), rt.start(Recorder())
    recorder.subscribe(producer)

    for view in (base[::2], base[::-1], base[3:5], np.broadcast_to(np.int64(7), (3,))):
        producer.cast(view)
    settle(rt)

    got = np.concatenate(stage_of(recorder).batches).tolist()
    assert got == [*range(0, 20, 2), *range(19, -1, -1), 3, 4, 7, 7, 7]
    assert base.tolist() == list(range(20))


def test_an_array_that_was_returned_and_kept_is_not_changed_by_it_later():
    kept = np.arange(3)
    rt = ff.Runtime()
    producer, recorder = rt.start(Push()), rt.start(Recorder())
    producer.cast(kept)
    settle(rt)

    kept[:] = 99
    recorder.subscribe(producer)
    settle(rt)

    assert stage_of(recorder).batches[0].tolist() in ([0, 1, 2], [99, 99, 99])
    assert len(stage_of(recorder).batches) == 1


@pytest.mark.parametrize("columns", ["dict", "Batch", "structured"])
def test_columns_may_be_returned(columns):
    dtype = [("price", "f8"), ("qty", "i8")]
    price, qty = np.array([1.5, 2.5]), np.array([3, 4])
    if columns == "dict":
        events = {"price": price, "qty": qty}
    elif columns == "Batch":
        events = ff.Batch(price=price, qty=qty)
    else:
        events = np.array([(1.5, 3), (2.5, 4)], dtype=dtype)
    seen = []

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            seen.append((type(events), events["price"].tolist(), events["qty"].tolist()))

    rt = ff.Runtime()
    producer = rt.start(Push(), dtype=dtype)
    rt.start(Look(), subscribe_to=[producer])
    producer.cast(events)
    settle(rt)

    assert seen == [(ff.Batch, [1.5, 2.5], [3, 4])]


def test_objects_come_as_lists():
    seen, things = [], [{"a": 1}, None, "text", [1, 2]]

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            assert type(events) is list
            seen.extend(events)

    rt = ff.Runtime()
    producer = rt.start(Push(), dtype="object")
    rt.start(Look(), subscribe_to=[producer])
    producer.cast(things)
    settle(rt)

    assert seen == things
    assert seen[0] is things[0]


def test_events_are_read_only():
    class Writes(ff.Consumer):
        def handle_events(self, events, source):
            events[0] = 5

    error = failure(rt := ff.Runtime(), Writes(), subscribe_to=[rt.start(Counter(0, 5))])

    assert isinstance(error, ValueError)
    assert "read-only" in str(error)


def test_emit_comes_before_what_the_callback_returns():
    class Both(Push):
        def handle_cast(self, request):
            self.emit(np.array([1, 2]))
            self.emit([3])
            return np.array([4])

    rt = ff.Runtime()
    producer, recorder = rt.start(Both()), rt.start(Recorder())
    recorder.subscribe(producer)
    producer.cast("now")
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 2, 3, 4]


def test_events_may_be_emitted_from_any_callback():
    """GenStage 21."""

    class Talks(Push):
        def setup(self):
            self.after(1.0, "timer")

        def handle_subscribe(self, role, options, subscription):
            self.emit([10])
            return "automatic"

        def handle_info(self, message):
            return [20] if message == "timer" else [30]

        def handle_cast(self, request):
            self.emit([40])

        def handle_cancel(self, reason, subscription):
            self.emit([50])

    clock = ManualClock()
    rt = ff.Runtime(clock=clock)
    producer, recorder = rt.start(Talks()), rt.start(Recorder())
    recorder.subscribe(producer, max_demand=100)
    other = rt.start(Recorder()).subscribe(producer, max_demand=1, min_demand=0, cancel="temporary")
    settle(rt)
    clock.advance(1.0)
    settle(rt)
    producer.info("hello")
    producer.cast("hello")
    settle(rt)
    other.cancel("cancel")
    settle(rt)

    got = np.concatenate(stage_of(recorder).batches).tolist()
    assert sorted(got) == [10, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    "bad",
    [
        5,
        2.5,
        True,
        "abc",
        b"abc",
        object(),
        {1, 2},
        np.array(5),
        np.int64(5),
        np.zeros((2, 3), "int64"),
        np.zeros(3),
        np.zeros(3, "complex128"),
        np.array(["a", "b"]),
        np.zeros(3, "M8[s]"),
        np.array([1, None]),
        np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]),
        {"price": np.zeros(3)},
    ],
    ids=lambda bad: f"{type(bad).__name__}-{getattr(bad, 'dtype', '')}{getattr(bad, 'shape', '')}",
)
def test_what_cannot_be_events_ends_the_stage(bad):
    """GenStage 17."""
    reason = failure_of_demand(lambda stage, demand: bad)

    assert isinstance(reason, (CallbackError, SchemaError))
    assert "int64" in str(reason) or "events" in str(reason)


def test_a_wrong_dtype_is_named_with_the_right_one():
    reason = failure_of_demand(lambda stage, demand: np.zeros(3))

    assert "float64" in str(reason)
    assert "int64" in str(reason)


@pytest.mark.parametrize(
    "bad",
    [
        {"price": np.zeros(2)},
        {"price": np.zeros(2), "qty": np.zeros(3, "i8")},
        {"price": np.zeros(2), "qty": np.zeros(2, "i8"), "more": np.zeros(2)},
        {"price": np.zeros((2, 2)), "qty": np.zeros(2, "i8")},
        {"price": np.zeros(2), "quantity": np.zeros(2, "i8")},
        {"price": 1.0, "qty": 2},
        np.zeros(3),
    ],
    ids=["missing", "lengths", "extra", "2-D", "name", "scalars", "plain"],
)
def test_columns_that_do_not_fit_end_the_stage(bad):
    reason = failure_of_demand(lambda stage, demand: bad, dtype=[("price", "f8"), ("qty", "i8")])

    assert isinstance(reason, FastflowError)


def test_without_a_dtype_the_first_output_decides():
    outputs = [np.arange(2), np.arange(3), np.zeros(2)]
    seen = []

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            seen.append(events.tolist())

    class Free(Push):
        dtype = None

    rt = ff.Runtime()
    producer = rt.start(Free())
    rt.start(Look(), subscribe_to=[(producer, dict(cancel="temporary"))])
    for output in outputs:
        producer.cast(output)
        settle(rt)

    assert seen == [[0, 1], [0, 1, 2]]
    reason = producer.join()
    assert isinstance(reason, (CallbackError, SchemaError))
    assert "float64" in str(reason)
    assert "int64" in str(reason)


def test_without_a_dtype_a_list_means_objects():
    class Free(Push):
        dtype = None

    seen = []

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            seen.append(events)

    rt = ff.Runtime()
    producer = rt.start(Free())
    rt.start(Look(), subscribe_to=[producer])
    producer.cast([1, 2])
    settle(rt)

    assert seen == [[1, 2]]
    assert type(seen[0]) is list


def test_a_batch_may_be_passed_on_as_it_came():
    class Same(ff.ProducerConsumer):
        dtype = "int64"

        def handle_events(self, events, source):
            return events[: len(events) - 1] if len(events) > 1 else events

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 1000))
    one = rt.start(Same(), subscribe_to=[(producer, dict(max_demand=100, min_demand=50))])
    two = rt.start(Same(), subscribe_to=[(one, dict(max_demand=98, min_demand=49))])
    recorder = rt.start(Recorder(), subscribe_to=[(two, dict(max_demand=10))])

    settle(rt)

    got = flat(recorder)
    assert got == sorted(set(got))
    assert 900 < len(got) < 1000


# -- claims ---------------------------------------------------------------------------------------


def test_a_part_of_a_claim_may_be_returned():
    class Part(Counter):
        def handle_demand(self, demand):
            out = self.claim(demand)
            out[:] = -1
            k = min(3, self.end - self.next)
            ff.fill_range(out[:k], self.next)
            self.next += k
            if self.next == self.end:
                self.finish()
            return out[:k]

    rt = ff.Runtime()
    producer = rt.start(Part(0, 20))
    recorder = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=8))])
    settle(rt)

    assert flat(recorder) == list(range(20))


def test_a_claim_may_be_emitted_and_another_made():
    class Twice(Push):
        def handle_cast(self, request):
            out = self.claim(2)
            out[:] = [1, 2]
            self.emit(out)
            out = self.claim(1)
            out[:] = 3
            return out

    rt = ff.Runtime()
    producer, recorder = rt.start(Twice()), rt.start(Recorder())
    recorder.subscribe(producer)
    producer.cast("now")
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 2, 3]


def test_a_claim_of_nothing_is_empty():
    class Zero(Push):
        def handle_cast(self, request):
            out = self.claim(0)
            assert out.shape == (0,)
            assert out.dtype == np.dtype("int64")
            return out

    rt = ff.Runtime()
    producer = rt.start(Zero())
    producer.cast("now")
    settle(rt)

    assert producer.alive
    assert producer.estimate_buffered_count() == 0


def test_a_claim_may_be_larger_than_the_demand():
    class Large(Push):
        def handle_cast(self, request):
            out = self.claim(request)
            ff.fill_range(out, 0)
            return out

    rt = ff.Runtime()
    producer, recorder = rt.start(Large()), rt.start(Recorder())
    recorder.subscribe(producer, max_demand=4)
    producer.cast(1000)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == list(range(1000))


def test_a_claim_that_is_not_returned_is_nothing():
    class Forgets(Push):
        def handle_cast(self, request):
            out = self.claim(3)
            out[:] = request
            return out if request == 7 else None

    rt = ff.Runtime()
    producer, recorder = rt.start(Forgets()), rt.start(Recorder())
    recorder.subscribe(producer)
    for request in (5, 6, 7):
        producer.cast(request)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [7, 7, 7]


def test_a_claimed_array_that_is_kept_and_written_later_changes_nothing():
    kept = []

    class Keeps(Push):
        def handle_cast(self, request):
            out = self.claim(3)
            out[:] = request
            kept.append(out)
            return out

    rt = ff.Runtime()
    producer = rt.start(Keeps())
    producer.cast(1)
    settle(rt)
    kept[0][:] = 99
    recorder = rt.start(Recorder())
    recorder.subscribe(producer)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 1, 1]


def test_a_claim_outside_a_callback_is_refused():
    ref = ff.Runtime().start(Counter(0, 10))

    with pytest.raises(CallbackError, match="claim"):
        stage_of(ref).claim(3)


@pytest.mark.parametrize("n", [-1, 1.5, "3", None, True])
def test_a_claim_of_no_count_is_refused(n):
    reason = failure_of_demand(lambda stage, demand: stage.claim(n))

    assert isinstance(reason, (TypeError, ValueError))


def test_a_claim_of_objects_is_refused():
    reason = failure_of_demand(lambda stage, demand: stage.claim(3), dtype="object")

    assert isinstance(reason, FastflowError)
    assert "object" in str(reason)


def test_a_second_claim_before_the_first_was_emitted_is_refused():
    reason = failure_of_demand(lambda stage, demand: (stage.claim(2), stage.claim(2))[1])

    assert isinstance(reason, CallbackError)
    assert "claim" in str(reason)


def test_a_consumer_cannot_claim():
    class Claims(ff.Consumer):
        def handle_events(self, events, source):
            self.claim(3)

    error = failure(rt := ff.Runtime(), Claims(), subscribe_to=[rt.start(Counter(0, 5))])

    assert isinstance(error, (FastflowError, AttributeError))


@pytest.mark.parametrize(
    "overlap",
    [lambda out: out[1:], lambda out: out[::-1], lambda out: out[::2]],
    ids=["its end", "reversed", "every second"],
)
def test_what_overlaps_the_claim_without_being_its_beginning_is_refused(overlap):
    reason = failure_of_demand(lambda stage, demand: overlap(stage.claim(6)))

    assert isinstance(reason, CallbackError)
    assert "claim" in str(reason)


def test_more_than_was_claimed_is_refused():
    def longer(stage, demand):
        return np.lib.stride_tricks.as_strided(stage.claim(4), (8,))

    reason = failure_of_demand(longer)

    assert isinstance(reason, CallbackError)
    assert "claim" in str(reason)


# -- the stream's ends ----------------------------------------------------------------------------


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


# -- state ----------------------------------------------------------------------------------------


class Stateful(ff.Consumer):
    """Changes every kind of state, and on the first try of each turn thinks better of it."""

    state = ("number", "text", "pair", "array", "table", "nothing")

    def __init__(self, seen):
        self.seen, self.tries = seen, 0
        self.number, self.text, self.pair = 0, "", (0, 0.0)
        self.array, self.table, self.nothing = np.zeros(3), {"rows": []}, None

    def turn(self, what):
        self.tries += 1
        self.seen.append(
            (
                self.number,
                self.text,
                self.pair,
                self.array.tolist(),
                self.table["rows"][:],
                self.nothing,
            )
        )
        self.number += 1
        self.text += "x"
        self.pair = (self.number, self.number / 2)
        self.array += 1
        self.table["rows"].append(self.number)
        self.nothing = self.number
        if self.tries % 2:
            raise ff.Retry
        return None

    def handle_events(self, events, source):
        self.turn(events)

    def handle_cast(self, request):
        self.turn(request)

    def handle_info(self, message):
        self.turn(message)


def check_states(seen, turns):
    """Each turn was tried twice and began in the same state, that of the turn before it."""
    assert len(seen) == 2 * turns
    for i in range(turns):
        assert seen[2 * i] == seen[2 * i + 1]
        assert seen[2 * i][0] == i
        assert seen[2 * i][1] == "x" * i
        assert seen[2 * i][3] == [float(i)] * 3
        assert seen[2 * i][4] == list(range(1, i + 1))


def test_declared_state_is_rolled_back_when_a_batch_is_retried():
    rt, seen = ff.Runtime(), []
    producer = rt.start(Counter(0, 20))
    rt.start(Stateful(seen), subscribe_to=[(producer, dict(max_demand=4, min_demand=2))])

    settle(rt)

    check_states(seen, 10)


@pytest.mark.parametrize("how", ["cast", "info"])
def test_declared_state_is_rolled_back_when_a_message_is_retried(how):
    rt, seen = ff.Runtime(), []
    consumer = rt.start(Stateful(seen))
    for i in range(4):
        getattr(consumer, how)(i)

    settle(rt)

    check_states(seen, 4)


def test_declared_state_is_rolled_back_when_demand_is_retried():
    seen = []

    class Tries(Counter):
        def __init__(self, stop):
            super().__init__(0, stop)
            self.tries = 0

        def handle_demand(self, demand):
            seen.append((self.next, demand))
            out = super().handle_demand(min(demand, 5))
            self.tries += 1
            if self.tries % 2:
                raise ff.Retry(after=0)
            return out

    rt = ff.Runtime()
    producer = rt.start(Tries(20))
    recorder = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])
    settle(rt)

    assert flat(recorder) == list(range(20))
    assert seen[0::2] == seen[1::2]
    assert [position for position, _ in seen[0::2]] == [0, 5, 10, 15]


def test_what_is_not_declared_is_not_rolled_back():
    rt, seen = ff.Runtime(), []
    consumer = rt.start(Stateful(seen))
    consumer.cast(1)
    settle(rt)

    assert stage_of(consumer).tries == 2


def test_an_array_of_state_stays_the_same_object():
    """It is copied back into, so other references to it see the rolled-back values too."""

    class Holds(ff.Consumer):
        state = ("array",)

        def __init__(self):
            self.array, self.tries = np.zeros(4), 0

        def handle_cast(self, request):
            self.array[request] += 1
            self.tries += 1
            if self.tries == 2:
                raise ff.Retry

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    consumer = rt.start(Holds())
    for i in (0, 1, 2):
        consumer.cast(i)
    settle(rt)

    assert stage_of(consumer).array.tolist() == [1.0, 1.0, 1.0, 0.0]


def test_an_array_of_state_may_be_replaced_by_one_of_another_shape():
    class Grows(ff.Consumer):
        state = ("array",)

        def __init__(self):
            self.array, self.tries = np.zeros(1), 0

        def handle_cast(self, request):
            self.array = np.append(self.array, request)
            self.tries += 1
            if self.tries % 2:
                raise ff.Retry

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    consumer = rt.start(Grows())
    for i in (1, 2, 3):
        consumer.cast(i)
    settle(rt)

    assert stage_of(consumer).array.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_failed_turn_is_undone_before_terminate():
    left = []

    class Fails(Total):
        def handle_events(self, events, source):
            super().handle_events(events, source)
            if events[-1] >= 4:
                raise ZeroDivisionError("on purpose")

        def terminate(self, reason):
            left.append(self.total)

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 10))
    consumer = rt.start(Fails(), subscribe_to=[(producer, dict(max_demand=4, min_demand=2))])
    settle(rt)

    assert isinstance(consumer.join(), ZeroDivisionError)
    assert left == [0 + 1 + 2 + 3]


def test_state_that_was_never_set_is_refused():
    class Unset(Push):
        state = ("position",)

    error = failure(ff.Runtime(), Unset())

    assert isinstance(error, StateError)
    assert "position" in str(error)


def test_state_that_cannot_be_pickled_is_refused():
    class Open(Push):
        state = ("handle",)

        def __init__(self):
            self.handle = (x for x in ())

    error = failure(ff.Runtime(), Open())

    assert isinstance(error, StateError)
    assert "handle" in str(error)


def test_state_that_is_too_large_is_refused():
    """DESIGN 8: 64 KiB together; `ff.Table` is for more."""

    class Large(Push):
        state = ("array",)

        def __init__(self):
            self.array = np.zeros(100_000)

    error = failure(ff.Runtime(), Large())

    assert isinstance(error, StateError)
    assert "array" in str(error) or "64" in str(error)


# -- Retry ----------------------------------------------------------------------------------------


def test_a_retried_batch_is_the_same_batch_later():
    clock, tries = ManualClock(), []

    class Flaky(ff.Consumer):
        def handle_events(self, events, source):
            tries.append((clock_now[0], events.tolist()))
            if len(tries) == 2:
                raise ff.Retry(after=1.5)

    clock_now = [0.0]
    rt = ff.Runtime(clock=clock)
    producer = rt.start(Counter(0, 6))
    consumer = rt.start(Flaky(), subscribe_to=[(producer, dict(max_demand=4, min_demand=2))])
    settle(rt)
    assert tries == [(0.0, [0, 1]), (0.0, [2, 3])]

    clock_now[0] = 1.0
    clock.advance(1.0)
    settle(rt)
    assert len(tries) == 2

    clock_now[0] = 1.5
    clock.advance(0.5)
    settle(rt)
    assert tries[2:] == [(1.5, [2, 3]), (1.5, [4, 5])]
    assert consumer.join() == "normal"


def test_until_the_retry_the_stage_takes_no_other_turn():
    """DESIGN 3."""
    clock, log = ManualClock(), []

    class Flaky(Log):
        def handle_cast(self, request):
            super().handle_cast(request)
            if self.log.count(("cast", "first")) == 1:
                raise ff.Retry(after=2.0)

    rt = ff.Runtime(clock=clock)
    consumer = rt.start(Flaky(log))
    consumer.cast("first")
    settle(rt)
    consumer.cast("second")
    consumer.info("third")
    settle(rt)
    assert log == ["setup", ("cast", "first")]

    clock.advance(2.0)
    settle(rt)

    assert log == [
        "setup",
        ("cast", "first"),
        ("cast", "first"),
        ("cast", "second"),
        ("info", "third"),
    ]


def test_nothing_leaves_a_turn_that_is_retried():
    """Events, casts and timers of a turn go with its commit."""
    clock, log = ManualClock(), []

    class Flaky(Push):
        def __init__(self, other):
            self.other, self.tries = other, 0

        def handle_cast(self, request):
            self.emit([1, 2])
            self.other.cast("hello")
            self.after(1.0, "timer")
            self.tries += 1
            if self.tries < 3:
                raise ff.Retry
            return [3]

        def handle_info(self, message):
            return [4]

    rt = ff.Runtime(clock=clock)
    other = rt.start(Log(log))
    producer, recorder = rt.start(Flaky(other)), rt.start(Recorder())
    recorder.subscribe(producer)
    producer.cast("go")
    settle(rt)
    clock.advance(5.0)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 2, 3, 4]
    assert log.count(("cast", "hello")) == 1


def test_positions_do_not_move_in_a_turn_that_is_retried():
    seen = []

    class Flaky(ff.Consumer):
        def handle_events(self, events, source):
            seen.append((self.handled, events.tolist()))
            if len(seen) % 2:
                raise ff.Retry

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 4))
    rt.start(Flaky(), subscribe_to=[(producer, dict(max_demand=2, min_demand=0))])
    settle(rt)

    assert seen == [(0, [0, 1]), (0, [0, 1]), (2, [2, 3]), (2, [2, 3])]


# -- positions and random numbers -----------------------------------------------------------------


def test_emitted_is_the_position_in_the_output():
    positions = []

    class Knows(Counter):
        def setup(self):
            positions.append(("setup", self.emitted))

        def handle_demand(self, demand):
            positions.append((self.next, self.emitted))
            return super().handle_demand(min(demand, 7))

        def result(self):
            return self.emitted

    rt = ff.Runtime()
    producer = rt.start(Knows(0, 30))
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])
    settle(rt)

    assert positions[0] == ("setup", 0)
    assert len(positions) > 4
    assert all(position == emitted for position, emitted in positions[1:])
    assert producer.result() == 30


def test_handled_is_the_position_in_the_input():
    positions = []

    class Knows(ff.Consumer):
        def setup(self):
            positions.append((0, self.handled))

        def handle_events(self, events, source):
            positions.append((int(events[0]), self.handled))

        def result(self):
            return self.handled

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 30))
    consumer = rt.start(Knows(), subscribe_to=[(producer, dict(max_demand=6))])
    settle(rt)

    assert all(first == handled for first, handled in positions)
    assert consumer.result() == 30


class Draws(ff.Producer):
    """Emits random numbers."""

    dtype = "float64"

    def __init__(self, flaky=False):
        self.flaky, self.tries = flaky, 0

    def handle_demand(self, demand):
        numbers = self.rng.random(4)
        self.tries += 1
        if self.flaky and self.tries % 2:
            raise ff.Retry
        if self.emitted == 8:
            self.finish()
        return numbers


def draw(seed, name="draws", **arguments):
    rt = ff.Runtime(seed=seed)
    producer = rt.start(Draws(**arguments), name=name)
    recorder = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=4, min_demand=0))])
    settle(rt)
    return np.concatenate(recorder.result()).tolist()


def test_the_same_seed_gives_the_same_numbers():
    assert draw(1) == draw(1)
    assert len(set(draw(1))) == 12


def test_another_seed_or_stage_gives_other_numbers():
    assert draw(1) != draw(2)
    assert draw(1) != draw(1, name="other")


def test_a_retried_turn_draws_the_same_numbers_again():
    assert draw(1, flaky=True) == draw(1)


# -- timers ---------------------------------------------------------------------------------------


class Alarm(ff.Consumer):
    """Sets timers when told, and writes down what arrives."""

    def __init__(self, log):
        self.log, self.timers = log, []

    def handle_cast(self, request):
        seconds, message = request
        self.timers.append(self.after(seconds, message))

    def handle_info(self, message):
        self.log.append(message)

    def handle_events(self, events, source):
        return None


def test_a_timer_sends_its_message_when_it_is_due():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((2.0, "two"))
    settle(rt)

    clock.advance(1.5)
    settle(rt)
    assert log == []

    clock.advance(0.5)
    settle(rt)
    assert log == ["two"]

    clock.advance(10)
    settle(rt)
    assert log == ["two"]


def test_timers_come_in_the_order_in_which_they_are_due():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    for seconds in (3.0, 1.0, 2.0, 1.0):
        alarm.cast((seconds, (seconds, len(log))))
    for i, seconds in enumerate((1.0, 1.0)):
        alarm.cast((seconds, ("same", i)))
    settle(rt)

    clock.advance(5.0)
    settle(rt)

    assert [m[0] for m in log] == [1.0, 1.0, "same", "same", 2.0, 3.0]
    assert [m for m in log if m[0] == "same"] == [("same", 0), ("same", 1)]


def test_a_cancelled_timer_stays_silent():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((1.0, "one"))
    alarm.cast((2.0, "two"))
    settle(rt)

    stage_of(alarm).timers[0].cancel()
    clock.advance(5.0)
    settle(rt)

    assert log == ["two"]


def test_cancelling_a_timer_late_or_twice_does_nothing():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((1.0, "one"))
    settle(rt)
    clock.advance(1.0)
    settle(rt)

    timer = stage_of(alarm).timers[0]
    timer.cancel()
    timer.cancel()
    settle(rt)

    assert log == ["one"]


def test_a_timer_of_no_seconds_comes_in_a_later_turn():
    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    alarm = rt.start(Alarm(log))
    alarm.cast((0, "now"))
    settle(rt)

    assert log == ["now"]


def test_a_timer_can_set_itself_again():
    class Ticks(Alarm):
        def setup(self):
            self.after(1.0, 1)

        def handle_info(self, message):
            super().handle_info(message)
            self.after(1.0, message + 1)

    clock, log = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    rt.start(Ticks(log))
    settle(rt)
    for _ in range(5):
        clock.advance(1.0)
        settle(rt)

    assert log == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("seconds", [-1, float("nan"), "soon", None])
def test_a_timer_in_no_seconds_at_all_is_refused(seconds):
    rt = ff.Runtime(clock=ManualClock())
    alarm = rt.start(Alarm([]))
    alarm.cast((seconds, "never"))
    settle(rt)

    assert isinstance(alarm.join(), (TypeError, ValueError))


# -- schemas of an edge ---------------------------------------------------------------------------


def test_a_consumer_that_accepts_something_else_is_refused_with_both_schemas():
    rt = ff.Runtime()
    producer, consumer = rt.start(Push()), rt.start(Recorder(accepts="float32"))

    with pytest.raises(SchemaError) as refused:
        consumer.subscribe(producer)

    assert "int64" in str(refused.value)
    assert "float32" in str(refused.value)
    assert "convert" in str(refused.value) or "cast" in str(refused.value)


def test_a_different_order_or_name_of_columns_is_refused():
    rt = ff.Runtime()
    producer = rt.start(Push(), dtype=[("price", "f8"), ("qty", "i8")])
    consumer = rt.start(Recorder(accepts=[("price", "f8"), ("quantity", "i8")]))

    with pytest.raises(SchemaError, match=r"quantity"):
        consumer.subscribe(producer)


@pytest.mark.parametrize(
    ("emits", "accepts"),
    [("int32", "int64"), ("int32", "float64"), ("float32", "float64"), ("bool", "int8")],
)
def test_safe_casts_are_made_when_asked_for(emits, accepts):
    rt = ff.Runtime()
    producer = rt.start(Push(), dtype=emits)
    consumer = rt.start(Recorder(accepts=accepts))
    with pytest.raises(SchemaError):
        consumer.subscribe(producer)
    consumer.subscribe(producer, convert=True)

    producer.cast(np.array([0, 1, 1], emits))
    settle(rt)

    batch = stage_of(consumer).batches[0]
    assert batch.dtype == np.dtype(accepts)
    assert batch.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("emits", "accepts"),
    [("float64", "int64"), ("int64", "int32"), ("complex128", "float64"), ("U3", "int64")],
)
def test_unsafe_casts_are_refused_even_when_asked_for(emits, accepts):
    rt = ff.Runtime()
    producer = rt.start(Push(), dtype=emits)
    consumer = rt.start(Recorder(accepts=accepts))

    with pytest.raises(SchemaError):
        consumer.subscribe(producer, convert=True)


def test_without_a_dtype_the_check_waits_for_the_first_output():
    rt = ff.Runtime()
    producer = rt.start(Push(), dtype=None)
    consumer = rt.start(Recorder(accepts="float32"))
    consumer.subscribe(producer)
    settle(rt)

    producer.cast(np.arange(3))
    settle(rt)

    reasons = [ref.join() for ref in (producer, consumer) if not ref.alive]
    assert any(isinstance(reason, SchemaError) for reason in reasons)


def test_every_fixed_width_dtype_goes_through():
    for dtype in [
        "bool",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "float64",
        "longdouble",
        "complex64",
        "complex128",
        "S5",
        "U3",
        "M8[ns]",
        "m8[s]",
        "V6",
    ]:
        events = np.zeros(7, dtype)
        rt = ff.Runtime()
        recorder = rt.start(Recorder(), subscribe_to=[rt.start(Script([events], dtype=dtype))])
        settle(rt)

        got = np.concatenate(recorder.result())
        assert got.dtype == events.dtype
        assert got.tobytes() == events.tobytes()


@pytest.mark.parametrize("dtype", ["V0", "S0", "U0", "nonsense", 3.5])
def test_dtypes_that_hold_nothing_are_refused(dtype):
    with pytest.raises((TypeError, ValueError)):
        ff.Runtime().start(Push(), dtype=dtype)


# -- whole batches --------------------------------------------------------------------------------


def test_a_stage_may_have_its_batches_delivered_whole():
    """`whole = n`: neither cut nor joined, whatever max - min is."""

    class Blocks(ff.Producer):
        dtype = "int64"
        whole = 8

        def __init__(self):
            self.count = 0

        def handle_demand(self, demand):
            self.count += 1
            if self.count == 6:
                self.finish()
            return np.full(8 if self.count < 6 else 3, self.count)

    rt, batches = ff.Runtime(), []

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            batches.append(events.tolist())

    rt.start(Look(), subscribe_to=[(rt.start(Blocks()), dict(max_demand=20, min_demand=15))])
    settle(rt)

    assert batches == [[i] * 8 for i in range(1, 6)] + [[6] * 3]


# -- odds and ends --------------------------------------------------------------------------------


def test_decorated_callbacks_are_callbacks():
    calls = []

    def counted(method):
        @functools.wraps(method)
        def wrapper(self, *arguments):
            calls.append(method.__name__)
            return method(self, *arguments)

        return wrapper

    class Decorated(ff.Consumer):
        @counted
        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    rt.start(Decorated(), subscribe_to=[rt.start(Counter(0, 5))])
    settle(rt)

    assert calls == ["handle_events"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=10), st.integers(1, 30), st.data())
def test_claims_of_any_size_keep_order_and_content(sizes, max_demand, data):
    """Claims below, at and beyond the demand, emitted in part or whole."""
    low = data.draw(st.integers(0, max_demand - 1))
    parts = [data.draw(st.integers(0, n)) for n in sizes]

    class Claims(Push):
        def __init__(self):
            self.next = 0

        def handle_cast(self, request):
            size, part = request
            out = self.claim(size)
            out[:] = np.arange(self.next, self.next + size)
            self.next += part
            return out[:part]

    rt = ff.Runtime()
    producer, recorder = rt.start(Claims()), rt.start(Recorder())
    recorder.subscribe(producer, max_demand=max_demand, min_demand=low)
    for request in zip(sizes, parts, strict=True):
        producer.cast(request)
        settle(rt)

    got = [int(x) for batch in stage_of(recorder).batches for x in batch]
    assert got == list(range(sum(parts)))


def test_a_stage_is_of_exactly_one_type():
    """GenStage 1."""
    for kind in (ff.Producer, ff.ProducerConsumer, ff.Consumer):
        assert issubclass(kind, ff.Stage)
    with pytest.raises((TypeError, ValueError)):

        class Both(ff.Producer, ff.Consumer):
            def handle_demand(self, demand):
                return None

            def handle_events(self, events, source):
                return None

        ff.Runtime().start(Both())


def test_a_producer_cannot_subscribe():
    """GenStage 68."""
    rt = ff.Runtime()
    one, two = rt.start(Push()), rt.start(Push())

    with pytest.raises(GraphError):
        one.subscribe(two)
    assert one.alive
