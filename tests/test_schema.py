"""Schemas: what is taken as a dtype and as events, what is refused and how; Batch and Row."""

import array
import collections
import copy
import ctypes
import doctest
import gc
import pickle
import re
import sys
import threading
import types
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given
from numpy._core._rational_tests import rational  # a dtype from outside, as other packages add
from strategies import (
    LAYOUTS,
    NUMBERS,
    TIMES,
    columns,
    dtypes,
    events,
    layouts,
    objects,
    plain_dtypes,
    scalar_dtypes,
    structured_dtypes,
)

import fastflow.schema
import fastflow.schema._batch
import fastflow.schema._schema
from fastflow.errors import DemandError, FastflowError, SchemaError
from fastflow.schema import Batch, Row, Schema, concat, same_or_refuse

TICK = [("price", "f8"), ("qty", "i4")]
WHERE = "handle_demand of 'counter'"


def ticks(n=3):
    """Return n ticks: price 0.5, 1.5, ...; qty 0, 10, ..."""
    return Batch(price=np.arange(n) + 0.5, qty=np.arange(n, dtype="i4") * 10)


def refusal(function, *arguments, **keywords):
    """Return the text with which a call is refused, after a look at its form."""
    with pytest.raises(SchemaError) as caught:
        function(*arguments, **keywords)
    text = str(caught.value)
    assert ": got " in text, text
    assert ", expected " in text, text
    assert "; " in text, text
    assert "\n" not in text
    assert "\x1b" not in text
    return text


def same(left, right):
    """Tell whether two arrays hold the same bits, whatever the strides."""
    return (
        left.shape == right.shape
        and left.dtype == right.dtype
        and np.ascontiguousarray(left).tobytes() == np.ascontiguousarray(right).tobytes()
    )


# -- Schema.of: what is a schema -------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [*NUMBERS, *TIMES, "U5", "S5", "datetime64[ns]", "timedelta64[25s]"]
)
def test_every_fixed_width_dtype_is_a_plain_schema(code):
    schema = Schema.of(code)

    assert (schema.kind, schema.names, schema.columns, schema.shapes) == (
        "plain",
        (),
        (np.dtype(code),),
        ((),),
    )
    assert (schema.dtype, schema.itemsize) == (np.dtype(code), np.dtype(code).itemsize)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (int, "int64"), (float, "float64"), (bool, "bool"), (complex, "complex128"),
        (np.float32, "float32"), (np.dtype("i2"), "int16"), ("<U5", "U5"), ("c", "S1"),
        ("double", "float64"),
        (("f4", (128,)), "float32[128]"), (("f4", 3), "float32[3]"), (("f4", (1,)), "float32[1]"),
        (("f4", (2, 3)), "float32[2, 3]"), ((("f4", (2,)), (3,)), "float32[3, 2]"),
        (TICK, "(price float64, qty int32)"),
        ("f8,i4", "(f0 float64, f1 int32)"),
        ({"names": ["a", "b"], "formats": ["U3", "M8[s]"]}, "(a U3, b datetime64[s])"),
        ([("vec", "f4", (128,)), ("id", "S4")], "(vec float32[128], id S4)"),
        ([("two words", "?")], "('two words' bool)"),
        (object, "object"), ("O", "object"), (np.object_, "object"), (np.dtype(object), "object"),
    ],
)  # fmt: skip
def test_a_schema_is_made_of_anything_that_numpy_takes_for_a_dtype(given_, expected):
    assert Schema.of(given_).describe() == expected


def test_a_structured_dtype_has_a_column_a_field():
    schema = Schema.of([("price", ">f8"), ("vec", "f4", (2, 3)), ("name", "U5")])

    assert schema.kind == "columns"
    assert schema.names == ("price", "vec", "name")
    assert schema.columns == (np.dtype("f8"), np.dtype("f4"), np.dtype("U5"))
    assert schema.shapes == ((), (2, 3), ())
    assert schema.itemsize == 8 + 24 + 20


def test_object_events_count_as_a_reference_each():
    schema = Schema.of(object)

    assert (schema.kind, schema.names, schema.itemsize) == ("object", (), 8)
    assert (schema.columns, schema.shapes) == ((np.dtype(object),), ((),))


@given(dtypes(foreign=True))
def test_byte_order_is_always_native(dtype):
    schema = Schema.of(dtype)

    assert all(column.isnative for column in schema.columns)
    assert schema.dtype == dtype.newbyteorder("=")
    assert schema == Schema.of(dtype.newbyteorder("="))


@given(dtypes(foreign=True))
def test_a_schema_is_found_again_by_itself_its_dtype_and_pickle(dtype):
    schema = Schema.of(dtype)

    assert Schema.of(schema) is schema
    assert Schema.of(dtype) is schema
    assert Schema.of(schema.dtype) == schema
    assert pickle.loads(pickle.dumps(schema)) == schema
    assert hash(Schema.of(schema.dtype)) == hash(schema)


@given(dtypes(), dtypes())
def test_schemas_are_equal_when_their_columns_are(left, right):
    one, other = Schema.of(left), Schema.of(right)

    equal = (one.names, one.columns, one.shapes) == (other.names, other.columns, other.shapes)
    assert (one == other) is equal
    assert (one.cast_from(other) == "same") is equal


def test_padding_offsets_and_order_of_bytes_do_not_make_another_schema():
    packed = Schema.of([("flag", "i1"), ("price", "f8")])
    aligned = Schema.of(np.dtype([("flag", "i1"), ("price", ">f8")], align=True))
    gaps = {
        "names": ["flag", "price"],
        "formats": ["i1", "f8"],
        "offsets": [100, 8],
        "itemsize": 200,
    }

    assert packed == aligned == Schema.of(gaps)
    assert hash(packed) == hash(aligned)
    assert packed.itemsize == aligned.itemsize == 9
    assert aligned.dtype.itemsize == 16


def test_order_and_names_and_a_shape_of_one_make_another_schema():
    assert Schema.of([("a", "i4"), ("b", "i4")]) != Schema.of([("b", "i4"), ("a", "i4")])
    assert Schema.of([("a", "i4")]) != Schema.of([("b", "i4")])
    assert Schema.of([("a", "i4")]) != Schema.of([("a", "i4", (1,))])
    assert Schema.of("i4") != Schema.of([("a", "i4")])
    assert Schema.of("i4") != "i4"


def test_two_c_types_of_one_width_are_one_schema():
    assert Schema.of("longlong") == Schema.of("long")
    assert {Schema.of(code).columns[0].char for code in ("longlong", "long")} == {
        np.dtype("int64").char
    }


def test_a_schema_can_not_be_changed():
    schema = Schema.of("i4")

    with pytest.raises(AttributeError):
        schema.itemsize = 8


def test_a_record_of_a_megabyte_is_a_schema():
    assert Schema.of([("page", "u1", (1 << 20,))]).itemsize == 1 << 20
    assert Schema.of("S1048576").itemsize == 1 << 20


def test_fields_that_overlap_become_columns_of_their_own():
    schema = Schema.of({"names": ["word", "low"], "formats": ["u4", "u2"], "offsets": [0, 0]})

    assert (schema.columns, schema.itemsize) == ((np.dtype("u4"), np.dtype("u2")), 6)


@pytest.mark.parametrize(
    ("bad", "got", "do"),
    [
        (None, "got None", "write 'int64'"),
        ("int46", "int46", "write 'int64'"),
        ("i4,,", "i4,,", "write 'int64'"),
        (3, "got 3", "write 'int64'"),
        ({"price": "f8"}, "price", "write 'int64'"),
        ([("a", "i4"), ("a", "i4")], "more than once", "write 'int64'"),
        (("f4", (1 << 40,)), "C int", "write 'int64'"),
        (("f4", (-1,)), "got", "write 'int64'"),
        (dict, "the class dict", "object for Python objects"),
        (pd.Timestamp, "the class Timestamp", "object for Python objects"),
        (str, "'U0'", "'U16'"),
        ("S", "'S0'", "'S16'"),
        ([("name", "U0")], "field 'name': got 'U0'", "'U16'"),
        ("V8", "'V8'", "('u1', (8,))"),
        ("V", "'V0'", "'S8'"),
        ([("raw", "V3")], "field 'raw': got 'V3'", "'S3'"),
        ([], "no fields", "('price', 'f8')"),
        ([("a", "f4", (0,))], "field 'a': got 'float32[0]'", "give it a length"),
        (("f4", (2, 0)), "'float32[2, 0]'", "give it a length"),
        ("M8", "'datetime64'", "'datetime64[ns]'"),
        ("m8", "'timedelta64'", "'timedelta64[ns]'"),
        ([("at", "M8")], "field 'at'", "'datetime64[ns]'"),
        ([("any", object)], "field 'any': got 'object'", "declare dtype=object"),
        (("O", (3,)), "'object[3]'", "declare dtype=object"),
        (np.dtypes.StringDType(), "got 'StringDType", "'U16'"),
        (np.dtypes.StringDType(na_object=None), "got 'StringDType", "'U16'"),
        (
            [("at", [("x", "f8"), ("y", "f8")])],
            "field 'at': got '(x float64, y float64)'",
            "('at_x', 'f8')",
        ),
        ([("at", [("x", "f8")], (3,))], "'(x float64)[3]'", "flatten it"),
        ([(("the price", "price"), "f8")], "the title 'the price'", "('price', 'float64')"),
    ],
)
def test_what_is_no_schema_is_refused_with_advice(bad, got, do):
    text = refusal(Schema.of, bad)

    assert text.startswith("dtype")
    assert got in text
    assert do in text.partition("; ")[2]


def test_a_dtype_that_is_not_numpys_own_is_refused():
    text = refusal(Schema.of, np.dtype(rational))

    assert "expected one of NumPy's own dtypes" in text
    assert "('u1', (8,))" in text


def test_an_error_is_a_type_error_and_one_of_ours():
    with pytest.raises(TypeError) as caught:
        Schema.of("V8")

    assert isinstance(caught.value, FastflowError)


@given(
    st.one_of(
        st.text(max_size=6),
        st.binary(max_size=4),
        st.integers(),
        st.floats(),
        st.lists(st.text(max_size=3)),
    )
)
def test_no_dtype_text_raises_anything_else(text):
    try:
        schema = Schema.of(text)
    except SchemaError:
        return
    assert schema.itemsize > 0


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_a_plain_schema_says_what_numpy_makes_of_the_dtype(shape):
    schema = Schema.of(("f4", shape)) if shape else Schema.of("f4")

    assert np.empty(5, schema.dtype).shape == (5, *schema.shapes[0])


def test_a_description_stays_short():
    schema = Schema.of([(f"c{i}", "f8") for i in range(100)])

    assert schema.describe().endswith("c11 float64, ... 88 more)")
    assert repr(schema).startswith("<Schema (c0 float64")


def test_a_description_escapes_control_characters():
    assert "\x1b" not in Schema.of([("\x1b[31mred", "f8")]).describe()


# -- Schema.infer: what a callback returned --------------------------------------------------------


@given(st.data(), dtypes())
def test_the_schema_of_events_is_inferred(data, dtype):
    schema = Schema.of(dtype)
    assume(schema.kind != "plain" or schema.shapes == ((),))  # nothing tells a vector from two axes

    assert Schema.infer(data.draw(events(dtype))) == schema


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"price": np.zeros(2), "qty": np.zeros(2, "i4")}, "(price float64, qty int32)"),
        (types.MappingProxyType({"price": [1.5]}), "(price float64)"),
        ({"vec": np.zeros((2, 3))}, "(vec float64[3])"),
        (np.zeros(2, TICK), "(price float64, qty int32)"),
        (np.zeros(2, TICK).view(np.recarray), "(price float64, qty int32)"),
        (np.array([None, 1]), "object"),
        ([], "object"), ([1, 2], "object"), (("a", "b"), "object"),
        (array.array("h", [1]), "int16"), (memoryview(b"ab"), "uint8"),
        (pd.Series([1.5]), "float64"),
        (pl.Series([1]), "int64"), (np.zeros(3, ">i4"), "int32"),
    ],
)  # fmt: skip
def test_the_schema_of_anything_that_is_events_is_inferred(given_, expected):
    assert Schema.infer(given_).describe() == expected


@pytest.mark.parametrize(
    ("bad", "got", "do"),
    [
        (np.zeros((3, 2)), "array of float64 with shape (3, 2)", "declare dtype=('float64', (2,))"),
        (np.array(3), "with shape ()", "np.atleast_1d"),
        (3, "int 3", "np.array([value])"),
        ("text", "str 'text'", "np.array([value])"),
        (None, "None", "give an array"),
        (object(), "object", "give an array"),
        ((i for i in range(3)), "generator", "np.fromiter"),
        ({1, 2}, "set", "np.array(list(values))"),
        ({}, "no columns", "ff.Batch(price=array)"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "3 events in column 'b', 2 in 'a'", "one length"),
        ({"a": 3.0}, "float 3.0", "np.array([value])"),
        ({5: np.zeros(2)}, "5 for a name", "name each column"),
        (np.zeros(3, "V4"), "'V4'", "('u1', (4,))"),
        (np.ma.masked_array([1, 2], [0, 1]), "masked array", ".compressed()"),
        (np.array(["a"], np.dtypes.StringDType()), "StringDType", "'U16'"),
        (collections.namedtuple("Point", "x y")(1, 2), "Point", "[event]"),
    ],
)
def test_what_is_no_events_has_no_schema(bad, got, do):
    text = refusal(Schema.infer, bad, WHERE)

    assert got in text
    assert do in text


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
        f"{WHERE}: unknown column 'prcie'; did you mean 'price'? Valid: price, qty"
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


# -- casts between schemas -------------------------------------------------------------------------


@given(plain_dtypes(), plain_dtypes())
def test_a_cast_is_safe_when_numpy_says_so_and_shapes_agree(ours, theirs):
    one, other = Schema.of(ours), Schema.of(theirs)
    safe = one.shapes == other.shapes and np.can_cast(other.columns[0], one.columns[0], "safe")

    assert one.cast_from(other) == ("same" if one == other else "safe" if safe else None)


SAFE_CASTS = [
    (theirs, ours)
    for theirs in (*NUMBERS, *TIMES, "U2", "S2")
    for ours in (*NUMBERS, *TIMES, "U5", "S5")
    if Schema.of(ours).cast_from(Schema.of(theirs)) == "safe"
]


@given(st.data(), st.sampled_from(SAFE_CASTS))
def test_a_safe_cast_is_one_that_copyto_makes(data, pair):
    theirs, ours = pair
    given_ = data.draw(columns(theirs, 3))
    out = np.empty(3, ours)

    with np.errstate(all="ignore"):
        np.copyto(out, given_, casting="safe")


@pytest.mark.parametrize(
    ("theirs", "ours", "how"),
    [
        ("i4", "i8", "safe"), ("i8", "i4", None), ("i8", "f8", "safe"), ("u8", "i8", None),
        ("?", "i1", "safe"), ("f8", "D", "safe"), ("D", "f8", None),
        ("U3", "U5", "safe"), ("U5", "U3", None), ("S3", "U3", "safe"), ("U3", "S3", None),
        ("M8[s]", "M8[ns]", "safe"), ("M8[ns]", "M8[s]", None), ("m8[Y]", "m8[D]", None),
        ("M8[s]", "m8[s]", None), ("M8[s]", "i8", None),
        ("i8", object, None), (object, "i8", None), (object, object, "same"),
        (TICK, "f8", None), ("f8", [("a", "f8")], None),
        ([("qty", "i2"), ("price", "f4")], TICK, "safe"),
        ([("qty", "i4"), ("price", "f8")], TICK, "safe"),
        ([("price", "f8"), ("qty", "i8")], TICK, None),
        ([("price", "f8"), ("name", "i4")], TICK, None),
        ([("price", "f8")], TICK, None), ([*TICK, ("at", "M8[s]")], TICK, None),
        ([("vec", "f4", (3,))], [("vec", "f8", (3,))], "safe"),
        ([("vec", "f4", (3,))], [("vec", "f8")], None),
        (("f4", (3,)), ("f8", (3,)), "safe"), (("f4", (3,)), ("f8", (4,)), None),
    ],
)  # fmt: skip
def test_casts(theirs, ours, how):
    assert Schema.of(ours).cast_from(Schema.of(theirs)) == how


def test_the_same_schemas_meet_and_a_safe_cast_is_made_on_demand():
    assert same_or_refuse(Schema.of("i8"), Schema.of(">i8"), "a", "b", False) is None
    assert same_or_refuse(Schema.of("i8"), Schema.of("i8"), "a", "b", True) is None
    assert same_or_refuse(Schema.of("i4"), Schema.of("i8"), "a", "b", True) == "cast"


@pytest.mark.parametrize(
    ("theirs", "ours", "convert", "difference", "do"),
    [
        ("i4", "i8", False, "an event is int32, not int64", "subscribe with convert=True"),
        (
            "f8",
            "i8",
            False,
            "an event is float64, not int64",
            "cast with .astype in a stage between",
        ),
        ("f8", "i8", True, "an event is float64, not int64", "convert=True makes only safe casts"),
        (object, "i8", True, "Python objects are not plain values", "declare one dtype in both"),
        ("i8", TICK, False, "plain values are not named columns", "declare one dtype in both"),
        ([("price", "f8")], TICK, False, "column 'qty' is missing", "declare one dtype in both"),
        (
            [*TICK, ("at", "i8")],
            TICK,
            False,
            "column 'at' is not expected",
            "declare one dtype in both",
        ),
        (
            [("price", "f8"), ("qty", "i8")],
            TICK,
            False,
            "column 'qty' is int64, not int32",
            ".astype",
        ),
        (
            [("price", "f8"), ("qty", "i2")],
            TICK,
            False,
            "column 'qty' is int16, not int32",
            "convert=True",
        ),
        ([("qty", "i4"), ("price", "f8")], TICK, False, "in another order", "convert=True"),
        (
            ("f4", (3,)),
            ("f4", (4,)),
            False,
            "an event is float32[3], not float32[4]",
            "declare one dtype",
        ),
    ],
)
def test_schemas_that_differ_are_refused_with_both_and_the_first_difference(
    theirs, ours, convert, difference, do
):
    one, other = Schema.of(theirs), Schema.of(ours)

    text = refusal(same_or_refuse, one, other, "parse", "total", convert)

    assert text.startswith(
        f"subscription of 'total' to 'parse': got events of {one.describe()}, "
        f"expected {other.describe()}; "
    )
    assert difference in text
    assert do in text


# -- memory ----------------------------------------------------------------------------------------


@given(dtypes(foreign=True), st.integers(0, 200))
def test_fresh_memory_is_aligned_contiguous_and_of_the_schema(dtype, n):
    schema = Schema.of(dtype)

    fresh = schema.empty(n)

    assert len(fresh) == n
    if schema.kind == "object":
        assert fresh == [None] * n
        return
    arrays = [fresh] if schema.kind == "plain" else [fresh[name] for name in schema.names]
    for array_, column, shape in zip(arrays, schema.columns, schema.shapes, strict=True):
        assert (array_.dtype, array_.shape) == (column, (n, *shape))
        assert array_.flags.c_contiguous
        assert array_.flags.writeable
        assert array_.ctypes.data % 64 == 0
    assert all(one is two for one, two in zip(schema.arrays(fresh, WHERE), arrays, strict=True))


@pytest.mark.parametrize(
    "n", [-1, True, np.True_, 1.5, "3", None, 2**63, sys.maxsize, sys.maxsize // 8]
)
def test_memory_for_an_impossible_number_of_events_is_refused(n):
    for dtype in ("i8", object, TICK):
        with pytest.raises(DemandError, match=r"^empty: got .*, expected .*; give "):
            Schema.of(dtype).empty(n)


def test_numpy_integers_count_events():
    assert len(Schema.of("i8").empty(np.uint8(3))) == 3


# -- Batch: made of --------------------------------------------------------------------------------


def test_a_batch_is_made_of_keywords_a_mapping_a_structured_array_or_a_batch():
    price, qty = np.array([1.5, 2.5]), np.array([10, 20], "i4")
    packed = np.array([(1.5, 10), (2.5, 20)], TICK)
    whole = Batch(price=price, qty=qty)

    assert whole.columns == ("price", "qty")
    assert Batch({"price": price, "qty": qty}) == whole
    assert Batch({"price": price}, qty=qty) == whole
    assert Batch(packed) == whole
    assert Batch(packed.view(np.recarray)) == whole
    assert Batch(whole) == whole
    assert Batch(types.MappingProxyType({"price": price, "qty": qty})) == whole
    assert Batch(price=pd.Series(price), qty=pl.Series(qty)) == whole


def test_a_batch_shares_the_arrays_that_it_is_made_of():
    price = np.zeros(3)
    packed = np.zeros(3, TICK)

    assert Batch(price=price)["price"] is price
    assert np.shares_memory(Batch(packed)["qty"], packed)
    assert Batch(Batch(price=price))["price"] is price


def test_lists_become_columns_of_the_dtype_that_numpy_finds():
    batch = Batch(
        i=[1, 2], f=[0.5, 1], t=["a", "bcd"], v=[[1, 2], [3, 4]], n=[np.datetime64("2020", "D")] * 2
    )

    assert batch.schema.describe() == "(i int64, f float64, t U3, v int64[2], n datetime64[D])"


@given(st.data(), structured_dtypes(foreign=True))
def test_columns_of_a_batch_are_in_native_byte_order(data, dtype):
    batch = data.draw(events(dtype))

    swapped = Batch(np.asarray(batch, dtype.newbyteorder(">")))

    assert swapped.schema == Schema.of(dtype)
    assert swapped.equals(batch, equal_nan=True)


@pytest.mark.parametrize(
    "name", ["columns", "dtype", "take", "self", "data", "schema", "equals", "x y", "_names"]
)
def test_a_column_may_have_any_name(name):
    batch = Batch(**{name: [1, 2]}, other=[3, 4])

    assert batch[name].tolist() == [1, 2]
    assert batch.columns == (name, "other")
    assert len(batch.take([0])) == 1
    assert batch.with_columns(**{name: [5, 6]})[name].tolist() == [5, 6]
    assert batch[0][name] == 1


@pytest.mark.parametrize(
    ("make", "got", "do"),
    [
        (lambda: Batch(), "no columns", "ff.Batch(price=array)"),
        (lambda: Batch({}), "no columns", "ff.Batch(price=array)"),
        (
            lambda: Batch(a=np.zeros(2), b=np.zeros(3)),
            "3 events in column 'b', 2 in 'a'",
            "one length",
        ),
        (lambda: Batch(a=3), "column 'a': got int 3", "np.array([value])"),
        (lambda: Batch(a="text"), "column 'a': got str", "np.array([value])"),
        (lambda: Batch(a=np.array(3)), "with shape ()", "np.atleast_1d"),
        (lambda: Batch(a=np.array([None])), "column 'a': got 'object'", "declare dtype=object"),
        (lambda: Batch(a=[None, 1]), "column 'a': got 'object'", "declare dtype=object"),
        (lambda: Batch(a=["a", 1]), "int 1 at 1", "np.array(values, dtype)"),
        (
            lambda: Batch(a=[[1], [1, 2]]),
            "a list that makes no such array",
            "np.array(values, dtype)",
        ),
        (lambda: Batch(a=np.zeros(2, TICK)), "'(price float64, qty int32)'", "flatten it"),
        (lambda: Batch(a=ticks()), "'(price float64, qty int32)'", "flatten it"),
        (lambda: Batch(np.zeros(2, [("at", TICK)])), "column 'at'", "flatten it"),
        (lambda: Batch(a=np.zeros((2, 0))), "'float64[0]'", "give it a length"),
        (lambda: Batch(a=np.broadcast_to(0.0, (1, 2**30))), f"shape (1, {2**30})", "smaller"),
        (lambda: Batch(a=np.ma.zeros(2)), "masked array", ".compressed()"),
        (lambda: Batch(a=(i for i in "ab")), "generator", "collect it first"),
        (lambda: Batch({"a": [1]}, a=[1]), "column 'a' twice", "give one"),
        (lambda: Batch({3: [1]}), "3 for a name", "{'price': array}"),
        (lambda: Batch({"": [1]}), "'' for a name", "{'price': array}"),
        (lambda: Batch([1, 2]), "list", "ff.Batch(price=array)"),
        (lambda: Batch(np.zeros(3)), "array of float64", "a structured array"),
        (lambda: Batch(np.zeros((2, 2), TICK)), "with shape (2, 2)", "a structured array"),
        (lambda: Batch(3), "int 3", "np.array([value])"),
        (lambda: Batch(pd.DataFrame({"a": [1]})), "with shape (1, 1)", "give a dict"),
    ],
)
def test_what_makes_no_batch_is_refused(make, got, do):
    text = refusal(make)

    assert got in text
    assert do in text


# -- Batch: read -----------------------------------------------------------------------------------


def test_a_column_is_read_by_name_as_the_array_it_is():
    price = np.zeros(3)
    batch = Batch(price=price, qty=np.zeros(3))

    assert batch["price"] is price
    assert "price" in batch
    assert "prices" not in batch


@pytest.mark.parametrize(
    "read", [lambda b: b["prcie"], lambda b: b.select("prcie"), lambda b: b[["prcie"]]]
)
def test_an_unknown_name_of_a_batch_names_the_nearest(read):
    with pytest.raises(
        SchemaError,
        match=r"batch: unknown column 'prcie'; did you mean 'price'\? Valid: price, qty",
    ):
        read(ticks())


def test_length_dtype_and_schema_of_a_batch():
    batch = Batch(price=np.zeros(3), vec=np.zeros((3, 2), "f4"))

    assert len(batch) == 3
    assert batch.dtype == np.dtype([("price", "f8"), ("vec", "f4", (2,))])
    assert batch.schema == Schema.of(batch.dtype)
    assert len(batch[:0]) == 0
    assert not batch[:0]


@given(st.data(), structured_dtypes(), st.slices(8))
def test_a_slice_is_a_view_of_every_column(data, dtype, part):
    batch = data.draw(events(dtype, 8))

    found = batch[part]

    assert isinstance(found, Batch)
    assert len(found) == len(range(8)[part])
    for name in batch.columns:
        assert same(found[name], batch[name][part])
        assert len(found) == 0 or np.shares_memory(found[name], batch[name])


@given(st.data(), structured_dtypes())
def test_masks_positions_and_take_agree_with_each_column(data, dtype):
    batch = data.draw(events(dtype, 6))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=6, max_size=6)))
    positions = data.draw(st.lists(st.integers(-6, 5)))

    masked, picked, taken = batch[mask], batch[np.array(positions, "i8")], batch.take(positions)

    for name in batch.columns:
        assert same(masked[name], batch[name][mask])
        assert same(picked[name], batch[name][np.array(positions, "i8")])
        assert same(taken[name], picked[name])
        assert not np.shares_memory(picked[name], batch[name])


def test_lists_and_foreign_masks_pick_events_too():
    batch = ticks(3)

    assert batch[[True, False, True]]["qty"].tolist() == [0, 20]
    assert batch[[2, 0]]["qty"].tolist() == [20, 0]
    assert len(batch[[]]) == len(batch.take([])) == len(batch.take(())) == 0
    assert batch[pl.Series([True, False, True])]["qty"].tolist() == [0, 20]
    assert batch[pd.Series([2])]["qty"].tolist() == [20]
    assert batch[np.array([1], "u1")]["qty"].tolist() == [10]


def test_columns_are_selected_in_the_order_asked_for_and_shared():
    batch = ticks()

    found = batch[["qty", "price"]]

    assert found.columns == ("qty", "price")
    assert found["price"] is batch["price"]
    assert batch.select("qty").columns == ("qty",)
    assert "'qty', 'qty'" in refusal(batch.select, "qty", "qty")
    assert "no columns" in refusal(batch.select)


@pytest.mark.parametrize("at", [3, -4, 2**70])
def test_a_position_outside_is_an_index_error(at):
    with pytest.raises(
        IndexError, match=rf"position in a batch of 3: got {at}, expected -3 to 2; see len"
    ):
        ticks(3)[at]
    with pytest.raises(IndexError, match=r"expected none, since it is empty"):
        ticks(0)[at]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (np.array([True, False]), "mask of a batch: got 2 values, expected 3"),
        (np.array([1.5]), "got array of float64 with shape (1,), expected a mask or positions"),
        (np.array([]), "got array of float64 with shape (0,), expected a mask or positions"),
        (np.zeros((2, 2), int), "with shape (2, 2), expected a mask or positions"),
        (np.array(1), "with shape (), expected a mask or positions"),
        ([1, "price"], "expected a mask or positions"),
        (np.array([7]), "out of bounds"),
    ],
)
def test_a_wrong_mask_is_an_index_error(key, text):
    with pytest.raises(IndexError, match=re.escape(text)):
        ticks(3)[key]


def test_take_wants_positions():
    with pytest.raises(IndexError, match=r"take: got a mask, expected positions; .*batch\[mask\]"):
        ticks(3).take([True, False, True])
    with pytest.raises(IndexError, match="out of bounds"):
        ticks(3).take([3])


@pytest.mark.parametrize(
    "key", [1.5, None, ..., True, ("price", "qty"), (0, 1), {"price"}, b"price", object()]
)
def test_no_other_key_is_an_index(key):
    assert "index of a batch" in refusal(ticks().__getitem__, key)


def test_in_asks_for_names_only():
    with pytest.raises(SchemaError, match=r"any\(row == x for row in batch\)"):
        (0.5, 0) in ticks()  # noqa: B015


# -- rows ------------------------------------------------------------------------------------------


def test_a_row_is_read_by_name_and_position():
    row = ticks(3)[-1]

    assert isinstance(row, Row)
    assert (row["price"], row["qty"], row[0], row[-1]) == (2.5, 20, 2.5, 20)
    assert type(row["qty"]) is np.int32
    assert tuple(row) == (2.5, 20)
    assert (len(row), row.keys()) == (2, ("price", "qty"))
    assert dict(row) == {"price": 2.5, "qty": 20}
    assert row[:1] == (2.5,)
    with pytest.raises(SchemaError, match=r"row: unknown column 'qy'; did you mean 'qty'\?"):
        row["qy"]
    with pytest.raises(IndexError):
        row[2]


def test_a_row_is_equal_to_rows_tuples_and_records_of_its_values():
    row = ticks(3)[1]

    assert row == (1.5, 10)
    assert (1.5, 10).__eq__(row) is NotImplemented
    assert row.__eq__(3) is NotImplemented
    assert row == ticks(2)[1]
    assert row == ticks(3).to_numpy()[1]
    assert row != (1.5, 11)
    assert row != (1.5,)
    assert row != [1.5, 10]
    assert row != Batch(price=[1.5], amount=[10])[0]
    assert row != np.void(b"12")
    assert hash(row) == hash((1.5, 10))
    assert len({row, ticks(3)[1], (1.5, 10)}) == 1


def test_a_row_keeps_scalars_when_its_batch_changes():
    batch = ticks(3)
    row = batch[1]

    batch["price"] = 0

    assert row["price"] == 1.5


def test_a_sub_array_of_a_row_is_compared_whole():
    row = Batch(vec=np.arange(4).reshape(2, 2))[1]

    assert row == (np.array([2, 3]),)
    assert row == ([2, 3],)
    assert row != ([2, 4],)
    assert repr(row) == "Row(vec=[2 3])"


def test_nan_in_a_row_stays_unequal():
    assert Batch(price=[np.nan])[0] != (np.nan,)
    assert Batch(price=[-0.0])[0] == (0.0,)


@given(st.data(), structured_dtypes())
def test_iteration_gives_the_rows_in_order(data, dtype):
    batch = data.draw(events(dtype))

    rows = list(batch)

    assert len(rows) == len(batch)
    for at, row in enumerate(rows):
        assert isinstance(row, Row)
        assert repr(row) == repr(batch[at])


def test_rows_are_pickled_and_shown():
    row = Batch(**{"two words": ["a\x1b\n"], "at": [np.datetime64("NaT", "s")]})[0]

    assert pickle.loads(pickle.dumps(ticks()[1])) == ticks()[1]
    assert repr(row) == r"Row('two words'='a\x1b\n', at=NaT)"


# -- Batch: write ----------------------------------------------------------------------------------


def test_assignment_writes_into_the_column():
    price = np.zeros(3)
    batch = Batch(price=price, vec=np.zeros((3, 2)))

    batch["price"] = [1, 2, 3]
    batch["vec"] = 7
    batch["price"][1:] *= 10

    assert price.tolist() == [1, 20, 30]
    assert batch["vec"].tolist() == [[7, 7]] * 3
    assert batch["price"] is price


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("i4", np.arange(3), [0, 1, 2]), ("f4", np.arange(3) / 2, [0, 0.5, 1]),
        ("U3", ["a", "b", "cde"], None),
        ("U3", "abc", ["abc"] * 3), ("S2", b"x", [b"x"] * 3), ("?", [True, False, True], None),
        ("i8", 7, [7] * 3),
    ],
)  # fmt: skip
def test_assignment_casts_as_numpy_does_in_place(dtype, value, expected):
    batch = Batch(x=np.zeros(3, dtype))

    batch["x"] = value

    assert batch["x"].dtype == np.dtype(dtype)
    assert batch["x"].tolist() == (value if expected is None else expected)


@pytest.mark.parametrize(
    ("dtype", "value", "got"),
    [
        ("i8", 1.5, "float 1.5"), ("i8", np.zeros(3), "array of float64"), ("f8", 1j, "complex 1j"),
        ("U3", "abcd", "array of U4"), ("U3", np.zeros(3, "U5"), "array of U5"),
        ("U9", 1, "array of int64"),
        ("S3", "abc", "array of U3"), ("?", np.zeros(3, int), "array of int64"),
        ("i8", "x", "str 'x'"),
        ("M8[s]", 1.5, "float 1.5"),
    ],
)  # fmt: skip
def test_assignment_that_would_lose_is_refused_and_changes_nothing(dtype, value, got):
    batch = Batch(x=np.zeros(3, dtype))
    before = batch["x"].copy()

    text = refusal(batch.__setitem__, "x", value)

    assert text.startswith("assignment to column 'x': got ")
    assert got in text
    assert f"cast it yourself with .astype('{Schema.of(dtype).describe()}')" in text
    assert same(batch["x"], before)


def test_assignment_of_another_length_or_to_anything_but_a_column_is_refused():
    batch = ticks(3)

    with pytest.raises(ValueError, match="broadcast"):
        batch["price"] = np.zeros(2)
    with pytest.raises(SchemaError, match=r"unknown column 'new'"):
        batch["new"] = np.zeros(3)
    for key in (0, slice(2), ["price"], np.array([True, False, True])):
        assert "write batch['price'][2:5] = values" in refusal(batch.__setitem__, key, 0)


def test_assignment_to_a_read_only_column_says_what_to_do():
    price = np.zeros(3)
    price.flags.writeable = False
    batch = Batch(price=price)

    with pytest.raises(
        ValueError, match=r"column 'price': got a read-only column, .*; take a copy of it"
    ):
        batch["price"] = 1


def test_assignment_from_the_column_itself_reads_before_it_writes():
    batch = ticks(4)

    batch["qty"] = batch["qty"][::-1]

    assert batch["qty"].tolist() == [30, 20, 10, 0]


def test_with_columns_replaces_adds_and_shares():
    batch = ticks(2)

    found = batch.with_columns(qty=[7, 8], name=["a", "b"])

    assert found.columns == ("price", "qty", "name")
    assert found["price"] is batch["price"]
    assert found["qty"].tolist() == [7, 8]
    assert batch["qty"].tolist() == [0, 10]
    assert "3 events in column 'x', 2 in 'price'" in refusal(batch.with_columns, x=np.zeros(3))
    assert batch.with_columns() == batch


# -- Batch: to NumPy and back ----------------------------------------------------------------------


@given(st.data(), structured_dtypes())
def test_to_numpy_is_packed_and_comes_back(data, dtype):
    batch = data.draw(events(dtype))

    packed = batch.to_numpy()

    assert packed.dtype == batch.dtype
    assert packed.dtype.itemsize == batch.schema.itemsize
    assert packed.shape == (len(batch),)
    assert all(same(packed[name], batch[name]) for name in batch.columns)
    assert Batch(packed).equals(batch, equal_nan=True)
    assert not any(np.shares_memory(packed, batch[name]) for name in batch.columns)


def test_padding_is_zero():
    aligned = np.dtype([("flag", "i1"), ("price", "f8"), ("tail", "i1")], align=True)
    batch = Batch(flag=np.full(50, -1, "i1"), price=np.full(50, np.nan), tail=np.full(50, -1, "i1"))

    raw = np.asarray(batch, aligned).view(np.uint8).reshape(50, aligned.itemsize)

    assert aligned.itemsize == 24
    assert not raw[:, 1:8].any()
    assert not raw[:, 17:].any()
    assert raw[:, 0].all()


def test_array_protocol():
    batch = ticks(3)

    assert np.asarray(batch).dtype == np.dtype(TICK)
    assert np.array(batch, copy=True)["qty"].tolist() == [0, 10, 20]
    assert np.asarray(batch, dtype=[("qty", "i8"), ("price", "f4")])[1].tolist() == (10, 1.5)
    assert np.asarray(batch, dtype=object).tolist() == [(0.5, 0), (1.5, 10), (2.5, 20)]
    with pytest.raises(ValueError, match=r"got copy=False, expected a copy.*; take one column"):
        np.asarray(batch, copy=False)
    with pytest.raises(TypeError):
        np.asarray(batch, dtype="f8")


def test_arithmetic_is_by_column():
    with pytest.raises(TypeError):
        np.arange(3) + ticks(3)
    with pytest.raises(TypeError):
        ticks(3) * 2
    assert (ticks(3)["price"] * ticks(3)["qty"]).tolist() == [0, 15, 50]


def test_columns_export_to_other_libraries_without_a_copy():
    batch = Schema.of([("price", "f8"), ("qty", "i4")]).empty(100)
    batch["price"] = np.arange(100)

    frame = pl.DataFrame({name: batch[name] for name in batch.columns})

    assert frame["price"].sum() == 4950
    assert np.shares_memory(np.from_dlpack(batch["price"]), batch["price"])


# -- Batch: equal, shown, kept ---------------------------------------------------------------------


@given(st.data(), structured_dtypes())
def test_equality_is_that_of_every_value(data, dtype):
    batch = data.draw(events(dtype))
    other = data.draw(st.one_of(events(dtype), st.just(copy.deepcopy(batch))))

    expected = len(batch) == len(other) and all(
        np.array_equal(batch[n], other[n]) for n in batch.columns
    )
    assert (batch == other) is expected
    assert (batch != other) is not expected
    assert batch.equals(copy.deepcopy(batch), equal_nan=True)


def test_equality_looks_at_names_order_dtypes_and_lengths():
    batch = ticks(3)

    assert batch != batch[["qty", "price"]]
    assert batch != Batch(price=batch["price"], amount=batch["qty"])
    assert batch != batch.with_columns(qty=batch["qty"].astype("i8"))
    assert batch != batch[:2]
    assert batch != batch.to_numpy()
    assert (np.arange(3) == batch) is False
    assert batch != "batch"
    assert not batch.equals("batch")
    assert Batch(x=[np.nan]) != Batch(x=[np.nan])
    assert Batch(x=[np.nan]).equals(Batch(x=[np.nan]), equal_nan=True)
    assert Batch(x=["a"]).equals(Batch(x=["a"]), equal_nan=True)
    with pytest.raises(TypeError, match="unhashable"):
        hash(batch)


def test_bytes_never_equal_text_as_the_docs_say():
    batch = Batch(name=np.array([b"AA", b"BB"]))

    assert not (batch["name"] == "AA").any()
    assert (batch["name"] == b"AA").tolist() == [True, False]


def test_a_short_batch_is_shown_whole():
    assert repr(ticks(2)) == (
        "Batch of 2 events (price float64, qty int32)\n"
        "   price  qty\n"
        "0    0.5    0\n"
        "1    1.5   10"
    )  # fmt: skip
    assert repr(ticks(0)) == "Batch of 0 events (price float64, qty int32)"
    assert repr(ticks(1)).startswith("Batch of 1 event (")
    assert len(repr(ticks(6)).splitlines()) == 8


def test_a_long_batch_is_shown_by_its_ends():
    assert repr(ticks(1_000_000)) == (
        "Batch of 1,000,000 events (price float64, qty int32)\n"
        "           price      qty\n"
        "     0       0.5        0\n"
        "     1       1.5       10\n"
        "     2       2.5       20\n"
        "             ...      ...\n"
        "999998  999998.5  9999980\n"
        "999999  999999.5  9999990"
    )


def test_showing_touches_only_what_is_shown():
    wide = Batch(zero=np.broadcast_to(np.int64(7), (2**40,)))

    assert "Batch of 1,099,511,627,776 events (zero int64)" in repr(wide)
    assert len(repr(wide)) < 400


@given(st.data(), structured_dtypes())
def test_a_representation_is_short_and_printable(data, dtype):
    text = repr(data.draw(events(dtype, st.integers(0, 20))))

    assert len(text.splitlines()) <= 8
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_wide_and_long_values_are_cut():
    many = Batch({f"c{i}": [i] for i in range(40)})
    long = Batch(text=["x" * 500], page=np.zeros((1, 300, 300)))

    assert "... 28 more)" in repr(many)
    assert "c12" not in repr(many)
    assert max(map(len, repr(long).splitlines())) < 80


@given(st.data(), structured_dtypes(), st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_pickling_keeps_the_columns(data, dtype, protocol):
    batch = data.draw(events(dtype))

    found = pickle.loads(pickle.dumps(batch, protocol))

    assert found.columns == batch.columns
    assert all(same(found[name], batch[name]) for name in batch.columns)


def test_pickling_a_slice_leaves_the_rest_behind():
    assert len(pickle.dumps(ticks(100_000)[:2])) < 1000


def test_pickle_5_takes_columns_out_of_band():
    batch = ticks(1000)
    buffers = []

    small = pickle.dumps(batch, 5, buffer_callback=buffers.append)

    assert len(buffers) == 2
    assert len(small) < 1000
    assert pickle.loads(small, buffers=buffers) == batch


def test_a_copy_shares_its_columns_and_a_deep_copy_does_not():
    batch = ticks()

    assert copy.copy(batch)["price"] is batch["price"]
    assert copy.deepcopy(batch) == batch
    assert not np.shares_memory(copy.deepcopy(batch)["price"], batch["price"])


def test_a_batch_has_no_dictionary_and_makes_no_cycle():
    batch = ticks()

    assert not hasattr(batch, "__dict__")
    gc.collect()
    del batch
    assert gc.collect() == 0


def test_wrapping_takes_the_very_names_and_arrays():
    schema = Schema.of(TICK)
    arrays = schema.arrays(ticks(), WHERE)

    batch = schema.batch(arrays)

    assert batch.columns is schema.names
    assert batch["qty"] is arrays[1]
    assert batch == ticks()


# -- concat ----------------------------------------------------------------------------------------


@given(st.data(), structured_dtypes())
def test_concat_joins_column_by_column(data, dtype):
    parts = data.draw(st.lists(events(dtype), min_size=1, max_size=4))

    whole = concat(iter(parts))

    for name in whole.columns:
        assert same(whole[name], np.concatenate([part[name] for part in parts]))
        assert not any(np.shares_memory(whole[name], part[name]) for part in parts)


@pytest.mark.parametrize(
    ("parts", "got", "do"),
    [
        ([], "no batches", "empty batch"),
        ([ticks(), np.zeros(3)], "batch 1: got array of float64", "ff.Batch(...)"),
        (
            [ticks(), ticks()[["qty", "price"]]],
            "batch 1: got (qty int32, price float64)",
            "in another order",
        ),
        (
            [ticks(), ticks().with_columns(qty=np.zeros(3))],
            "batch 1: got",
            "column 'qty' is float64, not int32",
        ),
        ([ticks(), ticks()[["price"]]], "batch 1: got (price float64)", "column 'qty' is missing"),
    ],
)
def test_batches_that_do_not_fit_together_are_refused(parts, got, do):
    text = refusal(concat, parts)

    assert got in text
    assert do in text


# -- threads, docs ---------------------------------------------------------------------------------


def test_threads_find_the_same_schema():
    found, barrier = [], threading.Barrier(4)

    def look():
        barrier.wait(10)
        found.append(Schema.of([("threads", "f8"), ("look", "U7")]))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(found) == 4
    assert set(found) == {Schema.of([("threads", "f8"), ("look", "U7")])}


@pytest.mark.parametrize(
    "module",
    [fastflow.schema, fastflow.schema._batch, fastflow.schema._schema],
    ids=lambda module: module.__name__,
)
def test_the_examples_of_the_docstrings(module):
    outcome = doctest.testmod(module)

    assert outcome.failed == 0
    assert outcome.attempted > 0


def test_the_examples_of_the_page():
    page = (Path(__file__).parents[1] / "docs" / "schemas.md").read_text()
    blocks = re.findall(r"```pycon\n(.*?)```", page, re.DOTALL)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    names = {}

    for number, block in enumerate(blocks):
        test = doctest.DocTestParser().get_doctest(block, names, f"block {number}", "schemas.md", 0)
        runner.run(test, clear_globs=False)
        names = test.globs

    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 20
