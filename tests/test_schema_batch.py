"""Batch and Row: made, read, written, converted, compared, shown and joined."""

import copy
import gc
import pickle
import re
import types

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers_schema import TICK, WHERE, refusal, same, ticks
from hypothesis import given
from strategies import events, structured_dtypes

from fastflow.errors import SchemaError
from fastflow.schema import Batch, Row, Schema, concat

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
        match="batch: unknown column: got 'prcie', expected one of price, qty; did you mean",
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
    unknown = r"row: unknown column: got 'qy', expected one of price, qty; did you mean 'qty'\?"
    with pytest.raises(SchemaError, match=unknown):
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
    with pytest.raises(SchemaError, match="unknown column: got 'new', expected one of price, qty"):
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
