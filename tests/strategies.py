"""Hypothesis strategies for schemas and their events, for the tests of every room.

    scalar_dtypes()          one value: numbers, times, text, bytes; big-endian ones if asked for
    plain_dtypes()           a scalar dtype, or a sub-array of one
    structured_dtypes()      one to four named fields, aligned or packed
    dtypes()                 any of these, and object

    columns(dtype, n)        an array of n events of a plain dtype
    events(dtype, n)         n events as a callback gets them: an ndarray, a Batch or a list
    layouts(array)           the same values with other strides, alignment, byte order or flags

Values are drawn from a few of each dtype, the awkward ones among them: limits, NaN, -0.0, NaT,
subnormal numbers, text of full width and none.  So examples are cheap to make, and shrink to
something readable.
"""

import functools

import hypothesis.strategies as st
import numpy as np

from fastflow.schema import Schema

NUMBERS = ("?", *"bhiqBHIQ", *"efdg", *"FDG")
TIMES = ("M8[Y]", "M8[D]", "M8[s]", "M8[ns]", "m8[h]", "m8[25s]", "m8[us]")
FEW = st.integers(0, 8)
NAMES = ("price", "qty", "name", "at", "columns", "take", "two words", "ключ")


def scalar_dtypes(*, foreign=False):
    """Give dtypes of one value; with `foreign`, big-endian ones too."""
    text = st.builds("{}{}".format, st.sampled_from("SU"), st.integers(1, 5))
    found = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TIMES), text).map(np.dtype)
    if not foreign:
        return found
    return st.builds(lambda dtype, order: dtype.newbyteorder(order), found, st.sampled_from("=>"))


def shapes():
    """Give shapes of an event: mostly a scalar's."""
    return st.sampled_from([(), (), (), (1,), (3,), (2, 2)])


def plain_dtypes(*, foreign=False):
    """Give dtypes of one column, sub-arrays among them."""
    return st.builds(
        lambda dtype, shape: np.dtype((dtype, shape)) if shape else dtype,
        scalar_dtypes(foreign=foreign),
        shapes(),
    )


@st.composite
def structured_dtypes(draw, *, foreign=False):
    """Give structured dtypes of one to four fields."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    fields = [(name, draw(plain_dtypes(foreign=foreign))) for name in names]
    return np.dtype(fields, align=draw(st.booleans()))


def dtypes(*, foreign=False):
    """Give dtypes of every kind that a schema has."""
    return st.one_of(
        plain_dtypes(foreign=foreign),
        structured_dtypes(foreign=foreign),
        st.just(np.dtype(object)),
    )


@functools.cache
def _values(dtype):
    """Return the values that columns of `dtype` are made of, as an array of it."""
    kind = dtype.kind
    if kind == "b":
        return np.array([False, True])
    if kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([0, 1, 7, limits.min, limits.max], dtype)
    if kind in "fc":
        limits = np.finfo(dtype)
        real = np.array([0, 1.5, -0.0, np.nan, np.inf, -np.inf], dtype)
        ends = [limits.max, limits.min, limits.smallest_subnormal]
        found = np.concatenate([real, np.array(ends, dtype)])
        if kind == "c":
            found = np.concatenate([found, found])
            found.imag[: len(found) // 2] = 1
        return found
    if kind in "mM":
        not_a_time = np.iinfo("i8").min
        return np.array([0, 1, -1, 2**62, not_a_time], "i8").view(dtype)
    width = dtype.itemsize // (4 if kind == "U" else 1)
    letters = ["", "a", "Z" * width] + (["é☃" * width] if kind == "U" else [])
    return np.array([text[:width] for text in letters], dtype)


@st.composite
def columns(draw, dtype, n=FEW):
    """Give arrays of events of a plain dtype, C-contiguous; `n` is a number or a strategy."""
    dtype = np.dtype(dtype)
    base, shape = dtype.subdtype or (dtype, ())
    n = draw(n) if isinstance(n, st.SearchStrategy) else n
    values = _values(base)
    size = n * int(np.prod(shape, dtype=int))
    chosen = draw(st.lists(st.integers(0, len(values) - 1), min_size=size, max_size=size))
    return values[np.array(chosen, np.intp)].reshape((n, *shape))


def objects(n=FEW):
    """Give lists of Python objects of several types."""
    one = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
    if isinstance(n, st.SearchStrategy):
        return n.flatmap(objects)
    return st.lists(one, min_size=n, max_size=n)


@st.composite
def events(draw, dtype, n=FEW):
    """Give events of a dtype as a callback gets them: an ndarray, a Batch or a list."""
    schema = Schema.of(dtype)
    n = draw(n) if isinstance(n, st.SearchStrategy) else n
    if schema.kind == "object":
        return draw(objects(n))
    pairs = zip(schema.columns, schema.shapes, strict=True)
    arrays = [draw(columns(np.dtype((column, shape)), n)) for column, shape in pairs]
    return arrays[0] if schema.kind == "plain" else schema.batch(arrays)


LAYOUTS = (
    "as it is",
    "strided",
    "reversed",
    "Fortran",
    "unaligned",
    "read-only",
    "subclass",
    "big-endian",
)


@st.composite
def layouts(draw, array, which=LAYOUTS):
    """Give arrays with the values of `array` that lie in memory in another way."""
    how = draw(st.sampled_from(which))
    if how == "strided":
        wide = np.repeat(array, 2, axis=0)
        return wide[::2]
    if how == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1]
    if how == "Fortran":
        return np.asfortranarray(array)
    if how == "unaligned":
        memory = np.empty(array.nbytes + 1, np.uint8)
        moved = np.ndarray(array.shape, array.dtype, memory, 1)
        moved[...] = array
        return moved
    if how == "read-only":
        array = array.copy()
        array.flags.writeable = False
    elif how == "subclass":
        return array.copy().view(Subclass)
    elif how == "big-endian":
        return array.astype(array.dtype.newbyteorder(">"))
    return array


class Subclass(np.ndarray):
    """An array of a class of its own, as memmap and many units packages have."""
