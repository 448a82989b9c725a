"""Schemas: what is taken as a dtype, what is refused and how; casts from one to another."""

import array
import collections
import doctest
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
from helpers_schema import TICK, WHERE, refusal
from hypothesis import assume, given
from numpy._core._rational_tests import rational  # a dtype from outside, as other packages add
from strategies import NUMBERS, TIMES, columns, dtypes, events, plain_dtypes

import fastflow.schema
import fastflow.schema._batch
import fastflow.schema._schema
from fastflow.errors import DemandError, FastflowError, SchemaError
from fastflow.schema import Schema, same_or_refuse

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
        ("V6", "V6"), ([("raw", "V3"), ("id", "i4")], "(raw V3, id int32)"),
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
        ("V", "'V0'", "'V16'"),
        ([("raw", "V0")], "field 'raw': got 'V0'", "'V16'"),
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
        Schema.of("V0")

    assert isinstance(caught.value, FastflowError)


@pytest.mark.filterwarnings("ignore:Data type alias:DeprecationWarning")     # NumPy's word about "a"
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
        (pl.Series([1]), "int64"), (np.zeros(3, ">i4"), "int32"), (np.zeros(3, "V4"), "V4"),
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
        (np.ma.masked_array([1, 2], [0, 1]), "masked array", ".compressed()"),
        (np.array(["a"], np.dtypes.StringDType()), "StringDType", "'U16'"),
        (collections.namedtuple("Point", "x y")(1, 2), "Point", "[event]"),
    ],
)
def test_what_is_no_events_has_no_schema(bad, got, do):
    text = refusal(Schema.infer, bad, WHERE)

    assert got in text
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
        try:
            np.copyto(out, given_, casting="safe")
        except OverflowError:
            # From NumPy 2.5 on a time that a finer unit can't hold is an error; before, it wraps in silence.
            assert np.dtype(theirs).kind in "mM"


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
