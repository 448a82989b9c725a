"""Partitions: a hash that never changes, and copies that land where a slow model puts them.

The model of the hash is what the head of `_scatter.h` says, in Python's integers; beside it stand
vectors as numbers, so that model and loops can't change together.
"""

import enum
import math
import os
import struct
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from helpers_native import COMPLEX, FLOATS, INTEGERS, LEVELS, UNSIGNED, unaligned
from hypothesis import given
from hypothesis import strategies as st
from strategies import dtypes, events, scalar_dtypes

from bench import rivals
from fastflow._scatter import EventHash, count_ids, hash_events, hash_objects, partition_ids, scatter
from fastflow.schema import Batch

SEED, FOLD = 0x243F6A8885A308D3, 0x9E3779B97F4A7C15
PARTITIONS = [1, 2, 3, 7, 8, 255, 256, 1000]
SIZES = [1, 2, 3, 4, 8, 12, 16, 24]
COUNTS = [0, 1, 7, 8, 247, 248, 249, 511, 512, 513, 3001]

levels = pytest.mark.parametrize("level", LEVELS)


# -- the model --


def splitmix64(state):
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def fold(hash_, word):
    return splitmix64((hash_ * FOLD + word) % 2**64)


def hash_of_double(value):
    if math.isnan(value):
        return splitmix64(0x7FF8000000000000)
    return splitmix64(int.from_bytes(struct.pack("<d", value + 0.0), "little"))


def model(value):
    """Return the hash of a Python value, or of the items of a tuple in their order."""
    if isinstance(value, tuple):
        flat = list(leaves(value))
        found = model(flat[0]) if flat else SEED
        for other in flat[1:]:
            found = fold(found, model(other))
        return found
    if value is None:
        return splitmix64(SEED)
    if isinstance(value, int):
        return splitmix64(value % 2**64)
    if isinstance(value, float):
        return hash_of_double(value)
    if isinstance(value, complex):
        return fold(hash_of_double(value.real), hash_of_double(value.imag))
    data = value.encode("utf-32-le", "surrogatepass") if isinstance(value, str) else value
    width = 4 if isinstance(value, str) else 1
    while data.endswith(bytes(width)) and data:
        data = data[:-width]
    found = SEED
    for i in range(0, len(data), 8):
        found = fold(found, int.from_bytes(data[i : i + 8], "little"))
    return found


def leaves(value):
    for part in value:
        if isinstance(part, tuple):
            yield from leaves(part)
        else:
            yield part


def partition_of(hash_, partitions):
    return (hash_ >> 32) * partitions >> 32


def one(value, dtype=None):
    return int(hash_events(np.array([value], dtype))[0])


def from_memory(dtype, n, seed=0):
    return np.frombuffer(np.random.default_rng([seed, n]).bytes(n * np.dtype(dtype).itemsize), dtype)


# -- the hash --


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (0, "int64", 0xE220A8397B1DCDAF),                   # published outputs of splitmix64
        (1, "int64", 0x910A2DEC89025CC1),
        (1234567, "int64", 6457827717110365317),
        (-1, "int64", 0xE4D971771B652C20),
        (1.5, "float64", 0xD6DAB18E1392608A),
        (math.nan, "float64", 0xC72971D82E15BB46),
        (1 + 2j, "complex128", 0x37B64E2575A6BB9C),
        ("", "U1", 0x243F6A8885A308D3),
        ("a", "U1", 0x4251DDB8BA2056EF),
        ("abc", "U3", 0x11123CF2976E7DD1),
        ("héllo", "U5", 0xE327214F97088831),
        (b"a", "S1", 0x4251DDB8BA2056EF),
        (b"0123456789", "S10", 0x36608AFDE62468F3),
        (b"ab\0", "V3", 0x23684219CB1DB653),
        ((5, "a"), [("x", "i4"), ("y", "U7")], 0x85226CD970E2DE5C),
    ],
)  # fmt: skip
def test_hash_is_what_it_always_was(value, dtype, expected):
    assert one(value, dtype) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 0x63033B0CA389C35A),
        (None, 0x2CB0F69F4ABEA221),
        ((), 0x243F6A8885A308D3),
        ((1, 2), 0x9D2CF510047F29E6),
        (2**70, 0xA46FDB9FE675E349),
    ],
)
def test_hash_of_an_object_is_what_it_always_was(value, expected):
    assert hash_objects([value])[0] == expected


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", *(f">{c}{n}" for c in "iu" for n in (2, 4, 8))])
@levels
def test_integers_are_hashed_by_value(dtype, level):
    values = from_memory(dtype, 1100) if dtype != "bool" else np.arange(1100) % 3 == 0

    found = hash_events(values, level)

    assert found.tolist() == [model(int(value)) for value in values]


@pytest.mark.parametrize("dtype", [*FLOATS[:3], ">f8", ">f4"])
@levels
def test_floats_are_hashed_by_value(dtype, level):
    values = from_memory(dtype, 700)
    values = np.concatenate([values, np.array([0.0, -0.0, np.nan, -np.nan, np.inf, 2.0**-24], dtype)])

    found = hash_events(values, level)

    assert found.tolist() == [model(float(value)) for value in values]


def test_long_doubles_are_hashed_by_value():
    exact = from_memory("float64", 300)
    assert (hash_events(exact.astype("longdouble")) == hash_events(exact)).all()

    third = np.longdouble(1) / 3
    if float(third) != third:
        high = float(third)
        low = struct.unpack("<Q", struct.pack("<d", float(third - np.longdouble(high))))[0]
        assert one(third) == splitmix64((hash_of_double(high) * FOLD + low) % 2**64)


@pytest.mark.parametrize("dtype", [*COMPLEX, ">c16"])
def test_complex_numbers_are_hashed_by_their_parts(dtype):
    values = np.array([1 + 2j, -0.0 - 1j, complex(math.nan, 3)], dtype)

    assert hash_events(values).tolist() == [model(complex(value)) for value in values]


@pytest.mark.parametrize("dtype", ["M8[s]", "M8[ns]", "m8[D]", ">M8[us]"])
def test_times_are_hashed_by_their_count_of_units(dtype):
    values = np.array([0, 5, -7, -(2**63)], "int64").astype(dtype)

    assert (hash_events(values) == hash_events(values.astype("int64"))).all()


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=12), min_size=1, max_size=5), st.integers(0, 5))
def test_text_is_hashed_without_its_width(texts, more):
    width = max(1, *map(len, texts)) + more
    expected = [model(text) for text in texts]

    assert hash_objects(texts).tolist() == expected
    assert hash_events(np.array(texts, f"U{width}")).tolist() == expected
    assert hash_events(np.array(texts, f">U{width}")).tolist() == expected


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.integers(0, 9))
def test_bytes_are_hashed_without_their_width(values, more):
    width = max(1, *map(len, values)) + more
    expected = [model(value) for value in values]

    assert hash_objects(values).tolist() == expected
    assert hash_events(np.array(values, f"S{width}")).tolist() == expected


def test_raw_bytes_are_hashed_with_the_zeros_at_their_end():
    short, long = (hash_events(np.zeros(1, width))[0] for width in ("V8", "V9"))

    assert short == fold(SEED, 0)
    assert long == fold(short.item(), 0)


@given(
    dtypes().filter(lambda dtype: dtype.kind != "O").flatmap(lambda dtype: events(dtype, 5)),
    st.sampled_from(LEVELS),
)
def test_hash_of_an_event_is_that_of_its_values_in_order(batch, level):
    arrays = [batch[name] for name in batch.columns] if isinstance(batch, Batch) else [batch]
    expected = []
    for i in range(5):
        values = [part for array in arrays for part in array[i : i + 1].reshape(-1)]
        hashes = [int(hash_events(np.array([value]))[0]) for value in values]
        total = hashes[0]
        for other in hashes[1:]:
            total = fold(total, other)
        expected.append(total)

    assert hash_events(batch, level).tolist() == expected


@given(scalar_dtypes().flatmap(lambda dtype: events(dtype, 4)))
def test_scalars_of_numpy_are_hashed_as_in_an_array(array):
    assert hash_objects(list(array)).tolist() == hash_events(array).tolist()


def test_structured_arrays_batches_and_tuples_agree():
    rows = [(5, "a", 1.5), (6, "bc", -0.0)]
    table = np.array(rows, np.dtype([("x", "u1"), ("y", "U4"), ("z", "f4")], align=True))
    swapped = table.astype([("x", "u1"), ("y", ">U9"), ("z", ">f8")])
    batch = Batch(x=table["x"], y=table["y"], z=table["z"])

    expected = [model(row) for row in rows]

    for given_ in (table, swapped, batch, rows, list(table), table[::-1][::-1]):
        assert hash_events(given_).tolist() == expected


def test_order_of_values_matters_and_so_do_equal_ones():
    found = hash_objects([(1, 2), (2, 1), (1, 1), (2, 2), (1,), (1, 1, 1)]).tolist()

    assert len(set(found)) == len(found)


def test_a_single_value_hashes_as_itself():
    assert hash_objects([5, (5,), ((5,),)]).tolist() == [model(5)] * 3
    assert one((5,), [("x", "i2")]) == model(5)


class Level(enum.IntEnum):
    LOW = 3


class Word(str):
    __slots__ = ()


class Raw(bytes):
    __slots__ = ()


Point = namedtuple("Point", "x y")


def test_objects_are_hashed_by_value():
    values = [
        0, -1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), True, Level.LOW, 1.5, -0.0, math.nan, 1.5 - 2j, "a\0", "",
        "\U0001f600", b"a\0\0", b"", None, (), (1, (2, "x")), (1, 2, "x"), (3, 1j), Point(1, 2), Word("ab"), Raw(b"ab"),
    ]  # fmt: skip

    assert hash_objects(values).tolist() == [model(value) for value in values]


def test_ints_beyond_64_bits_have_hashes_too():
    values = [2**64, -(2**63) - 1, 2**200, -(2**200), 2**64 + 1]

    found = hash_objects(values).tolist()

    assert len(set(found)) == len(values)
    assert found[0] == fold(fold(SEED, 0), 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1], "hash of event 2: got list, expected int, bool, float, complex, str, bytes, None, a NumPy scalar or a "
              "tuple of these; give hash=, a function of the batch"),
        ((1, {}), r"hash of event 2: got tuple with dict inside, expected .*; give hash="),
        (object(), "hash of event 2: got object, expected "),
    ],
)  # fmt: skip
def test_object_without_a_stable_hash_is_refused(value, text):
    with pytest.raises(TypeError, match=text):
        hash_objects([1, 2, value])


def test_tuple_without_an_end_is_refused():
    nested = ()
    for _ in range(100_000):
        nested = (nested,)

    with pytest.raises(RecursionError):
        hash_objects([nested])


def test_array_of_objects_is_refused():
    with pytest.raises(TypeError, match=r"got an array of objects, expected a list of them; say \.tolist\(\)"):
        hash_events(np.array([1], object))


def test_hash_of_a_nested_dtype_is_refused():
    with pytest.raises(TypeError, match=r"column 0: got .*, expected numbers, times, text or bytes"):
        EventHash([np.dtype([("x", "i4")])], [()])


def test_hash_is_the_same_in_another_process():
    code = "from fastflow._scatter import hash_objects; print(hash_objects(['a', b'b', 5, (1, 'c')]).tolist())"

    printed = [
        subprocess.run(
            [sys.executable, "-P", "-c", code], env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True,
            text=True, check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]  # fmt: skip

    assert printed == [f"{[model(value) for value in ('a', b'b', 5, (1, 'c'))]}\n"] * 2


# -- partitions --


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("n", COUNTS)
@levels
def test_partition_is_the_upper_half_of_the_hash_times_n(partitions, n, level):
    values = unaligned(from_memory("int64", n))

    ids, counts = partition_ids(values, partitions, level)

    expected = [partition_of(model(value), partitions) for value in values.tolist()]
    assert ids.dtype == (np.uint8 if partitions <= 255 else np.int32)
    assert ids.tolist() == expected
    assert counts.tolist() == np.bincount(expected, minlength=partitions + 1).tolist()


@given(dtypes().flatmap(lambda dtype: events(dtype, 6)), st.sampled_from([1, 4, 255, 300]))
def test_partitions_of_any_events_follow_from_their_hashes(batch, partitions):
    if isinstance(batch, list):
        batch = [value if isinstance(value, int | str | float | None) else 7 for value in batch]

    ids, counts = partition_ids(batch, partitions)

    assert ids.tolist() == [partition_of(value, partitions) for value in hash_events(batch).tolist()]
    assert counts.sum() == 6
    assert counts[partitions] == 0


@pytest.mark.parametrize("partitions", [2, 3, 4, 10, 64, 255, 1000])
@pytest.mark.parametrize(
    "name", ["sequential", "even", "2**8", "2**16", "2**32", "2**40", "random", "small floats", "text", "pairs"]
)
def test_partitions_are_even(name, partitions):
    n = 60_000
    count = np.arange(n)
    values = {
        "sequential": count,
        "even": 2 * count,
        "2**8": count << 8,
        "2**16": count << 16,
        "2**32": count << 32,
        "2**40": count << 40,
        "random": np.random.default_rng(1).integers(-(2**63), 2**63, n),
        "small floats": count / 8,
        "text": count.astype("U8"),
        "pairs": np.stack([count // 250, count % 250], axis=1),
    }[name]

    _, counts = partition_ids(values, partitions)

    # Chi-square has a mean of its degrees of freedom and twice that as its variance; these cases never change.
    freedom, expected = partitions - 1, n / partitions
    chi_square = ((counts[:partitions] - expected) ** 2 / expected).sum()
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom) + 6


@pytest.mark.parametrize("partitions", [0, -1, 2**31])
def test_number_of_partitions_has_bounds(partitions):
    with pytest.raises(ValueError, match=rf"partitions: got {partitions}, expected 1 to 2\*\*31 - 1"):
        partition_ids(np.arange(3), partitions)


# -- ids that a function gave --


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("n", [0, 1, 511, 512, 1111])
def test_ids_given_are_counted_with_the_discarded_last(partitions, n):
    given_ = np.random.default_rng(n).integers(-1, partitions, n)

    ids, counts = count_ids(given_, partitions)

    expected = np.where(given_ < 0, partitions, given_)
    assert ids.tolist() == expected.tolist()
    assert counts.tolist() == np.bincount(expected, minlength=partitions + 1).tolist()


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("position", [0, 3, 511, 512, 999])
def test_first_bad_id_is_named_with_its_position(partitions, position):
    for bad in (-2, partitions, -(2**63), 2**63 - 1, 2**32):
        given_ = np.zeros(1000, "int64")
        given_[position], given_[-1] = bad, -5 if position < 999 else bad

        text = f"partition of event {position}: got {bad}, expected 0 to {partitions - 1}, or -1 to discard it"
        with pytest.raises(ValueError, match=text):
            count_ids(given_, partitions)


# -- scatter --


def guarded(n, dtype):
    """Room for n events with 64 bytes before and behind, all 0xA5; the memory and the part for events."""
    memory = np.full(n * np.dtype(dtype).itemsize + 128, 0xA5, "uint8")
    return memory, memory[64:-64].view(dtype)


@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("size", SIZES)
def test_every_event_lands_in_its_partition_in_order_and_nowhere_else(partitions, size):
    for n in COUNTS:
        source = unaligned(from_memory(f"V{size}", n))
        ids, counts = count_ids(np.random.default_rng(n).integers(-1, partitions, n), partitions)
        rooms = [guarded(count, f"V{size}") for count in counts[:partitions].tolist()]

        scatter(source, ids, partitions, [events_ for _, events_ in rooms])

        for p, (memory, found) in enumerate(rooms):
            assert found.tobytes() == source[ids == p].tobytes()
            assert (memory[:64] == 0xA5).all() and (memory[-64:] == 0xA5).all()


@given(
    st.integers(1, 300).flatmap(lambda p: st.tuples(st.just(p), st.lists(st.integers(-1, p - 1), max_size=40))),
    st.sampled_from(["u1", "i2", "f4", "i8", "c16", "U5", "S3", ("f8", (3,))]),
    st.integers(1, 60),
)
def test_scatter_agrees_with_lists(case, dtype, times):
    partitions, some = case
    given_ = some * times
    source = np.zeros(len(given_), dtype)
    source.T[...] = np.arange(len(given_)) % 200
    expected = [[] for _ in range(partitions)]
    for event, p in zip(source.tolist(), given_, strict=True):
        if p >= 0:
            expected[p].append(event)

    ids, _ = count_ids(np.array(given_, "int64"), partitions)

    assert [part.tolist() for part in scatter(source, ids, partitions)] == expected


@pytest.mark.parametrize("dtype", UNSIGNED)
@pytest.mark.parametrize("partitions", [1, 4, 7, 8, 255])
def test_one_partition_may_get_everything_or_nothing(dtype, partitions):
    source = from_memory(dtype, 1000)

    for only in (0, partitions - 1):
        ids, _ = count_ids(np.full(1000, only), partitions)
        parts = scatter(source, ids, partitions)
        assert (parts[only] == source).all()
        assert [len(part) for part in parts] == [1000 * (p == only) for p in range(partitions)]

    ids, counts = count_ids(np.full(1000, -1), partitions)
    assert counts[partitions] == 1000
    assert [len(part) for part in scatter(source, ids, partitions)] == [0] * partitions


def test_scatter_refuses_ids_that_are_not_one_an_event():
    with pytest.raises(ValueError, match="ids: got 2 from 0 to 0, expected 3, one an event, from 0 to 4"):
        scatter(np.arange(3), np.zeros(2, "uint8"), 4)
    with pytest.raises(ValueError, match="ids: got 3 from 9 to 9, expected 3, one an event, from 0 to 4"):
        scatter(np.arange(3), np.full(3, 9, "uint8"), 4)


@pytest.mark.parametrize("partitions", [1, 4, 255])
def test_rival_in_c_agrees(partitions):
    source = from_memory("int64", 5000)
    out = np.empty_like(source)

    counts = rivals.partition(source, out, 5000, partitions)

    ids, expected = partition_ids(source, partitions)
    assert counts == expected[:partitions].tolist()
    assert (np.concatenate(scatter(source, ids, partitions)) == out).all()
