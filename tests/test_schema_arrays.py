"""Schema.arrays: what is taken as events of a schema, and what is refused and how."""

import array
import collections
import ctypes
import types

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers_schema import TICK, WHERE, refusal, same, ticks
from hypothesis import assume, given
from strategies import (
    LAYOUTS,
    columns,
    events,
    layouts,
    objects,
    plain_dtypes,
    scalar_dtypes,
    structured_dtypes,
)

from fastflow.errors import SchemaError
from fastflow.schema import Batch, Schema

# -- Schema.arrays: plain --------------------------------------------------------------------------


@given(st.data(), plain_dtypes())
def test_an_array_of_the_declared_dtype_is_returned_as_it_is(data, dtype):
    given_ = data.draw(columns(dtype))

    [found] = Schema.of(dtype).arrays(given_, WHERE)

    assert found is given_


@given(st.data(), plain_dtypes())
def test_every_layout_is_accepted_with_the_same_bits(data, dtype):
    plain = data.draw(columns(dtype))
    given_ = data.draw(layouts(plain))

    [found] = Schema.of(dtype).arrays(given_, WHERE)

    assert type(found) is np.ndarray
    assert same(found, plain)


@given(st.data(), plain_dtypes(), st.sampled_from([how for how in LAYOUTS if how != "big-endian"]))
def test_no_layout_is_copied_but_another_byte_order(data, dtype, how):
    given_ = data.draw(layouts(data.draw(columns(dtype, 3)), which=[how]))

    [found] = Schema.of(dtype).arrays(given_, WHERE)

    assert np.shares_memory(found, given_)
    assert found.strides == given_.strides


def test_broadcast_and_overlapping_and_mapped_arrays_are_accepted(tmp_path):
    schema = Schema.of("i8")
    zero = np.broadcast_to(np.int64(7), (5,))
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(6), 3)
    mapped = np.memmap(tmp_path / "events", "i8", "w+", shape=(4,))

    assert schema.arrays(zero, WHERE)[0] is zero
    assert Schema.of(("i8", (3,))).arrays(windows, WHERE)[0] is windows
    [found] = schema.arrays(mapped, WHERE)
    assert type(found) is np.ndarray
    assert np.shares_memory(found, mapped)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_and_one_event_are_events(n):
    assert len(Schema.of("f4").arrays(np.zeros(n, "f4"), WHERE)[0]) == n
    assert (
        len(Schema.of(TICK).arrays({"price": np.zeros(n), "qty": np.zeros(n, "i4")}, WHERE)[0]) == n
    )


@given(scalar_dtypes(), scalar_dtypes())
def test_no_dtype_is_cast_in_silence(declared, given_dtype):
    shorter = (
        declared.kind == given_dtype.kind in "SU" and given_dtype.itemsize <= declared.itemsize
    )
    assume(declared != given_dtype and not shorter)

    text = refusal(Schema.of(declared).arrays, np.zeros(3, given_dtype), WHERE)

    assert text.startswith(
        f"{WHERE}: got array of {Schema.of(given_dtype).describe()} with shape (3,)"
    )
    assert f", expected {Schema.of(declared).describe()}" in text
    assert f".astype('{Schema.of(declared).describe()}')" in text


@pytest.mark.parametrize(
    ("given_", "declared", "offered"),
    [
        ("i4", "i8", True),
        ("i8", "i4", False),
        ("f8", "i8", False),
        ("f4", "f8", True),
        ("M8[s]", "M8[ns]", True),
    ],
)
def test_convert_is_offered_where_the_cast_is_safe(given_, declared, offered):
    text = refusal(Schema.of(declared).arrays, np.zeros(3, given_), WHERE)

    assert ("subscribe with convert=True" in text) is offered


def test_text_shorter_than_declared_is_widened_and_longer_refused():
    schema = Schema.of("U5")

    [found] = schema.arrays(np.array(["ab", "c"]), WHERE)

    assert found.dtype == np.dtype("U5")
    assert found.tolist() == ["ab", "c"]
    text = refusal(schema.arrays, np.array(["abcdefgh"]), WHERE)
    assert "got array of U8" in text
    assert "expected U5: longer text would be cut" in text
    assert "declare 'U8', or cut it yourself with .astype('U5')" in text
    assert "longer text" in refusal(Schema.of("S2").arrays, np.array([b"abc"]), WHERE)
    assert ".astype('U5')" in refusal(schema.arrays, np.array([b"ab"]), WHERE)


@pytest.mark.parametrize(
    ("shape", "given_", "expected", "do"),
    [
        ((), (3, 2), "float64 with shape (n,)", "declare ('float64', (2,))"),
        ((), (3, 2, 2), "float64 with shape (n,)", ".ravel()"),
        ((), (3, 1), "float64 with shape (n,)", ".ravel()"),
        ((), (), "float64 with shape (n,)", "np.atleast_1d"),
        ((4,), (3,), "float64[4] with shape (n, 4)", "reshape it to (n, 4)"),
        ((4,), (4, 3), "float64[4] with shape (n, 4)", "the first axis counts the events"),
        ((2, 2), (3, 4), "float64[2, 2] with shape (n, 2, 2)", "reshape it"),
    ],
)
def test_a_wrong_number_of_axes_is_refused(shape, given_, expected, do):
    schema = Schema.of(("f8", shape)) if shape else Schema.of("f8")

    text = refusal(schema.arrays, np.zeros(given_), WHERE)

    assert f"with shape {given_}" in text
    assert f"expected {expected}" in text
    assert do in text


class LendsMasked:
    """Gives a masked array to whoever asks for an array."""

    def __array__(self, dtype=None, copy=None):
        return np.ma.masked_array([1, 2], [0, 1])


class Refuses:
    """Stands for a tensor on another device, or one that keeps gradients."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("can't convert cuda:0 device type tensor")


@pytest.mark.parametrize(
    ("bad", "got", "do"),
    [
        (None, "None", "give an array"),
        (3, "int 3", "np.array([value])"),
        (True, "bool True", "np.array([value])"),
        (2.5, "float 2.5", "np.array([value])"),
        (np.int64(3), "int64", "np.array([value])"),
        ("text", "str 'text'", "np.array([value])"),
        (b"12345678", "bytes", "np.frombuffer"),
        (bytearray(8), "bytearray", "np.frombuffer"),
        ((i for i in range(3)), "generator", "np.fromiter"),
        (iter([1]), "list_iterator", "np.fromiter"),
        (range(3), "range", "np.array(list(values))"),
        ({1, 2}, "set", "np.array(list(values))"),
        (collections.deque([1]), "deque", "np.array(list(values))"),
        ({"a": np.zeros(3)}, "dict", "give one column"),
        (Batch(a=np.zeros(3)), "Batch of (a float64)", "give one column"),
        (np.zeros(3, TICK), "array of (price float64, qty int32)", ".astype('int64')"),
        (np.array([1, None]), "array of object", ".astype('int64')"),
        (np.ma.masked_array([1, 2], [0, 1]), "masked array", ".filled(value)"),
        (np.ma.masked_array([1, 2]), "masked array", ".compressed()"),
        (LendsMasked(), "masked array", ".compressed()"),
        (Refuses(), "Refuses that NumPy cannot read (can't convert cuda:0", ".detach().cpu()"),
        (np.array([[1, 2]]).view(np.matrix), "np.matrix", ".ravel()"),
        (np.array(["1"]), "array of U1", ".astype('int64')"),
        (np.array(["1"], np.dtypes.StringDType()), "StringDType", ".astype('int64')"),
        (np.array(["2020"], "M8[s]"), "datetime64[s]", ".astype('int64')"),
        (np.zeros(3, "V8"), "V8", ".astype('int64')"),
        (object(), "object", "give an array"),
        (int, "type", "give an array"),
        (len, "builtin_function_or_method", "give an array"),
    ],
)
def test_what_is_no_array_is_refused_with_advice(bad, got, do):
    text = refusal(Schema.of("i8").arrays, bad, WHERE)

    assert text.startswith(f"{WHERE}: got ")
    assert got in text
    assert "expected " in text
    assert "int64" in text.partition("expected ")[2]
    assert do in text.partition("; ")[2]


def test_the_other_sides_error_is_the_cause():
    with pytest.raises(SchemaError) as caught:
        Schema.of("i8").arrays(Refuses(), WHERE)

    assert isinstance(caught.value.__cause__, RuntimeError)


class OnlyDlpack:
    """Speaks DLPack and nothing else."""

    def __init__(self, values):
        self._values = values

    def __dlpack__(self, **keywords):
        return self._values.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


class OnlyInterface:
    """Has the older array interface and nothing else."""

    def __init__(self, values):
        self._values = values
        self.__array_interface__ = values.__array_interface__


@pytest.mark.parametrize(
    "lend",
    [
        lambda values: array.array("q", values.tolist()),
        lambda values: memoryview(values),
        lambda values: (ctypes.c_int64 * 3)(*values.tolist()),
        lambda values: pd.Series(values),
        lambda values: pd.Series(values, dtype="Int64"),
        lambda values: pl.Series(values),
        lambda values: pl.Series(values).to_arrow(),
        OnlyDlpack,
        OnlyInterface,
    ],
)
def test_another_librarys_array_is_read_through_its_protocol(lend):
    [found] = Schema.of("i8").arrays(lend(np.array([1, 2, 3])), WHERE)

    assert type(found) is np.ndarray
    assert found.dtype == np.dtype("i8")
    assert found.tolist() == [1, 2, 3]


def test_a_buffer_is_not_copied():
    values = array.array("d", [1.0, 2.0])

    [found] = Schema.of("f8").arrays(values, WHERE)
    values[0] = 7.0

    assert found[0] == 7.0


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([1.0, None]),
        pl.Series([1.0, None]).to_arrow(),
        pd.Series([1.0, None], dtype="Float64"),
        pd.Series([1.0, None], dtype="Float64").array,
    ],
)
def test_nulls_are_not_turned_into_nan_in_silence(column):
    text = refusal(Schema.of("f8").arrays, column, WHERE)

    assert "with 1 null," in text
    assert ".fill_null(value)" in text


def test_nan_in_pandas_is_a_value():
    [found] = Schema.of("f8").arrays(pd.Series([1.0, np.nan]), WHERE)

    assert np.isnan(found[1])


def test_a_released_buffer_is_refused():
    view = memoryview(bytearray(8))
    view.release()

    assert "released" in refusal(Schema.of("u1").arrays, view, WHERE)


# -- Schema.arrays: lists for plain schemas --------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("i8", [1, -2, 3]), ("i8", (1, 2)), ("i8", []), ("i1", [127, -128]), ("u8", [2**64 - 1]),
        ("i8", [np.int8(1), np.uint16(2)]), ("i8", [True, False]), ("f8", [1, 2]), ("f8", [1, 2.5]),
        ("f8", [0.1, float("nan"), float("inf"), -0.0]), ("f4", [1, 2]), ("f4", [np.float32(0.1)]),
        ("f8", [np.float16(0.1)]), ("D", [1, 0.5, 2j]), ("g", [0.1]),
        ("?", [True, False]), ("?", []),
        ("U5", ["ab", "é☃", ""]), ("S3", [b"ab", b""]), ("f4", []),
        ("M8[s]", [np.datetime64("2020-01-01", "s"), np.datetime64("NaT", "s")]),
    ],
)  # fmt: skip
def test_a_list_is_taken_when_it_loses_nothing(dtype, values):
    [found] = Schema.of(dtype).arrays(values, WHERE)

    assert found.dtype == np.dtype(dtype)
    assert repr(found.tolist()) == repr(np.array(list(values), dtype).tolist())


@pytest.mark.parametrize(
    ("dtype", "values", "got"),
    [
        ("i8", [1.0], "float64"), ("i8", [1, 2.5], "float64"), ("i8", [2**70], "object"),
        ("i8", [2**63], "makes no such array"),
        ("u1", [256], "256"), ("u1", [-1], "-1"), ("i1", [np.int64(300)], "300"),
        ("?", [0, 1], "int64"),
        ("f4", [0.5], "float64"), ("f2", [0.5], "float64"),
        ("f8", [2**53 + 1], "int 9007199254740993"),
        ("f8", [2**53 + 1, 0.5], "int 9007199254740993"), ("f2", [2049], "2049"),
        ("f8", [1j], "complex128"),
        ("i8", ["1"], "U1"), ("i8", [None], "object"), ("i8", [[1], [1, 2]], "makes no such array"),
        ("i8", [[1, 2]], "shape (1, 2)"), ("i8", [{}], "object"), ("U5", [1], "int64"),
        ("U5", ["abcdefgh"], "U8"),
        ("U30", ["a", 1], "int 1"), ("U5", [b"a"], "S1"), ("U5", [b"a", "b"], "bytes b'a'"),
        ("S3", ["a"], "U1"),
        ("S3", [b"a\0"], "bytes b'a\\x00'"), ("M8[s]", [1], "int64"), ("M8[s]", ["2020"], "U4"),
        ("M8[s]", [np.datetime64("2020", "ns")], "datetime64[ns]"),
    ],
)  # fmt: skip
def test_a_list_that_would_lose_is_refused(dtype, values, got):
    text = refusal(Schema.of(dtype).arrays, values, WHERE)

    assert got in text
    assert Schema.of(dtype).describe() in text


@given(
    st.lists(st.integers(-(2**65), 2**65)),
    st.sampled_from(["i1", "u1", "i8", "u8", "f4", "f8", "D"]),
)
def test_integers_in_a_list_are_exact_or_refused(values, dtype):
    try:
        [found] = Schema.of(dtype).arrays(values, WHERE)
    except SchemaError:
        return
    assert found.tolist() == values


def test_a_list_of_vectors_is_taken_for_a_sub_array():
    schema = Schema.of(("f8", (2,)))

    assert schema.arrays([[1, 2], [3.5, 4]], WHERE)[0].tolist() == [[1, 2], [3.5, 4]]
    assert schema.arrays([np.zeros(2)], WHERE)[0].shape == (1, 2)
    assert schema.arrays([], WHERE)[0].shape == (0, 2)
    assert "reshape" in refusal(schema.arrays, [[1, 2, 3]], WHERE)


# -- Schema.arrays: columns ------------------------------------------------------------------------


def tick_arrays(events_):
    return Schema.of(TICK).arrays(events_, WHERE)


@pytest.mark.parametrize(
    "give",
    [
        lambda price, qty: Batch(price=price, qty=qty),
        lambda price, qty: Batch(qty=qty, price=price),
        lambda price, qty: {"qty": qty, "price": price},
        lambda price, qty: types.MappingProxyType({"price": price, "qty": qty}),
        lambda price, qty: collections.OrderedDict(price=price.tolist(), qty=pd.Series(qty)),
        lambda price, qty: Batch(price=price, qty=qty).to_numpy(),
        lambda price, qty: Batch(price=price, qty=qty).to_numpy().view(np.recarray),
        lambda price, qty: np.asarray(
            Batch(price=price, qty=qty), [("qty", "i4"), ("price", ">f8")]
        ),
        lambda price, qty: list(Batch(price=price, qty=qty)),
        lambda price, qty: list(zip(price.tolist(), qty.tolist(), strict=True)),
        lambda price, qty: list(Batch(price=price, qty=qty).to_numpy()),
        lambda price, qty: tuple(Batch(price=price, qty=qty)),
        lambda price, qty: dict(pd.DataFrame({"price": price, "qty": qty}).items()),
        lambda price, qty: pl.DataFrame({"price": price, "qty": qty}).to_dict(),
    ],
)
def test_columns_come_in_any_container_that_names_them(give):
    price, qty = np.array([1.5, 2.5]), np.array([10, 20], "i4")

    found = tick_arrays(give(price, qty))

    assert [array_.tolist() for array_ in found] == [[1.5, 2.5], [10, 20]]
    assert [array_.dtype for array_ in found] == [np.dtype("f8"), np.dtype("i4")]


def test_columns_of_a_batch_and_a_dict_are_not_copied():
    price, qty = np.zeros(2), np.zeros(2, "i4")

    for given_ in (Batch(price=price, qty=qty), {"qty": qty, "price": price}):
        found = tick_arrays(given_)
        assert found[0] is price
        assert found[1] is qty


@given(st.data(), structured_dtypes())
def test_columns_of_every_layout_and_order_keep_their_bits(data, dtype):
    schema = Schema.of(dtype)
    batch = data.draw(events(dtype))
    laid = {
        name: data.draw(layouts(batch[name])) for name in data.draw(st.permutations(batch.columns))
    }

    found = schema.arrays(laid, WHERE)

    assert all(same(array_, batch[name]) for array_, name in zip(found, schema.names, strict=True))


@given(st.data(), structured_dtypes(foreign=True))
def test_a_structured_array_is_taken_apart_by_name(data, dtype):
    schema = Schema.of(dtype)
    batch = data.draw(events(dtype))

    found = schema.arrays(np.asarray(batch, dtype), WHERE)

    assert all(same(array_, batch[name]) for array_, name in zip(found, schema.names, strict=True))


def test_no_rows_are_no_events():
    assert [len(array_) for array_ in tick_arrays([])] == [0, 0]


Point = collections.namedtuple("Point", "price qty")


@pytest.mark.parametrize(
    ("bad", "got", "do"),
    [
        (None, "None", "give an array"),
        ({"price": np.zeros(2)}, "columns price without 'qty'", "give 'qty' too"),
        ({}, "no columns without 'price', 'qty'", "give 'price', 'qty' too"),
        (Batch(qty=np.zeros(2, "i4")), "columns qty without 'price'", "give 'price' too"),
        (
            {"price": np.zeros(2), "qty": np.zeros(3, "i4")},
            "3 events in column 'qty', 2 in 'price'",
            "one length",
        ),
        (
            {"price": np.zeros(2), "qty": np.zeros(2)},
            "array of float64 with shape (2,)",
            ".astype('int32')",
        ),
        (
            {"price": np.zeros((2, 2)), "qty": np.zeros(2, "i4")},
            "with shape (2, 2)",
            "declare ('float64', (2,))",
        ),
        (
            {"price": 1.5, "qty": np.zeros(2, "i4")},
            "column 'price': got float 1.5",
            "np.array([value])",
        ),
        (
            {"price": [1, None], "qty": [1, 2]},
            "column 'price': got array of object",
            ".astype('float64')",
        ),
        (
            {"price": np.ma.zeros(2), "qty": np.zeros(2, "i4")},
            "'price': got a masked array",
            ".compressed()",
        ),
        (np.zeros(2), "array of float64", "give ff.Batch(...)"),
        (np.zeros((2, 2), TICK), "with shape (2, 2)", "give ff.Batch(...)"),
        (np.zeros((), TICK), "with shape ()", "give ff.Batch(...)"),
        (np.zeros(1, TICK)[0], "void", "np.array([value])"),
        (pd.DataFrame({"price": [1.5], "qty": [1]}), "with shape (1, 2)", "dict(df.items())"),
        (np.ma.zeros(2, TICK), "masked array", ".compressed()"),
        ((i for i in range(3)), "generator", "collect it first"),
        ("text", "str", "np.array([value])"),
        (ticks()[0], "Row", "[event]"),
        (Point(1.5, 2), "Point", "[event]"),
        ([1.5, 2], "float 1.5 as event 0", "a dict of columns"),
        ([(1.5, 2), (1.5,)], "a tuple of 1 as event 1", "a dict of columns"),
        ([(1.5, 2), {"price": 1.5}], "dict as event 1", "a dict of columns"),
        ([Batch(qty=[1], price=[0.5])[0]], "a row (qty, price) as event 0", "a dict of columns"),
        ([(1.5, 2.5)], "column 'qty': got array of float64", ".astype('int32')"),
        ([(1.5, 2**40)], "column 'qty': got a list", "np.array(values, dtype)"),
    ],
)
def test_wrong_columns_are_refused_with_advice(bad, got, do):
    text = refusal(tick_arrays, bad)

    assert text.startswith(WHERE)
    assert got in text
    assert do in text.partition("; ")[2]


@pytest.mark.parametrize(
    "bad",
    [
        {"price": np.zeros(2), "qty": np.zeros(2, "i4"), "prcie": np.zeros(2)},
        Batch(prcie=np.zeros(2), qty=np.zeros(2, "i4")),
        np.zeros(2, [("prcie", "f8"), ("qty", "i4")]),
    ],
)
def test_an_unknown_column_names_the_nearest(bad):
    with pytest.raises(SchemaError) as caught:
        tick_arrays(bad)

    assert str(caught.value) == (
        f"{WHERE}: unknown column: got 'prcie', expected one of price, qty; did you mean 'price'?"
    )


# -- Schema.arrays: objects ------------------------------------------------------------------------


@given(objects())
def test_a_list_of_objects_is_that_very_list(values):
    [found] = Schema.of(object).arrays(values, WHERE)

    assert found is values


def test_tuples_and_arrays_of_objects_become_lists():
    item = object()
    boxed = np.empty(2, object)
    boxed[:] = [item, None]

    assert Schema.of(object).arrays((item, None), WHERE) == [[item, None]]
    [found] = Schema.of(object).arrays(boxed, WHERE)
    assert type(found) is list
    assert found[0] is item


@pytest.mark.parametrize(
    ("bad", "got", "do"),
    [
        (np.arange(3), "array of int64", ".tolist()"),
        (np.empty((2, 2), object), "array of object with shape (2, 2)", ".tolist()"),
        (np.empty((), object), "array of object with shape ()", ".tolist()"),
        ("text", "str 'text'", "[event]"),
        (b"bytes", "bytes", "[event]"),
        ({"a": 1}, "dict", "[event]"),
        (None, "None", "[event]"),
        (3, "int 3", "[event]"),
        (object(), "object", "[event]"),
        (ticks()[0], "Row", "[event]"),
        (Point(1.5, 2), "Point", "[event]"),
        (ticks(), "Batch of (price float64, qty int32)", "list(events)"),
        ((i for i in range(3)), "generator", "list(events)"),
        ({1, 2}, "set", "list(events)"),
        (range(3), "range", "list(events)"),
        (collections.deque([1]), "deque", "list(events)"),
        (array.array("i", [1]), "array", "list(events)"),
    ],
)
def test_what_is_no_list_is_refused_for_objects(bad, got, do):
    text = refusal(Schema.of(object).arrays, bad, WHERE)

    assert text.startswith(f"{WHERE}: got {got}")
    assert "expected a list of events" in text
    assert do in text
