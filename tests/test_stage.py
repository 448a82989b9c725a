"""Stages: templates, options and attributes, the schemas of an edge, whole batches."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from helpers_stage import Counter, Log, Push, Total, failure, flat
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow as ff
from fastflow.errors import FastflowError, GraphError, OptionError, SchemaError
from fastflow.testing import Recorder, Script, settle, stage_of

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
    with pytest.raises((TypeError, FastflowError)):
        producer = rt.start(Nothing())
        rt.start(Recorder(), subscribe_to=[(producer, dict(cancel="temporary"))])
        settle(rt)
        producer.result()
    with pytest.raises((TypeError, FastflowError)):
        consumer = rt.start(Idle(), subscribe_to=[rt.start(Counter(0, 5))])
        settle(rt)
        consumer.result()


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
