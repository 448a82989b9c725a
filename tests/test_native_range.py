"""Range and fill_range: every number exact, at every level of loops that this machine has."""

import itertools
import struct

import numpy as np
import pytest
from helpers_native import INF, LEVELS, NAN, NUMBERS, cuts, each_level, readonly, unaligned
from hypothesis import given
from hypothesis import strategies as st

from fastflow import _native
from fastflow._native import RangeKernel, fill_range
from fastflow.errors import SchemaError

level = pytest.fixture(each_level, params=LEVELS)

COUNT_MAX = 2**63 - 1


# -- Range --


@pytest.mark.parametrize("dtype", [name for name in NUMBERS if name != "bool"])
@pytest.mark.parametrize("sizes", [[1], [16], [5, 1, 33], [1000]])
def test_range_counts_in_every_dtype(dtype, sizes, level):
    source = RangeKernel(3, 120, 2, dtype)
    got = []
    assert source.remaining() == 59
    for size in itertools.cycle(sizes):
        out = unaligned(np.zeros(size, dtype))
        n = source.fill(out)
        got += out[:n].tolist()
        if n < size:
            break

    assert got == list(range(3, 120, 2))
    assert source.remaining() == 0
    assert source.fill(np.empty(3, dtype)) == 0


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63),
    st.integers(-(2**63), 2**63 - 1).filter(bool),
)
def test_integer_range_is_pythons(start, stop, step):
    want = range(start, stop, step)
    if want and (want[-1] - want[0]) // step >= COUNT_MAX:
        with pytest.raises(OverflowError, match="what a stream can count"):
            RangeKernel(start, stop, step)
        return
    source = RangeKernel(start, stop, step)
    out = np.empty(100, "int64")
    n = source.fill(out)

    assert out[:n].tolist() == list(want[:100])
    assert source.remaining() == max(0, (want[-1] - want[0]) // step + 1 - n if want else 0)


@pytest.mark.parametrize(
    ("dtype", "start", "stop", "step", "want"),
    [
        ("bool", 0, 2, 1, [False, True]),
        ("uint64", 2**64 - 3, 2**64, 1, [2**64 - 3, 2**64 - 2, 2**64 - 1]),
        ("uint64", 2**64 - 1, 2**63 - 2, -(2**63), [2**64 - 1, 2**63 - 1]),
        ("uint8", 255, -1, -100, [255, 155, 55]),
        ("int8", -128, 128, 255, [-128, 127]),
        ("float64", 0, 0.3, 0.1, [0.0, 0.1, 0.2]),
        ("float64", 1, 1.3, 0.1, [1.0, 1.1, 1.2]),          # numpy.arange gives 1.3 too
        ("float64", 1, -1, -0.75, [1.0, 0.25, -0.5]),
        ("float16", 0, 60_001, 60_000, [0.0, 60_000.0]),
        ("complex64", 1, 2, 0.5, [1 + 0j, 1.5 + 0j]),
    ],
)
def test_range_goes_up_to_the_limits(dtype, start, stop, step, want, level):
    source, out = RangeKernel(start, stop, step, dtype), np.empty(10, dtype)

    assert source.remaining() == len(want)
    assert source.fill(out) == len(want)
    assert out[: len(want)].tolist() == pytest.approx(want, rel=1e-15, abs=0)


@pytest.mark.parametrize(("start", "stop", "step"), [(5, 5, 1), (5, 4, 1), (4, 5, -1)])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float64", "longdouble"])
def test_empty_range(start, stop, step, dtype):
    source = RangeKernel(start, stop, step, dtype)

    assert source.remaining() == 0
    assert source.fill(np.empty(4, dtype)) == 0


def test_endless_integer_range_ends_at_the_last_value_of_its_dtype(level):
    out = np.empty(300, "int8")
    assert RangeKernel(100, None, 1, "int8").fill(out) == 28
    assert out[27] == 127
    assert RangeKernel(-100, None, -10, "int8").fill(out) == 3
    assert RangeKernel(0, None).remaining() == COUNT_MAX


@pytest.mark.parametrize("dtype", ["float64", "longdouble", "complex128"])
def test_endless_float_range_has_no_end(dtype):
    source = RangeKernel(0.5, None, 0.25, dtype)

    assert source.remaining() == COUNT_MAX
    assert source.fill(np.empty(1000, dtype)) == 1000
    assert source.remaining() == COUNT_MAX


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e3, 1e3).filter(bool),
    cuts,
    st.sampled_from(["float32", "float64"]),
)
def test_float_range_does_not_accumulate(start, step, sizes, dtype):
    want = np.array([start + i * step for i in range(sum(sizes))]).astype(dtype)
    for level in LEVELS:
        before = _native.use_level(level)
        source = RangeKernel(start, None, step, dtype)
        parts = [np.empty(size, dtype) for size in sizes]
        for part in parts:
            source.fill(part)
        _native.use_level(before)
        assert np.concatenate(parts).tobytes() == want.tobytes()


def test_float_range_of_more_values_than_a_double_can_count(level):
    source = RangeKernel(0.0, None, 1.0, "float64")
    state = bytearray(source.snapshot())
    state[-16:-8] = struct.pack("q", 2**53 - 3)             # i, before what is left
    source.restore(bytes(state))
    whole = np.empty(8)
    source.fill(whole)
    source.restore(bytes(state))
    single = np.empty((8, 1))
    for out in single:
        source.fill(out)

    assert whole.tolist() == single[:, 0].tolist() == [float(2**53 - 3 + i) for i in range(8)]


def test_every_rounding_to_float16_is_that_of_numpy(level):
    # Half-way between neighbours, and next to it, all over the range, subnormals too.
    every = np.arange(0x7C00, dtype="uint16").view("float16").astype("float64")
    middle = (every[1:] + every[:-1]) / 2
    out = np.empty(1, "float16")
    for value in np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, INF)])[::5]:
        fill_range(out, value)
        assert out[0] == value.astype("float16")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((0, 10, 0), ValueError, "step of Range: got 0, expected any but 0"),
        ((0.0, 10.0, 0.0, "f8"), ValueError, "step of Range"),
        ((0, 129, 1, "int8"), OverflowError, "values from 0 to 128, expected -128 to 127"),
        ((-1, 5, 1, "uint64"), OverflowError, "the limits of uint64; take a wider dtype"),
        ((300, None, 1, "uint8"), OverflowError, "got 1 values from 300 to 300, expected 0 to 255"),
        ((0, 3, 1, "bool"), OverflowError, "expected 0 to 1, the limits of bool"),
        ((-(2**63), 2**63), OverflowError, "got 18446744073709551616 values, expected at most"),
        ((0, 1e300, 1.0, "f8"), OverflowError, "what a stream can count"),
        ((0, 70_001, 70_000, "f2"), OverflowError, "the limits of float16"),
        ((1e300, None, 1.0, "f4"), OverflowError, "the limits of float32"),
        ((0.5, 10), TypeError, "start of Range: got 0.5, expected an integer, since the dtype"),
        ((0, 1.5), TypeError, "stop of Range: got 1.5"),
        ((0, 10, "1"), TypeError, "step of Range: got '1'"),
        (("0", 10, 1, "f8"), TypeError, "start of Range: got '0', expected a real number"),
        (("0", 10, 1, "longdouble"), TypeError, "start of Range: got '0'"),
        ((0, INF, 1.0, "f8"), ValueError, "stop of Range: got inf, expected a finite number"),
        ((NAN, 1, 1, "f8"), ValueError, "start of Range: got nan"),
        ((NAN, 1, 1, "longdouble"), ValueError, "start of Range: got nan"),
        ((0, 1, INF, "longdouble"), ValueError, "step of Range: got inf"),
        ((0, 1, 1, "U3"), SchemaError, "dtype of Range: got <U3, expected a bool, integer"),
        ((0, 1, 1, "m8[s]"), SchemaError, "dtype of Range: got timedelta64"),
        ((0, 1, 1, ">i4"), SchemaError, "foreign byte order"),
    ],
)
def test_range_refuses_what_it_cannot_count(arguments, error, text):
    with pytest.raises(error, match=text):
        RangeKernel(*arguments)


# -- fill_range --


@pytest.mark.parametrize("dtype", [name for name in NUMBERS if name != "bool"])
@pytest.mark.parametrize("n", [0, 1, 15, 100])
def test_fill_range_is_numpys_arange(dtype, n, level):
    out = np.zeros(n, dtype)
    assert fill_range(out, 3) is None
    assert out.tolist() == list(range(3, 3 + n))

    out = unaligned(out)
    fill_range(out, 120, step=-1)
    assert out.tolist() == list(range(120, 120 - n, -1))


def test_fill_range_takes_numpys_scalars_and_big_integers(level):
    out = np.zeros(3, "uint64")
    fill_range(out, np.uint64(2**64 - 1), np.int8(-2))
    assert out.tolist() == [2**64 - 1, 2**64 - 3, 2**64 - 5]

    fill_range(out, 0, 2**63 - 1)
    assert out.tolist() == [0, 2**63 - 1, 2**64 - 2]

    flags = np.zeros(2, "bool")
    fill_range(flags, True, -1)
    assert flags.tolist() == [True, False]


def test_fill_range_of_floats(level):
    out = np.zeros(4)
    fill_range(out, 0.5, np.float32(0.25))
    assert out.tolist() == [0.5, 0.75, 1.0, 1.25]

    complexes = np.zeros(3, "complex64")
    fill_range(complexes, 1 + 2j, 1j)
    assert complexes.tolist() == [1 + 2j, 1 + 3j, 1 + 4j]

    longs = np.zeros(2, "clongdouble")
    fill_range(longs, np.longdouble(1) / 3, 1j)
    assert longs[1].real == np.longdouble(1) / 3 and longs[1].imag == 1


@pytest.mark.parametrize("dtype", ["int32", ">i4", "float64", ">f8", ">c16"])
def test_fill_range_of_strided_and_foreign_arrays(dtype):
    base = np.zeros(12, dtype)

    fill_range(base[::3], 10)
    fill_range(base[11:8:-2], 20)

    assert base.tolist() == [10, 0, 0, 11, 0, 0, 12, 0, 0, 21, 0, 20]


def test_fill_range_of_so_much_that_the_gil_is_released():
    out = np.zeros(1 << 18, "int64")

    fill_range(out, -5, 3)

    assert np.array_equal(out, np.arange(-5, -5 + 3 * len(out), 3))


@pytest.mark.parametrize(
    ("out", "arguments", "error", "text"),
    [
        (np.full(3, 7, "i8"), (2**63 - 2,), OverflowError, "got 3 values from 9223372036854775806"),
        (np.full(3, 7, "i8"), (0, 2**62), OverflowError, "expected -9223372036854775808 to 92233"),
        (np.full(3, 7, "i8"), (2**70,), OverflowError, "the limits of int64; take a wider dtype"),
        (np.full(3, 7, "u8"), (-1,), OverflowError, "expected 0 to 18446744073709551615"),
        (np.full(3, 7, "i1"), (126,), OverflowError, "from 126 to 128, expected -128 to 127"),
        (np.full(3, 7, "i1")[::2], (127,), OverflowError, "from 127 to 128"),
        (np.full(3, 1, "?"), (0,), OverflowError, "expected 0 to 1"),
        (np.full(3, 7, "f2"), (65_000, 500), OverflowError, "the limits of float16"),
        (np.full(3, 7, "f4"), (1e39,), OverflowError, "the limits of float32"),
        (np.full(3, 7, "f8"), (0, 1.7e308), OverflowError, "the limits of float64"),
        (np.full(3, 7, "f8"), (INF,), ValueError, "start of fill_range: got inf"),
        (np.full(3, 7, "c16"), (complex(0, NAN),), ValueError, "expected finite numbers"),
        (np.full(3, 7, "g"), (0, NAN), ValueError, "step of fill_range: got nan"),
        (np.full(3, 7, "i8"), (1.0,), TypeError, "start of fill_range: got 1.0, expected an int"),
        (np.full(3, 7, "i8"), (1, None), TypeError, "step of fill_range: got None"),
        (np.full(3, 7, "f8"), ("1",), TypeError, "start of fill_range: got '1', expected a real"),
        (np.full(3, 7, "c16"), ("1",), TypeError, "expected numbers"),
        (np.full(3, 7, "g"), ("1",), TypeError, "start of fill_range: got '1'"),
        (np.full(3, 7, "G"), ("1",), TypeError, "expected numbers"),
        (readonly("i8"), (0,), ValueError, "got a read-only array, expected a writable one"),
        (np.zeros((2, 2), "i8"), (0,), ValueError, r"got shape \(2, 2\), expected one dimension"),
        (np.zeros((), "i8"), (0,), ValueError, r"got shape \(\), expected one dimension"),
        (np.zeros(3, "M8[s]"), (0,), SchemaError, "got dtype datetime64"),
        (np.zeros(3, "i8,i8"), (0,), SchemaError, "fill the columns of a structured array one by"),
        (np.zeros(3, "O"), (0,), SchemaError, "got dtype object"),
        (np.zeros(3, "S4"), (0,), SchemaError, "expected bool, integers, floats or complex"),
        (np.zeros(3, np.dtypes.StringDType()), (0,), SchemaError, "got dtype StringDType"),
        ([0, 0], (0,), SchemaError, "got list, expected a NumPy array"),
        (None, (0,), SchemaError, "got NoneType"),
    ],
)
def test_fill_range_refuses_before_it_writes(out, arguments, error, text):
    before = out.tobytes() if isinstance(out, np.ndarray) and out.dtype.kind not in "OT" else None

    with pytest.raises(error, match=text):
        fill_range(out, *arguments)

    assert before is None or out.tobytes() == before
