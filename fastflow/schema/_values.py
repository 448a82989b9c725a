"""From what users give to arrays: which dtypes a column may have, and what is refused.

Everything that comes in from outside passes here once, and is then an ndarray of a known dtype:

    ndarray, memmap, a view with any strides          as it is
    array.array, memoryview, Series, tensor           its memory, by the protocol that it has
    list                                              an array, if that holds each value exactly
    other byte order, text shorter than declared      a copy that loses nothing
    anything else                                     SchemaError: got, expected, what to do
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastflow.errors import SchemaError

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]
Shape: TypeAlias = tuple[int, ...]

SHOWN_COLUMNS = 12  # in messages and representations

# Type numbers: that of raw bytes and structs, and the last of NumPy's own of fixed width (half).
_LAST_OWN = np.dtype("e").num

_SCALARS = (bool, int, float, complex, str, bytes, bytearray, np.generic)


def refused(where: str, got: str, expected: str, do: str) -> SchemaError:
    """Word an error: where, what was got, what was expected, what to do."""
    return SchemaError(f"{where}: got {got}, expected {expected}; {do}")


def label(name: str) -> str:
    """Give a column's name as it may be printed: blanks and control characters in quotes only."""
    return name if name.isidentifier() else repr(name)


def spell(dtype: DType, shape: Shape = ()) -> str:
    """Spell a dtype as users write it: ``int64``, ``U5``, ``float32[128]``, ``(price float64)``."""
    while dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    if dtype.names is not None:
        fields = [f"{label(name)} {spell(dtype[name])}" for name in dtype.names[:SHOWN_COLUMNS]]
        if len(dtype.names) > SHOWN_COLUMNS:
            fields.append(f"... {len(dtype.names) - SHOWN_COLUMNS} more")
        text = f"({', '.join(fields)})"
    elif dtype.kind == "U":
        text = f"U{dtype.itemsize // 4}"
    elif dtype.kind in "SV":
        text = f"{dtype.kind}{dtype.itemsize}"
    else:
        text = dtype.name
    return text + (f"[{', '.join(map(str, shape))}]" if shape else "")


def what(value: Any) -> str:
    """Say what a refused value is; its contents are shown only where they are one scalar."""
    if isinstance(value, np.ndarray):
        kind = "array" if type(value) is np.ndarray else type(value).__name__
        return f"{kind} of {spell(value.dtype)} with shape {value.shape}"
    if value is None:
        return "None"
    if isinstance(value, _SCALARS):
        return f"{type(value).__name__} {reprlib.repr(value)}"
    dtype = getattr(value, "dtype", None)  # a Batch has one, and a Series
    of = f" of {spell(dtype)}" if isinstance(dtype, np.dtype) else ""
    return type(value).__name__ + of


def column_of(dtype: DType, where: str) -> tuple[DType, Shape]:
    """Give the scalar dtype, in native byte order, and the shape of one column's element."""
    whole = dtype
    shape: Shape = ()
    while dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    kind, size = dtype.kind, dtype.itemsize
    problem: tuple[str, str] | None = None
    if kind == "O":
        problem = (
            "fields of fixed width",
            "declare dtype=object, then whole events are Python objects, or give a width: 'U16'",
        )
    elif kind == "T":
        problem = (
            "text of fixed width, since a StringDType holds pointers",
            "give the greatest length, 'U16' say, or declare dtype=object",
        )
    elif dtype.names is not None:
        problem = (
            "a plain field, since columns do not nest",
            "flatten it: ('at_x', 'f8'), ('at_y', 'f8') for ('at', [('x', 'f8'), ('y', 'f8')])",
        )
    elif not 0 <= dtype.num <= _LAST_OWN:
        problem = ("one of NumPy's own dtypes", f"view its bytes as ('u1', ({size},))")
    elif size == 0:
        unit = "byte" if kind == "V" else "character"
        problem = (f"at least one {unit}", f"give the greatest length, '{kind}16' say")
    elif 0 in shape:
        problem = ("at least one value in a sub-array", "leave it out, or give it a length")
    elif kind in "mM" and np.datetime_data(dtype)[0] == "generic":
        problem = ("a unit", f"write '{dtype.name}[ns]', or another unit")
    if problem is not None:
        raise refused(where, repr(spell(whole)), *problem)
    # By way of its text `longlong` becomes the int64 that it is: kernels are chosen by type number.
    return np.dtype(dtype.newbyteorder("=").str), shape


def array_of(value: Any, where: str, expected: str) -> Array:
    """Give the array that `value` is, or lends its memory to.  Lists are for `from_list`."""
    if type(value) is np.ndarray:
        return value
    if isinstance(value, _SCALARS):
        data = isinstance(value, (bytes, bytearray))
        do = "np.frombuffer(data, dtype) reads bytes" if data else "one event is np.array([value])"
        raise refused(where, what(value), expected, do)
    if not isinstance(value, np.ndarray):
        value = _foreign(value, where, expected)
    # np.asarray would drop the mask, and with it the knowledge of which values are none.
    if isinstance(value, np.ma.MaskedArray):
        raise refused(
            where,
            "a masked array",
            f"{expected}: the mask would be lost",
            "leave masked values out with .compressed(), or replace them with .filled(value)",
        )
    if isinstance(value, np.matrix):
        raise refused(where, "an np.matrix", expected, "flatten it: np.asarray(matrix).ravel()")
    return np.asarray(value)


def _foreign(value: Any, where: str, expected: str) -> Array:
    """Read another library's array, by the protocols that NumPy knows."""
    protocols = ("__array__", "__array_interface__", "__array_struct__")
    lends = any(hasattr(value, protocol) for protocol in protocols)
    if not lends and not hasattr(value, "__dlpack__"):
        try:
            memoryview(value)
        except TypeError:
            if isinstance(value, Iterator):
                do = "collect it first: np.fromiter(values, dtype)"
            elif isinstance(value, Iterable):
                do = "collect it first: np.array(list(values))"
            else:
                do = "give an array"
            raise refused(where, what(value), expected, do) from None
        except (BufferError, ValueError) as error:  # it has a buffer, but does not lend it now
            got = f"{what(value)} that lends no memory ({error})"
            raise refused(where, got, expected, "give an array") from error
        lends = True
    nulls = _nulls(value)
    if nulls:
        raise refused(
            where,
            f"{what(value)} with {nulls} null{'' if nulls == 1 else 's'}",
            f"{expected}: a null has no place in a column",
            "fill them, .fill_null(value) or .fillna(value), or drop them",
        )
    try:
        # asanyarray: what the other side gives may be a masked array, which `array_of` then sees.
        found: Array = np.asanyarray(value) if lends else np.from_dlpack(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise refused(
            where,
            f"{what(value)} that NumPy cannot read ({error})",
            expected,
            "turn it into a NumPy array first; a tensor by .detach().cpu().numpy()",
        ) from error
    return found


def _nulls(value: Any) -> int:
    """Count the nulls of an Arrow, Polars or pandas column: each turns them to NaN for NumPy."""
    count = getattr(value, "null_count", None)
    if callable(count):
        count = count()
    if isinstance(count, int):
        return count
    dtype = getattr(value, "dtype", None)
    if not isinstance(dtype, np.dtype) and callable(getattr(value, "isna", None)):
        return int(np.count_nonzero(value.isna()))
    return 0


def from_list(
    values: Sequence[Any], dtype: DType | None, shape: Shape, where: str, expected: str
) -> Array:
    """Make an array of a list's values, which it must hold exactly; `dtype` None: what NumPy finds.

    Which lists pass is a matter of types, not of luck: integers fit any integer or float column
    that holds their values; floats need 64 bits or more, even where 0.5 would have fitted fewer.
    """
    if len(values) == 0:
        return np.empty((0, *shape), dtype)
    try:
        found = np.asarray(values)
        if dtype is not None and found.dtype != dtype:
            ints = found.dtype.kind in "bui" and dtype.kind in "uifc"
            floats = found.dtype.kind in "fc" and dtype.kind in "fc"
            if ints or (floats and np.can_cast(found.dtype, dtype, "safe")):
                found = np.asarray(values, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise refused(
            where,
            f"a list that makes no such array ({error})",
            expected,
            "make the array yourself: np.array(values, dtype)",
        ) from error
    if found.dtype.kind in "buifcUS":
        given = np.asarray(values, dtype=object).ravel().tolist()
        for position, (kept, value) in enumerate(zip(found.ravel().tolist(), given, strict=True)):
            if kept != value and not (kept != kept and value != value):  # NaN stays NaN
                raise refused(
                    where,
                    f"a list with {what(value)} at {position}, another as {spell(found.dtype)}",
                    expected,
                    "make the array yourself, rounded or cut as you like: np.array(values, dtype)",
                )
    return found


def is_declared(value: Any, dtype: DType, shape: Shape) -> bool:
    """Tell whether a value is a column exactly as declared: the usual case, told without words."""
    return (
        type(value) is np.ndarray
        and value.dtype == dtype
        and value.ndim == 1 + len(shape)
        and value.shape[1:] == shape
    )


def fitted(value: Any, dtype: DType, shape: Shape, where: str) -> Array:
    """Give one column as declared: what was given, or it swapped or widened, or refuse it."""
    expected = spell(dtype, shape)
    if isinstance(value, (list, tuple)):
        array = from_list(value, dtype, shape, where, f"events of {expected}")
    else:
        array = array_of(value, where, f"an array of {expected}")
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        wanted = f"({', '.join(['n', *map(str, shape)])}{'' if shape else ','})"
        if array.ndim == 0:
            do = "one event is an array of one: np.atleast_1d(value)"
        elif shape:
            do = f"reshape it to {wanted}: the first axis counts the events"
        else:
            do = f"flatten it with .ravel(), or declare ({expected!r}, {array.shape[1:]})"
        raise refused(where, what(array), f"{expected} with shape {wanted}", do)
    got = array.dtype
    if got == dtype:
        return array
    if got.kind == dtype.kind:
        if got.newbyteorder("=") == dtype:
            return array.astype(dtype)
        if got.kind in "SU":
            if got.itemsize <= dtype.itemsize:
                return array.astype(dtype)
            raise refused(
                where,
                what(array),
                f"{expected}: longer text would be cut",
                f"declare {spell(got)!r}, or cut it yourself with .astype({spell(dtype)!r})",
            )
    do = f"cast it with .astype({spell(dtype)!r}), or declare {spell(got)}"
    if got.names is None and np.can_cast(got, dtype, "safe"):
        do += " and subscribe with convert=True"
    raise refused(where, what(array), expected, do)


def natural(value: Any, where: str) -> Array:
    """Give a column that nobody declared: the array's own dtype, in native byte order."""
    if isinstance(value, (list, tuple)):
        array = from_list(value, None, (), where, "values of one NumPy dtype")
    else:
        array = array_of(value, where, "an array")
    if array.ndim == 0:
        raise refused(where, what(array), "one dimension or more", "use np.atleast_1d(value)")
    if array.ndim == 1 and array.dtype.isbuiltin == 1 and array.dtype.kind in "biufc":
        return array  # native numbers: the usual case
    try:
        element = np.dtype((array.dtype, array.shape[1:]))
    except ValueError as error:
        raise refused(where, what(array), "events below 2 GiB", "give smaller ones") from error
    column_of(element, where)  # refuses what no schema has
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def same_length(names: Sequence[str], arrays: Sequence[Array], where: str) -> None:
    """Refuse columns of different lengths, naming two that differ."""
    for name, array in zip(names, arrays, strict=True):
        if len(array) != len(arrays[0]):
            raise refused(
                where,
                f"{len(array)} events in column {name!r}, {len(arrays[0])} in {names[0]!r}",
                "as many in each column",
                "give columns of one length",
            )
