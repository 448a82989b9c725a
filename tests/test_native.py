"""Native stages: exact where they promise it, and the same bits however a stream is cut.

The references are slow and obviously right: Python's integers, fractions and `math.fsum`.  Each
test of a kernel runs at every level of loops that this machine has (plain, AVX2, AVX-512), and what
they leave is compared bit by bit.
"""

import itertools
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from helpers_native import (
    COMPLEX,
    FLOATS,
    INF,
    INTEGERS,
    LEVELS,
    NAN,
    NUMBERS,
    UNSIGNED,
    cuts,
    each_level,
    readonly,
    unaligned,
)
from hypothesis import given
from hypothesis import strategies as st

from fastflow import _native
from fastflow._native import (
    CountKernel,
    FoldKernel,
    Kernel,
    MaxKernel,
    MinKernel,
    RangeKernel,
    SumKernel,
)
from fastflow.errors import SchemaError

level = pytest.fixture(each_level, params=LEVELS)

TIMES = ["datetime64[us]", "timedelta64[D]"]


def events_of(dtype, n, seed=0):
    """Events over the whole range of a dtype, without NaN and infinities."""
    dtype, rng = np.dtype(dtype), np.random.default_rng([seed, n])
    if dtype.kind == "b":
        return rng.random(n) < 0.5
    if dtype.kind in "iu":
        return np.frombuffer(rng.bytes(n * dtype.itemsize), dtype)
    if dtype.kind in "mM":
        return rng.integers(-(2**62), 2**62, n).view(dtype)
    floats = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 3, n)
    if dtype.kind == "c":
        return (floats + 1j * floats[::-1]).astype(dtype)
    return floats.astype(dtype)


def exact(number):
    return Fraction(*number.as_integer_ratio())


def bits(value):
    """What tells any two results apart, 0.0 and -0.0 and kinds of scalars too."""
    if isinstance(value, complex):
        return "complex", bits(value.real), bits(value.imag)
    if isinstance(value, float) and type(value) is float:
        return "float", struct.pack("d", value)
    return type(value).__name__, repr(value)


def fold(kernel, events, sizes=(None,)):
    """Feed a kernel in batches of these sizes, in turn; None: all that is left."""
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(events):
            return kernel.result()
        end = len(events) if size is None else at + size
        kernel.consume(events[at:end])
        at = end
    raise AssertionError("cycle ended")


# -- Sum --


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 33, 1024, 70_001])
def test_integer_sum_is_exact(dtype, n, level):
    events = events_of(dtype, n)

    low, high = (0, 2**64) if dtype in UNSIGNED else (-(2**63), 2**63)
    total = sum(events.tolist())
    kernel = SumKernel(dtype)

    if low <= total < high:
        result = fold(kernel, events)
        assert result == total and type(result) is int
    else:
        with pytest.raises(OverflowError, match=rf"got {total}, expected {low} to {high - 1}"):
            fold(kernel, events)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=200), cuts)
def test_int64_sum_passes_any_total_on_its_way(values, sizes):
    # The negated values bring the total back, so what is left is the last one.
    back = [-value for value in values if value != -(2**63)]
    there = [-value for value in back]
    events = np.array(there + back + values[-1:], "int64")
    results = set()
    for level in LEVELS:
        before = _native.use_level(level)
        results.add(fold(SumKernel("int64"), events, sizes))
        _native.use_level(before)

    assert results == {values[-1]}


@pytest.mark.parametrize(
    "extreme", [2**63 - 1, -(2**63), -1, 2**48 - 1, -(2**48), 2**32, -(2**32) - 1]
)
def test_int64_sum_of_one_extreme_many_times(extreme, level):
    n = 200_000
    kernel = SumKernel("int64")
    kernel.consume(np.full(n, extreme, "int64"))

    if -(2**63) <= n * extreme < 2**63:
        assert kernel.result() == n * extreme
    else:
        with pytest.raises(OverflowError, match=str(n * extreme)):
            kernel.result()

    for _ in range(n // 1000):
        kernel.consume(np.full(1000, -(extreme + 1), "int64"))
    assert kernel.result() == -n


def test_uint64_sum_uses_all_64_bits(level):
    kernel = SumKernel("uint64")
    kernel.consume(np.array([2**64 - 2], "uint64"))
    kernel.consume(np.array([1], "uint64"))
    assert kernel.result() == 2**64 - 1

    kernel.consume(np.array([1], "uint64"))
    with pytest.raises(OverflowError, match="sum of uint64 events: got 18446744073709551616, exp"):
        kernel.result()


def test_uint64_sum_of_the_greatest_many_times(level):
    kernel = SumKernel("uint64")
    kernel.consume(np.full(131_073, 2**64 - 1, "uint64"))

    with pytest.raises(OverflowError, match=str(131_073 * (2**64 - 1))):
        kernel.result()


def test_bool_sum_counts_any_byte_but_zero_as_one(level):
    events = np.array([0, 1, 2, 255] * 100, "uint8").view("bool")

    assert fold(SumKernel("bool"), events) == 300


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_sum_is_compensated(dtype, level):
    events = events_of(dtype, 10_000)
    want = sum(map(exact, events.tolist() if dtype != "longdouble" else events), Fraction(0))

    result = fold(SumKernel(dtype), events, [1000])

    eps = Fraction(float(np.finfo("longdouble" if dtype == "longdouble" else "float64").eps))
    assert abs(exact(result) - want) <= abs(want) * eps


@given(
    st.lists(st.floats(-1e300, 1e300), max_size=300),
    cuts,
)
def test_float64_sum_is_within_a_rounding_of_fsum(values, sizes):
    values = [value / 1e3 for value in values]
    events = np.array(values, "float64")
    magnitude = sum(map(abs, map(Fraction, values)), Fraction(0))

    result = Fraction(fold(SumKernel("float64"), events, sizes))

    want = Fraction(math.fsum(values))
    assert abs(result - want) <= abs(want) * Fraction(2) ** -52 + magnitude * Fraction(2) ** -92


def test_float_sum_keeps_what_plain_addition_drops(level):
    events = np.array([1e16, *[1.0] * 1000, -1e16], "float64")

    assert fold(SumKernel("float64"), events) == 1000.0


def test_float32_events_are_summed_in_double_precision(level):
    events = np.full(100_000, np.float32(0.1))

    assert fold(SumKernel("float32"), events) == 100_000 * float(np.float32(0.1))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize(
    ("specials", "want"),
    [
        ([INF], INF),
        ([-INF], -INF),
        ([INF, INF], INF),
        ([INF, -INF], NAN),
        ([NAN], NAN),
        ([NAN, INF], NAN),
    ],
)
def test_infinities_and_nan_in_a_sum_are_as_in_ieee(dtype, specials, want, level):
    for place in [0, 5, 40]:
        events = events_of(dtype, 64)
        events[place : place + len(specials)] = specials

        result = float(fold(SumKernel(dtype), events, [7]))

        assert result == want or (math.isnan(want) and math.isnan(result))


def test_finite_lanes_do_not_turn_a_total_within_range_into_infinity(level):
    big = 1.5e308
    events = np.array([big, big, -big, -big, 1.0], "float64")

    assert fold(SumKernel("float64"), events) == 1.0
    assert fold(SumKernel("float64"), np.array([big, big])) == INF


def test_subnormals_are_summed_exactly(level):
    tiny = 5e-324
    events = np.array([tiny] * 37 + [-0.0] * 5)

    assert fold(SumKernel("float64"), events) == 37 * tiny
    halves = np.array([1, 0x8001, 0x03FF, 0x0400, 0x8000], "uint16").view("float16")
    assert fold(SumKernel("float16"), halves) == sum(map(float, halves))


def test_every_float16_is_converted_exactly(level):
    every = np.arange(65_536, dtype="uint32").astype("uint16").view("float16")
    for half in every[np.isfinite(every)][::7].reshape(-1, 1):
        assert fold(SumKernel("float16"), half) == float(half[0])


@pytest.mark.parametrize("dtype", COMPLEX)
def test_complex_sum_adds_its_parts_apart(dtype, level):
    events = events_of(dtype, 5_001)

    result = fold(SumKernel(dtype), events, [3, 100])

    real = np.longdouble if dtype == "clongdouble" else float
    parts = np.dtype({"complex64": "f4", "complex128": "f8", "clongdouble": "g"}[dtype])
    tolerance = 4 * np.finfo("longdouble" if dtype == "clongdouble" else "float64").eps
    for got, part in [(result.real, events.real), (result.imag, events.imag)]:
        want = sum(map(exact, part.astype(parts)), Fraction(0))
        assert isinstance(got, real)
        assert abs(exact(got) - want) <= abs(want) * Fraction(float(tolerance))
    assert type(result) is (np.clongdouble if dtype == "clongdouble" else complex)


def test_infinity_in_one_part_of_a_complex_sum_leaves_the_other(level):
    result = fold(SumKernel("complex128"), np.array([1 + 2j, complex(INF, 1), 3 + 4j]))

    assert result == complex(INF, 7)


# -- any cut, any level, any address --


def kernels_of(dtype):
    makers = [MinKernel, MaxKernel] if dtype in TIMES else [SumKernel, MinKernel, MaxKernel]
    return [maker(dtype) for maker in makers]


@pytest.mark.parametrize("dtype", [*NUMBERS, *TIMES])
@given(sizes=cuts, n=st.integers(1, 400), seed=st.integers(0, 99), offset=st.integers(0, 16))
def test_neither_cuts_nor_level_nor_address_change_a_bit(dtype, sizes, n, seed, offset):
    events = events_of(dtype, n, seed)
    if events.dtype.kind in "iu":
        events = events >> (events.dtype.itemsize + 2)     # so that the sum is no error
    results = []
    for level in LEVELS:
        before = _native.use_level(level)
        whole = [fold(kernel, events) for kernel in kernels_of(dtype)]
        parts = [fold(kernel, unaligned(events, offset), sizes) for kernel in kernels_of(dtype)]
        _native.use_level(before)
        results += [whole, parts]

    assert len({repr([bits(value) for value in result]) for result in results}) == 1


@given(
    st.lists(
        st.one_of(st.floats(), st.sampled_from([0.0, -0.0, INF, -INF, NAN, 5e-324])),
        min_size=1,
        max_size=100,
    ),
    cuts,
    st.sampled_from(["float16", "float32", "float64"]),
)
def test_special_floats_give_the_same_bits_however_cut(values, sizes, dtype):
    with np.errstate(all="ignore"):
        events = np.array(values).astype(dtype)
    results = []
    for level in LEVELS:
        before = _native.use_level(level)
        for cut in ([None], sizes):
            found = [fold(kernel, events, cut) for kernel in kernels_of(dtype)]
            # Which NaN it is, only its sign tells, and IEEE leaves that open.
            results.append(["nan" if math.isnan(value) else bits(value) for value in found])
        _native.use_level(before)

    assert all(result == results[0] for result in results)


# -- Min, Max, Count --


@pytest.mark.parametrize("dtype", [*NUMBERS, *TIMES])
@pytest.mark.parametrize("n", [1, 16, 33, 1025])
def test_min_and_max_are_those_of_numpy(dtype, n, level):
    events = events_of(dtype, n)

    least, greatest = fold(MinKernel(dtype), events, [50]), fold(MaxKernel(dtype), events, [50])

    assert least == np.minimum.reduce(events)
    assert greatest == np.maximum.reduce(events)
    kind = np.dtype(dtype).kind
    python = {"b": bool, "i": int, "u": int, "f": float, "c": complex}
    same = dtype in TIMES or "long" in dtype
    assert type(least) is type(greatest) is (type(events[0]) if same else python[kind])
    if dtype in TIMES:
        assert least.dtype == greatest.dtype == events.dtype


@pytest.mark.parametrize("dtype", INTEGERS)
def test_min_and_max_reach_the_limits_of_the_dtype(dtype, level):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    events = np.full(100, high, dtype)
    assert fold(MinKernel(dtype), events) == fold(MaxKernel(dtype), events) == high
    events = np.full(100, low, dtype)
    assert fold(MinKernel(dtype), events) == fold(MaxKernel(dtype), events) == low


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("maker", [MinKernel, MaxKernel])
def test_min_and_max_of_nothing_are_none_and_sum_of_nothing_is_0(dtype, maker):
    kernel, total = maker(dtype), SumKernel(dtype)
    assert kernel.result() is None
    assert total.result() == 0

    kernel.consume(np.empty(0, dtype))
    total.consume(np.empty(0, dtype))

    assert kernel.result() is None
    assert total.result() == 0


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX])
@pytest.mark.parametrize("place", [0, 20, 99])
def test_nan_wins_in_min_and_max(dtype, place, level):
    events = events_of(dtype, 100)
    events[place] = NAN

    assert np.isnan(fold(MinKernel(dtype), events, [9]))
    assert np.isnan(fold(MaxKernel(dtype), events, [9]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinities_are_the_extremes(dtype, level):
    events = events_of(dtype, 100)
    events[50:52] = INF, -INF

    assert fold(MinKernel(dtype), events) == -INF
    assert fold(MaxKernel(dtype), events) == INF
    assert fold(MinKernel(dtype), events[50:51]) == INF


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("values", [[0.0, -0.0], [-0.0, 0.0]])
def test_minus_zero_is_less_than_zero(dtype, values, level):
    events = np.array(values, dtype)

    assert np.signbit(fold(MinKernel(dtype), events, [1]))
    assert not np.signbit(fold(MaxKernel(dtype), events, [1]))


def test_complex_extremes_compare_real_parts_first(level):
    events = np.array([2 + 1j, 1 + 9j, 1 + 8j, 2 + 2j])

    assert fold(MinKernel("complex128"), events) == 1 + 8j
    assert fold(MaxKernel("complex128"), events) == 2 + 2j


@pytest.mark.parametrize("dtype", TIMES)
def test_not_a_time_wins(dtype, level):
    events = np.array([3, 2**63 - 1, -(2**63) + 1, 4], "int64").view(dtype)
    assert fold(MinKernel(dtype), events) == events[2]
    assert fold(MaxKernel(dtype), events) == events[1]

    events[0] = "NaT"
    assert np.isnat(fold(MinKernel(dtype), events, [1]))
    assert np.isnat(fold(MaxKernel(dtype), events, [1]))


def test_count_never_looks_at_its_events():
    kernel = CountKernel()
    assert kernel.result() == 0 and kernel.dtype is None

    kernel.consume(np.zeros((5, 2)))
    kernel.consume(["a", None])
    kernel.consume([])

    assert kernel.result() == 7


# -- state --


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("maker", [SumKernel, MinKernel, MaxKernel])
def test_restored_kernel_goes_on_as_if_nothing_had_happened(dtype, maker, level):
    events = events_of(dtype, 77)
    if dtype in INTEGERS:
        events = events >> (events.dtype.itemsize + 2)     # so that the sum is no error
    kernel, other = maker(dtype), maker(dtype)
    kernel.consume(events[:33])
    snapshot = kernel.snapshot()
    kernel.consume(events[33:])

    other.consume(events[:5])
    other.restore(snapshot)
    other.consume(events[33:])

    assert bits(other.result()) == bits(kernel.result())
    assert len(snapshot) == 40 + kernel.state_bytes


@pytest.mark.parametrize("dtype", ["int64", "float32", "longdouble"])
def test_restored_range_writes_the_same_again(dtype):
    source, first, again = RangeKernel(0, 50, 3, dtype), np.zeros(9, dtype), np.zeros(9, dtype)
    source.fill(np.zeros(5, dtype))
    snapshot = source.snapshot()
    assert source.fill(first) == 9

    source.restore(snapshot)

    assert source.remaining() == 12
    assert source.fill(again) == 9
    assert again.tolist() == first.tolist() == list(range(15, 42, 3))


def test_count_is_restored():
    kernel, other = CountKernel(), CountKernel()
    kernel.consume(range(9))

    other.restore(kernel.snapshot())

    assert other.result() == 9


@pytest.mark.parametrize(
    "snapshot",
    [b"", b"nonsense", SumKernel("int32").snapshot(), MaxKernel("int64").snapshot(),
     SumKernel("int64").snapshot()[:-1], SumKernel("int64").snapshot() + b"\0"],
    ids=["empty", "nonsense", "dtype", "class", "short", "long"],
)
def test_restore_refuses_what_another_kernel_left(snapshot):
    kernel = SumKernel("int64")
    kernel.consume(np.arange(5))

    with pytest.raises(ValueError, match="expected 56 that begin with b'SumKernel <i8'"):
        kernel.restore(snapshot)

    assert kernel.result() == 10


@pytest.mark.parametrize("dtype", ["int64", "float64", "longdouble"])
def test_restore_refuses_a_damaged_range(dtype):
    source = RangeKernel(0, 10, 1, dtype)
    state = bytearray(source.snapshot())
    left = 40 + {"int64": 16, "float64": 40, "longdouble": 4 * np.longdouble().itemsize + 8}[dtype]
    assert struct.unpack_from("q", state, left) == (10,)
    struct.pack_into("q", state, left, -1)

    with pytest.raises(ValueError, match="it is damaged"):
        source.restore(bytes(state))

    assert source.remaining() == 10


# -- faces --


@pytest.mark.parametrize("kernel", [SumKernel("int64"), RangeKernel(0, 9)], ids=["sum", "range"])
@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        ([1, 2], SchemaError, "got list, expected a NumPy array of int64"),
        (np.zeros(3), SchemaError, r"dtype float64, expected int64; cast with .astype\('<i8'\)"),
        (np.zeros((2, 2), "i8"), ValueError, r"got shape \(2, 2\)"),
        (np.zeros(6, "i8")[::2], ValueError, r"strides \(16,\), expected one dimension, contig"),
    ],
)
def test_kernels_refuse_what_is_not_theirs(kernel, array, error, text):
    with pytest.raises(error, match=text):
        kernel.consume(array) if isinstance(kernel, FoldKernel) else kernel.fill(array)


def test_range_refuses_a_read_only_array():
    with pytest.raises(ValueError, match="got a read-only array"):
        RangeKernel(0, 9).fill(readonly("i8"))


@pytest.mark.parametrize(
    ("maker", "dtype", "text"),
    [
        (SumKernel, "m8[s]", "dtype of Sum: got timedelta64"),
        (SumKernel, "O", "dtype of Sum: got object, expected a bool, integer, float or complex"),
        (MinKernel, "S3", "datetime64 or timedelta64; cast the events, or take one column"),
        (MaxKernel, "i4,i4", "dtype of Min and Max"),
        (SumKernel, ">f8", "got '>f8' in foreign byte order, expected native; cast with"),
    ],
)
def test_kernels_refuse_a_dtype_that_is_no_number(maker, dtype, text):
    with pytest.raises(SchemaError, match=text):
        maker(dtype)


def test_bases_cannot_consume():
    with pytest.raises(TypeError, match="FoldKernel is only a base; make a SumKernel"):
        FoldKernel().consume([1])
    assert repr(Kernel()) == "<Kernel of any events>"


def test_repr_names_the_dtype():
    assert repr(SumKernel("f4")) == "<SumKernel of float32>"
    assert repr(CountKernel()) == "<CountKernel of any events>"


def test_level_beyond_the_machine_is_refused():
    with pytest.raises(ValueError, match="level: got 9, expected 0 to"):
        _native.use_level(9)
    with pytest.raises(ValueError, match="level: got -1"):
        _native.use_level(-1)
