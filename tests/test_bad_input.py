"""Bad input at the boundary of a stage: a clear error, or a defined result; nothing lost, no crash.

An error must say what was got, what was expected and what to do, and where: the stage and its
callback. Nothing lost means that what was emitted before the bad turn arrives, that nothing of the
bad turn does, and that the counters of the edge are what they were before it.
"""

import gc

import numpy as np
import pandas as pd
import pytest
from helpers_bad_input import LARGEST, Sink, assert_clear, everything_said, numbers

import fastflow as ff
from fastflow import errors, testing


class Source(ff.Producer):
    """Emits 0 .. 9 in two batches of 5, then what `bad` returns in the third turn, then ends."""

    dtype = "int64"

    def __init__(self, bad, kind="int64"):
        self.bad, self.turns = bad, 0
        self.dtype = kind

    def handle_demand(self, demand):
        self.turns += 1
        if self.turns <= 2:
            batch = np.arange(5 * self.turns - 5, 5 * self.turns)
            return batch.tolist() if self.dtype == "object" else batch
        self.finish()
        return self.bad(self)


def outcome_of(bad, kind="int64"):
    """Run Source(bad) into a Sink: (events that came, error or None, counters of the edge)."""
    came = []
    rt = ff.Runtime()
    source = rt.start(Source(bad, kind), name="source")
    sink = rt.start(Sink(came), name="sink")
    edge = sink.subscribe(source, max_demand=100, min_demand=50)
    testing.settle(rt)
    error = None
    try:
        source.result()
    except Exception as caught:             # noqa: BLE001  what it is, is what the tests look at
        error = caught
        reason = sink.join(timeout=0)
        assert reason is not None
    counters = numbers(edge)
    values = np.concatenate(came) if came else np.arange(0)
    try:
        rt.run(timeout=10)
    except BaseException as raised:
        # Fetched above by result(): what else is raised now would be a second failure.
        raise AssertionError(f"raised again at the end: {raised!r}") from raised
    return values, error, counters


def assert_nothing_lost(values, counters):
    """The two good batches came, and the edge counts them and nothing else."""
    assert values.tolist() == list(range(10))
    asked, sent, acked = counters
    assert sent == acked == 10
    assert sent <= asked <= acked + 100


# -- what a callback returns that can't be events --


def as_strided_beyond(stage):
    out = stage.claim(5)
    return np.lib.stride_tricks.as_strided(out, (len(out) + 3,))


BAD_RETURNS = {
    "int": lambda stage: 5,
    "float": lambda stage: 5.5,
    "bool": lambda stage: True,
    "numpy scalar": lambda stage: np.int64(5),
    "0-d array": lambda stage: np.array(5),
    "2-D array": lambda stage: np.zeros((2, 3), dtype=np.int64),
    "2-D array of one column": lambda stage: np.zeros((3, 1), dtype=np.int64),
    "3-D array": lambda stage: np.zeros((1, 2, 3), dtype=np.int64),
    "2-D array in Fortran order": lambda stage: np.zeros((2, 3), dtype=np.int64, order="F"),
    "matrix": lambda stage: np.ones((1, 3), dtype=np.int64).view(np.matrix),
    "str": lambda stage: "abc",
    "bytes": lambda stage: b"abcdefgh",
    "generator": lambda stage: (i for i in range(3)),
    "range object": lambda stage: iter(range(3)),
    "function": lambda stage: len,
    "set": lambda stage: {1, 2},
    "a stage": lambda stage: stage,
    "float64 array": lambda stage: np.zeros(3),
    "float32 array": lambda stage: np.zeros(3, dtype="f4"),
    "complex array": lambda stage: np.zeros(3, dtype=complex),
    "uint64 array": lambda stage: np.zeros(3, dtype="u8"),
    "bool array": lambda stage: np.zeros(3, dtype=bool),
    "object array": lambda stage: np.array([1, None], dtype=object),
    "str array": lambda stage: np.array(["a", "b"]),
    "datetime array": lambda stage: np.array(["2013-01-01"], dtype="M8[D]"),
    "structured array": lambda stage: np.zeros(3, dtype=[("x", "i8")]),
    "masked array": lambda stage: np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]),
    "list of floats": lambda stage: [1.5, 2.5],
    "list of str": lambda stage: ["a", "b"],
    "list of lists": lambda stage: [[1, 2], [3, 4]],
    "list with None": lambda stage: [1, None],
    "list beyond int64": lambda stage: [2**63],
    "dict of columns": lambda stage: {"x": np.arange(3)},
    "batch of columns": lambda stage: ff.Batch(x=np.arange(3)),
}


@pytest.mark.parametrize("bad", BAD_RETURNS)
def test_a_return_that_cannot_be_events_is_refused_and_nothing_is_lost(bad):
    values, error, counters = outcome_of(BAD_RETURNS[bad])

    assert_clear(error, "source", "handle_demand")
    assert_nothing_lost(values, counters)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("float64 array", ["float64", "int64"]),
        ("2-D array", ["(2, 3)"]),
        ("int", ["5"]),
        ("str", ["abc"]),
        ("datetime array", ["datetime64[D]", "int64"]),
    ],
)
def test_the_error_shows_what_was_got_and_what_was_declared(bad, words):
    _, error, _ = outcome_of(BAD_RETURNS[bad])

    assert_clear(error, *words)


@pytest.mark.parametrize("bad", ["float64 array", "structured array", "str array"])
def test_a_wrong_dtype_is_also_a_type_error(bad):
    _, error, _ = outcome_of(BAD_RETURNS[bad])

    assert isinstance(error, TypeError)


BAD_CLAIMS = {
    "negative": (lambda stage: stage.claim(-1), ValueError),
    "fraction": (lambda stage: stage.claim(1.5), TypeError),
    "None": (lambda stage: stage.claim(None), TypeError),
    "str": (lambda stage: stage.claim("5"), TypeError),
    "beyond int64": (lambda stage: stage.claim(2**63), (ValueError, OverflowError, MemoryError)),
    "beyond memory": (lambda stage: stage.claim(2**60), (ValueError, OverflowError, MemoryError)),
    "a second one": (lambda stage: (stage.claim(2), stage.claim(2))[1], RuntimeError),
    "more than was claimed": (as_strided_beyond, (RuntimeError, ValueError)),
    "all but the first": (lambda stage: stage.claim(5)[1:], (RuntimeError, ValueError)),
    "reversed": (lambda stage: stage.claim(5)[::-1], (RuntimeError, ValueError)),
    "every second": (lambda stage: stage.claim(5)[::2], (RuntimeError, ValueError)),
    "reshaped": (lambda stage: stage.claim(4).reshape(2, 2), (RuntimeError, ValueError, TypeError)),
    "other dtype": (lambda stage: stage.claim(4).view("f8"), (RuntimeError, ValueError, TypeError)),
}


@pytest.mark.parametrize("bad", BAD_CLAIMS)
def test_a_claim_that_cannot_be_or_is_returned_otherwise_is_refused(bad):
    claim, kind = BAD_CLAIMS[bad]

    values, error, counters = outcome_of(claim)

    assert isinstance(error, kind), repr(error)
    assert "source" in everything_said(error)
    assert_nothing_lost(values, counters)


def test_a_claim_of_a_stage_that_emits_objects_is_refused():
    values, error, counters = outcome_of(lambda stage: stage.claim(3), kind="object")

    assert_clear(error, "object")
    assert [value for batch in values for value in np.ravel(batch)] == list(range(10))
    assert counters[1:] == (10, 10)


def test_a_claim_outside_a_callback_is_refused():
    rt = ff.Runtime()
    source = rt.start(Source(lambda stage: None))
    stage = testing.stage_of(source)

    with pytest.raises(ff.CallbackError, match="claim"):
        stage.claim(3)


def test_a_claim_of_nothing_is_empty_and_does_no_harm():
    def claim_nothing(stage):
        assert stage.claim(0).shape == (0,)
        return np.arange(10, 12)

    values, error, _ = outcome_of(claim_nothing)

    assert error is None
    assert values.tolist() == list(range(12))


def test_a_claimed_array_cannot_be_resized():
    def resize(stage):
        out = stage.claim(5)
        out.resize(7)
        return out

    values, error, counters = outcome_of(resize)

    assert isinstance(error, ValueError)
    assert_nothing_lost(values, counters)


def test_a_claimed_array_that_was_let_go_never_happened():
    def claim_and_return_something_else(stage):
        stage.claim(5)[:] = -1
        return np.arange(10, 13)

    values, error, _ = outcome_of(claim_and_return_something_else)

    # Either is defined: the claim was never emitted, or returning something else beside it is
    # refused.
    if error is None:
        assert values.tolist() == list(range(13))
    else:
        assert_clear(error, "claim")
        assert values.tolist() == list(range(10))


# -- layouts that are no array of one piece, and are defined all the same --


def unaligned(values):
    raw = np.empty(8 * len(values) + 1, dtype=np.uint8)
    out = raw[1:].view(np.int64) if raw.ctypes.data % 8 else np.frombuffer(raw, np.int64, offset=1)
    out[:] = values
    return out


def locked(values):
    values.flags.writeable = False
    return values


GOOD_RETURNS = {
    "nothing": (lambda: None, []),
    "empty array": (lambda: np.arange(0), []),
    "empty list": (list, []),
    "list": (lambda: [7, 8, 9], [7, 8, 9]),
    "one event": (lambda: np.array([7]), [7]),
    "contiguous": (lambda: np.arange(4), [0, 1, 2, 3]),
    "negative stride": (lambda: np.arange(4)[::-1], [3, 2, 1, 0]),
    "stride of two": (lambda: np.arange(8)[::2], [0, 2, 4, 6]),
    "stride 0": (lambda: np.broadcast_to(np.int64(7), (4,)), [7, 7, 7, 7]),
    "column of a matrix": (lambda: np.arange(9).reshape(3, 3)[:, 1], [1, 4, 7]),
    "overlapping itself": (
        lambda: np.lib.stride_tricks.as_strided(np.ones(72, np.uint8).view(np.int64), (4,), (4,)),
        [0x0101010101010101] * 4,
    ),
    "unaligned": (lambda: unaligned([4, 5, 6]), [4, 5, 6]),
    "read-only": (lambda: locked(np.arange(3)), [0, 1, 2]),
    "over bytes": (lambda: np.frombuffer(np.arange(3).tobytes(), dtype=np.int64), [0, 1, 2]),
    "part of a larger one": (lambda: np.arange(100)[50:53], [50, 51, 52]),
    "exactly the demand": (lambda: np.arange(90), list(range(90))),
    "one less than the demand": (lambda: np.arange(89), list(range(89))),
    "one more than the demand": (lambda: np.arange(91), list(range(91))),
    "much more than the demand": (lambda: np.arange(12_345), list(range(12_345))),
}


@pytest.mark.parametrize("good", GOOD_RETURNS)
def test_any_layout_and_size_of_one_dimension_arrives_as_its_values(good):
    make, expected = GOOD_RETURNS[good]

    values, error, (_, sent, acked) = outcome_of(lambda stage: make())

    assert error is None
    assert values.tolist() == list(range(10)) + expected
    assert sent == acked == 10 + len(expected)


def test_a_memory_map_arrives_as_its_values(tmp_path):
    def map_a_file(stage):
        mapped = np.memmap(tmp_path / "events", dtype=np.int64, mode="w+", shape=(5,))
        mapped[:] = range(5)
        return mapped

    values, error, _ = outcome_of(map_a_file)

    assert error is None
    assert values.tolist() == [*range(10), *range(5)]
    gc.collect()


MAYBE = {                                   # a clear error, or these values: both are defined
    "empty 2-D array": (lambda: np.zeros((0, 3), dtype=np.int64), []),
    "big-endian": (lambda: np.array([1, 2, 3], dtype=">i8"), [1, 2, 3]),
    "smaller int": (lambda: np.array([1, 2, 3], dtype="i4"), [1, 2, 3]),
    "pandas column": (lambda: pd.Series([1, 2, 3]), [1, 2, 3]),
    "memoryview": (lambda: memoryview(np.arange(3)), [0, 1, 2]),
    "tuple": (lambda: (1, 2, 3), [1, 2, 3]),
    "masked array without a mask": (lambda: np.ma.masked_array([1, 2, 3]), [1, 2, 3]),
    "range": (lambda: range(3), [0, 1, 2]),
    "list of bools": (lambda: [True, False], [1, 0]),
}


@pytest.mark.parametrize("kind", MAYBE)
def test_what_could_be_taken_for_events_is_taken_right_or_refused(kind):
    make, expected = MAYBE[kind]

    values, error, counters = outcome_of(lambda stage: make())

    if error is None:
        assert values.tolist() == list(range(10)) + expected
    else:
        assert_clear(error, "source", "handle_demand")
        assert_nothing_lost(values, counters)


# -- kinds of events --


class Emits(ff.Producer):
    """Emits `array` in one batch, returned or by way of a claim."""

    def __init__(self, array, kind, claimed=False):
        self.dtype = kind
        self.array, self.claimed = array, claimed

    def handle_demand(self, demand):
        self.finish()
        if not self.claimed:
            return self.array.copy()
        out = self.claim(len(self.array))
        if isinstance(out, np.ndarray):
            out[:] = self.array
        else:
            for name in self.array.dtype.names:
                out[name][:] = self.array[name]
        return out


def through(array, kind, claimed=False, max_demand=64):
    """What arrives of `array`, as one array."""
    rt = ff.Runtime()
    rt.start(
        testing.Recorder(),
        subscribe_to=[(rt.start(Emits(array, kind, claimed)), {"max_demand": max_demand})],
        name="recorder",
    )
    batches = rt.run(timeout=30)["recorder"]
    arrays = [np.asarray(batch) for batch in batches]
    return np.concatenate(arrays, dtype=arrays[0].dtype)    # else the machine's byte order


FIXED_WIDTH = [
    np.array([0, 1, 1], dtype=bool),
    *(np.array([0, 1, 100], dtype=kind) for kind in ("i1", "u1", "i2", "u4", "i8", "u8")),
    *(np.array([0, -0.0, np.nan, np.inf, 5e-8], dtype=kind) for kind in ("f2", "f4", "f8")),
    np.array([1, np.nan, np.longdouble("1.1")], dtype=np.longdouble),
    np.array([1 + 2j, np.nan], dtype="c8"),
    np.array([1 + 2j, complex(np.inf, -0.0)], dtype="c16"),
    np.array([1, 2], dtype=np.clongdouble),
    np.array(["2013-01-01", "NaT"], dtype="M8[D]"),
    np.array([1, -5], dtype="m8[ns]"),
    np.array([b"abc", b"", b"ab\0c"], dtype="S4"),
    np.array(["añ😀", ""], dtype="U3"),
    np.array([b"ab", b"cd"], dtype="V2"),
    np.array([1, 2], dtype=">i4"),
    np.array([1.5, -2.5], dtype=">f8"),
]


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("array", FIXED_WIDTH, ids=lambda array: array.dtype.str)
def test_every_fixed_width_dtype_goes_through_bit_by_bit(array, claimed):
    got = through(array, array.dtype, claimed)

    native = array.dtype.newbyteorder("=")      # big-endian numbers are turned on their way in
    assert got.dtype == native
    assert got.tobytes() == array.astype(native).tobytes()


def test_a_bool_that_is_neither_0_nor_1_goes_through_bit_by_bit():
    array = np.array([0, 1, 2, 255], dtype=np.uint8).view(bool)

    assert through(array, bool).view(np.uint8).tolist() == [0, 1, 2, 255]


def test_a_record_of_a_megabyte_goes_through():
    array = np.zeros(3, dtype=f"S{1 << 20}")
    array[1] = b"x" * (1 << 20)

    assert (through(array, array.dtype, max_demand=4) == array).all()


STRUCTURED = [
    np.dtype([("a", "i1"), ("b", "f8")]),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([("a", ">i4"), ("b", "U2")]),
    np.dtype([("vec", "f4", (2, 3)), ("n", "u2")]),
]


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("kind", STRUCTURED, ids=str)
def test_a_structured_dtype_goes_through_column_by_column(kind, claimed):
    array = np.zeros(5, dtype=kind)
    for i, name in enumerate(kind.names):
        array[name] = np.arange(array[name].size).reshape(array[name].shape) + i

    got = through(array, kind, claimed)

    for name in kind.names:
        np.testing.assert_array_equal(got[name], array[name])


def test_padding_carries_no_memory_of_anybody():
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    array = np.full(5, 255, dtype=np.uint8).repeat(kind.itemsize).view(kind)

    got = through(array, kind)
    padded = np.ascontiguousarray(got).view(np.uint8).reshape(5, -1)

    if got.dtype.itemsize == kind.itemsize:                 # else there is no padding at all
        assert (padded[:, 1:8] == 0).all()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param([("in", [("x", "i4"), ("y", "f8")]), ("n", "i2")], id="nested"),
        pytest.param([(("a title", "a"), "i4"), ("b", "i8")], id="title"),
        pytest.param(
            {"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]}, id="overlapping"
        ),
        pytest.param([("a", object), ("b", "i4")], id="object column"),
    ],
)
def test_an_unusual_structure_goes_through_or_is_refused(kind):
    kind = np.dtype(kind)
    array = np.zeros(3, dtype=kind)
    array[kind.names[-1]] = [1, 2, 3]

    try:
        got = through(array, kind)
    except errors.FastflowError as error:
        assert_clear(error)
    else:
        for name in kind.names:
            np.testing.assert_array_equal(got[name], array[name])


@pytest.mark.parametrize("kind", ["V0", "S0", "U0", [], "no such dtype", 5], ids=str)
def test_a_dtype_without_bytes_or_that_is_none_is_refused(kind):
    with pytest.raises((TypeError, ValueError)) as caught:
        through(np.zeros(3), kind)

    assert_clear(caught.value, "dtype")


def test_strings_with_pointers_never_get_into_a_ring():
    kind = np.dtypes.StringDType()

    with pytest.raises(TypeError, match="StringDType"):
        through(np.array(["a", "b" * 100], dtype=kind), kind)


@pytest.mark.parametrize(
    ("declared", "array"),
    [
        ("S2", np.array([b"abc"])),
        ("U2", np.array(["abc"])),
        ("M8[D]", np.array(["2013-01-01T10"], dtype="M8[h]")),
        ("M8[h]", np.array(["2013-01-01"], dtype="M8[D]")),
        ("i4", np.array([2**40])),
        ("f4", np.array([0.1])),
    ],
)
def test_a_wider_or_other_kind_is_never_cut_in_silence(declared, array):
    with pytest.raises(TypeError) as caught:
        through(array, declared)

    assert_clear(caught.value, "handle_demand")


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"a": np.arange(3)}, id="a column missing"),
        pytest.param(
            {"a": np.arange(3), "b": np.arange(3.0), "c": np.arange(3)}, id="one too many"
        ),
        pytest.param({"a": np.arange(3), "b": np.arange(4.0)}, id="of different lengths"),
        pytest.param({"a": np.arange(3.0), "b": np.arange(3.0)}, id="of another dtype"),
        pytest.param({"a": np.zeros((3, 2), "i8"), "b": np.arange(3.0)}, id="of another shape"),
        pytest.param({"a": 5, "b": 5.0}, id="scalars"),
    ],
)
def test_columns_that_do_not_fit_the_schema_are_refused_and_nothing_is_lost(columns):
    class Columns(Source):
        def handle_demand(self, demand):
            self.turns += 1
            if self.turns <= 2:
                first = 5 * self.turns - 5
                return {"a": np.arange(first, first + 5), "b": np.zeros(5)}
            return columns

    came = []
    rt = ff.Runtime()
    source = rt.start(Columns(None, [("a", "i8"), ("b", "f8")]), name="source")
    rt.start(ColumnSink(came), subscribe_to=[(source, {"max_demand": 100})])
    testing.settle(rt)

    with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
        source.result()

    assert_clear(caught.value, "source")
    assert np.concatenate(came).tolist() == list(range(10))


class ColumnSink(Sink):
    def handle_events(self, events, source):
        self.into.append(np.array(events["a"]))


# -- sources of ff.run --


def test_an_empty_iterable_is_a_stream_of_nothing():
    assert ff.run([], ff.Sum()) == 0
    assert ff.run(iter(()), ff.Count()) == 0
    assert ff.run([np.arange(0), np.arange(0)], ff.Count()) == 0
    assert list(ff.stream([])) == []


@pytest.mark.parametrize(
    "source", [5, None, 1.5, object()], ids=["an int", "None", "a float", "an object"]
)
def test_a_source_that_cannot_be_iterated_is_refused(source):
    with pytest.raises(TypeError):
        ff.run(source, ff.Sum())


def test_a_run_of_nothing_is_refused():
    with pytest.raises(TypeError):
        ff.run()


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([np.arange(3), np.arange(3.0)], id="another dtype"),
        pytest.param([np.arange(3), "text"], id="an object after arrays"),
        pytest.param([np.arange(3), np.zeros((2, 2), dtype=np.int64)], id="2-D"),
        pytest.param([np.arange(3), np.array(5)], id="0-d"),
        pytest.param([np.arange(3), ff.Batch(x=np.arange(3))], id="columns after plain"),
        pytest.param([np.arange(3), np.ma.masked_array([1, 2], mask=[0, 1])], id="masked"),
    ],
)
def test_items_of_another_kind_than_the_first_are_refused_and_the_first_arrived(items):
    came = []

    with pytest.raises(errors.FastflowError) as caught:
        ff.run(iter(items), Sink(came))

    assert_clear(caught.value)
    assert [batch.tolist() for batch in came] == [[0, 1, 2]]


def test_an_iterable_that_raises_is_raised_and_what_came_before_arrived():
    came = []

    def items():
        yield np.arange(3)
        yield np.arange(3, 6)
        raise LookupError("the file ends here")

    with pytest.raises(LookupError, match="the file ends here"):
        ff.run(items(), Sink(came))

    assert np.concatenate(came).tolist() == [0, 1, 2, 3, 4, 5]


def test_lists_and_dicts_in_an_iterable_are_one_object_each():
    items = [[1, 2], {"a": 1}, (3,), "text", 5, None]

    assert ff.run(iter(items), ff.Count()) == 6


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        pytest.param(lambda batch: 5, errors.FastflowError, id="scalar"),
        pytest.param(lambda batch: batch.reshape(1, -1), errors.FastflowError, id="2-D"),
        pytest.param(lambda batch: np.ma.masked_array(batch), errors.FastflowError, id="masked"),
        pytest.param(lambda batch: batch.undefined, AttributeError, id="raises"),
        pytest.param(lambda: None, TypeError, id="takes nothing"),
    ],
)
def test_a_step_that_goes_wrong_ends_the_run_with_its_error(step, kind):
    with pytest.raises(kind):
        ff.run(ff.Range(100), step, ff.Sum())


def test_a_step_whose_outputs_differ_in_dtype_is_refused():
    kinds = ["int64", "float64"]

    def step(batch):
        return np.ones(3, dtype=kinds.pop(0) if len(kinds) > 1 else kinds[0])

    # A delivery is at most 16,384 events of 8 bytes, so the step is called at least twice.
    with pytest.raises(TypeError) as caught:
        ff.run(ff.Range(100_000), step, ff.Count())

    assert_clear(caught.value, "int64", "float64")


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(lambda batch: batch, id="numbers"),
        pytest.param(lambda batch: (batch > 2)[:-1], id="too short"),
        pytest.param(lambda batch: True, id="one bool"),
        pytest.param(lambda batch: (batch > 2).reshape(1, -1), id="2-D"),
    ],
)
def test_a_filter_that_returns_no_mask_is_refused(mask):
    with pytest.raises((TypeError, ValueError, RuntimeError, IndexError)):
        ff.run(ff.Range(100), ff.Filter(mask), ff.Sum())


# -- values --


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_order_of_an_integer_sum_decides_nothing(size):
    values = np.array([LARGEST, LARGEST, -LARGEST, -LARGEST, 5, -3, LARGEST, -5], dtype=np.int64)
    batches = [values[i : i + size] for i in range(0, len(values), size)]

    assert ff.run(batches, ff.Sum()) == LARGEST - 3


def test_an_integer_total_beyond_64_bits_is_an_overflow_error():
    with pytest.raises(OverflowError):
        ff.run([np.array([LARGEST, 1], dtype=np.int64)], ff.Sum())


@pytest.mark.parametrize(
    "arguments",
    [(-1,), (0, 10, 0), (1.5,), ("5",), (None,), (2**63 + 1,), (0, 2**64), ()],
    ids=repr,
)
def test_a_range_that_cannot_be_is_refused_or_empty(arguments):
    def run():
        return ff.run(ff.Range(*arguments), ff.Count())

    if arguments == (-1,):
        assert run() == 0                   # as range(-1)
        return
    with pytest.raises((TypeError, ValueError, OverflowError)):
        run()
