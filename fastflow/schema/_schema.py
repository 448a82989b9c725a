"""Schema: what one event is, and the checks of events against it."""

from __future__ import annotations

import operator
import reprlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from fastflow.errors import DemandError, SchemaError, nearest
from fastflow.schema._batch import Batch, Row, batch_of
from fastflow.schema._values import (
    Array,
    DType,
    Shape,
    array_of,
    column_of,
    fitted,
    is_declared,
    label,
    refused,
    same_length,
    spell,
    what,
)

ALIGNMENT = 64  # bytes: a cache line, and what Arrow asks of its buffers


@lru_cache(maxsize=1024)
def _schema_of(dtype: DType) -> Schema:
    if dtype.kind == "O" and dtype.subdtype is None:
        return Schema("object", (), (dtype,), ((),), dtype, dtype.itemsize)
    if dtype.names is None:
        column, shape = column_of(dtype, "dtype")
        native = np.dtype((column, shape)) if shape else column
        return Schema("plain", (), (column,), (shape,), native, native.itemsize)
    if not dtype.names:
        raise refused("dtype", "no fields", "at least one", "name a column: [('price', 'f8')]")
    assert dtype.fields is not None
    columns, shapes, itemsize = [], [], 0
    for name in dtype.names:
        inner, _, *title = dtype.fields[name]
        if title:
            do = f"leave it out: ({name!r}, {spell(inner)!r})"
            raise refused(f"dtype, field {name!r}", f"the title {title[0]!r}", "one name", do)
        column, shape = column_of(inner, f"dtype, field {name!r}")
        columns.append(column)
        shapes.append(shape)
        itemsize += inner.itemsize
    native = dtype.newbyteorder("=")
    return Schema("columns", dtype.names, tuple(columns), tuple(shapes), native, itemsize)


def _columns_of_rows(rows: Sequence[Any], names: tuple[str, ...], where: str) -> dict[str, Any]:
    """Turn a list of rows into columns, as lists."""
    for position, row in enumerate(rows):
        own: Any = names  # a tuple has no names: its values count by position
        if isinstance(row, Row):
            own = row.keys()
        elif isinstance(row, np.void):
            own = row.dtype.names
        elif not isinstance(row, tuple):
            own = None
        if own != names or len(row) != len(names):
            if own is None:
                got = what(row)
            elif own == names:
                got = f"a tuple of {len(row)}"
            else:
                got = f"a row ({', '.join(map(label, own))})"
            raise refused(
                where,
                f"{got} as event {position} of a list",
                f"rows or tuples ({', '.join(map(label, names))})",
                "give ff.Batch(...) or a dict of columns, which is much faster too",
            )
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _list_of(events: Any, where: str) -> list[Any]:
    """Give `object` events as a list: the very list, or the items of what is as plainly one."""
    if isinstance(events, list):
        return events
    named = hasattr(events, "_fields")
    if isinstance(events, tuple) and not named:
        return list(events)
    if type(events) is np.ndarray and events.dtype.kind == "O" and events.ndim == 1:
        return list(events)
    if isinstance(events, np.ndarray):
        do = "use .tolist() for Python objects, or declare the array's dtype"
    elif isinstance(events, (str, bytes, Mapping, Row)) or not isinstance(events, Iterable):
        do = "one event is a list of one: [event]"
    elif named:
        do = "a named tuple looks like one event, which is [event]; if its values are, list(event)"
    else:
        do = "collect it first: list(events)"
    raise refused(where, what(events), "a list of events", do)


class Schema:
    """What one event is.

    Made by `Schema.of` and `Schema.infer`; immutable, hashable, cached.  Two schemas are equal when
    their columns have the same names, dtypes and shapes in the same order: padding, offsets and
    byte order are how a struct lies in memory, not what an event is.

    Attributes
    ----------
    kind : {"plain", "columns", "object"}
        One column, whose array is the batch; named columns; any Python objects.
    names : tuple of str
        Names of the columns; empty unless `kind` is ``"columns"``.
    columns : tuple of dtype
        Scalar dtype of each column, in native byte order; one unless `kind` is ``"columns"``.
    shapes : tuple of tuple of int
        Shape of one event in each column: ``()``, or ``(128,)`` for the dtype ``("f4", (128,))``.
    dtype : dtype
        As declared, in native byte order.
    itemsize : int
        Bytes of one event over all columns, without padding; for objects, of a reference.
    """

    __slots__ = ("columns", "dtype", "itemsize", "kind", "names", "shapes")

    kind: Literal["plain", "columns", "object"]
    names: tuple[str, ...]
    columns: tuple[DType, ...]
    shapes: tuple[Shape, ...]
    dtype: DType
    itemsize: int

    # Spelled out, since the module that would write it costs as much at import as all of this room.
    def __init__(
        self,
        kind: Literal["plain", "columns", "object"],
        names: tuple[str, ...],
        columns: tuple[DType, ...],
        shapes: tuple[Shape, ...],
        dtype: DType,
        itemsize: int,
    ) -> None:
        values = (columns, dtype, itemsize, kind, names, shapes)
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} of a Schema: got an assignment, expected none; make another with Schema.of")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} of a Schema: got a deletion, expected none; a schema never changes")

    def _key(self) -> tuple[Any, ...]:
        return self.kind, self.names, self.columns, self.shapes

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Schema) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    @staticmethod
    def of(dtype: Any) -> Schema:
        """Find the schema of a dtype.

        Parameters
        ----------
        dtype : dtype_like or Schema
            Anything that ``numpy.dtype`` takes: ``"int64"``, ``float``, ``"datetime64[ns]"``,
            ``"U16"``, ``[("price", "f8"), ("vec", "f4", (128,))]``, ``object``.

        Returns
        -------
        Schema
            The same object for the same dtype.

        Raises
        ------
        SchemaError
            If it is no dtype, or none of fixed width: objects in fields, StringDType, text without
            a width, raw bytes (``"V8"``), nested structs, titles, times without a unit.

        Examples
        --------
        >>> Schema.of("int64")
        <Schema int64>
        >>> Schema.of([("price", "f8"), ("vec", "f4", (128,))]).itemsize
        520
        """
        if isinstance(dtype, Schema):
            return dtype
        if isinstance(dtype, np.dtype):
            return _schema_of(dtype)
        expected = "what numpy.dtype takes"
        do = "write 'int64', 'U16', [('price', 'f8'), ('qty', 'i4')], or object for Python objects"
        if dtype is None:  # which NumPy takes for float64
            raise refused("dtype", "None", expected, do)
        try:
            found = np.dtype(dtype)
        except (TypeError, ValueError, SyntaxError, OverflowError) as error:
            got = f"{reprlib.repr(dtype)} ({error})"
            raise refused("dtype", got, expected, do) from error
        if isinstance(dtype, type) and found.kind == "O" and dtype not in (object, np.object_):
            # NumPy takes any class for `object`: a decimal.Decimal that was meant as a number, say.
            raise refused("dtype", f"the class {dtype.__name__}", expected, do)
        return _schema_of(found)

    @staticmethod
    def infer(events: Any, where: str = "events") -> Schema:
        """Find the schema of what a callback returned.

        Parameters
        ----------
        events : array_like, Batch, mapping of columns, or list
            A list or tuple means `object` events, whatever is in it.
        where : str, default "events"
            What the error message begins with.

        Returns
        -------
        Schema
            Of these events, and of all that follow.

        Raises
        ------
        SchemaError
            If they are no events, or of a dtype that no schema has.

        Examples
        --------
        >>> Schema.infer(np.arange(3)), Schema.infer([1, 2, 3])
        (<Schema int64>, <Schema object>)
        """
        if isinstance(events, Batch):
            return events.schema
        if isinstance(events, Mapping):
            return batch_of(events, where).schema
        if isinstance(events, (list, tuple)):
            _list_of(events, where)
            return _schema_of(np.dtype(object))
        array = array_of(events, where, "an array, a list, ff.Batch or a dict of columns")
        if array.ndim != 1:
            do = "one event is an array of one: np.atleast_1d(value)"
            if array.ndim:
                element = f"({spell(array.dtype)!r}, {array.shape[1:]})"
                do = f"flatten it with .ravel(), or declare dtype={element}"
            raise refused(where, what(array), "one dimension", do)
        return _schema_of(array.dtype)

    def arrays(self, events: Any, where: str) -> list[Any]:
        """Check events, and give them as one array a column.

        Arrays are returned as they are, whatever their strides: the caller copies.  Copies are made
        only of lists, of another byte order, and of text narrower than declared.

        Parameters
        ----------
        events : object
            *Plain*: an array, or what lends one (a buffer, ``__array__``, DLPack) of the same
            dtype, or a list whose values all fit exactly.  *Columns*: a Batch, a mapping of such
            columns in any order, a structured array, or a list of rows or tuples (slow).
            *Object*: a list, a tuple, or a one-dimensional array of objects.
        where : str
            What the error message begins with: ``"handle_demand of 'counter'"``.

        Returns
        -------
        list
            Arrays of shape ``(n, *shape)``, one a column.  For `object` events one list: the very
            list that was given.

        Raises
        ------
        SchemaError
            If the events are not what the schema says.
        """
        if self.kind == "plain":
            dtype, shape = self.columns[0], self.shapes[0]
            if is_declared(events, dtype, shape):
                return [events]
            if isinstance(events, (Batch, Mapping)):
                do = "give one column of it"
                raise refused(where, what(events), f"an array of {self.describe()}", do)
            return [fitted(events, dtype, shape, where)]
        if self.kind == "object":
            return [_list_of(events, where)]
        if type(events) is Batch and events._names == self.names:
            given: Sequence[Any] = events._arrays
        else:
            given = self._by_name(events, where)
        arrays = []
        for position, array in enumerate(given):
            dtype, shape = self.columns[position], self.shapes[position]
            if not is_declared(array, dtype, shape):
                name = self.names[position]
                array = fitted(array, dtype, shape, f"{where}, column {name!r}")
            arrays.append(array)
        same_length(self.names, arrays, where)
        return arrays

    def _by_name(self, events: Any, where: str) -> list[Any]:
        """Find the columns in whatever has them, in our order."""
        if isinstance(events, (dict, Mapping)):
            found: Mapping[Any, Any] = events
        elif isinstance(events, Batch):
            found = dict(zip(events._names, events._arrays, strict=True))
        elif isinstance(events, (list, tuple)) and not hasattr(events, "_fields"):
            found = _columns_of_rows(events, self.names, where)
        elif isinstance(events, (tuple, Row)):
            do = "one event is a list of one: [event]"
            raise refused(where, what(events), f"columns {self.describe()}", do)
        else:
            expected = f"columns {self.describe()}"
            array = array_of(events, where, expected)
            if array.ndim != 1 or array.dtype.names is None:
                do = "give ff.Batch(...), a dict of columns (dict(df.items()) of a frame), or rows"
                raise refused(where, what(array), expected, do)
            found = {name: array[name] for name in array.dtype.names}
        for name in found:
            if name not in self.names:
                raise SchemaError(f"{where}: {nearest('column', str(name), self.names)}")
        if len(found) != len(self.names):
            missing = ", ".join(repr(name) for name in self.names if name not in found)
            got = f"columns {', '.join(map(label, found))}" if found else "no columns"
            do = f"give {missing} too"
            raise refused(where, f"{got} without {missing}", f"columns {self.describe()}", do)
        return [found[name] for name in self.names]

    def cast_from(self, other: Schema) -> Literal["same", "safe"] | None:
        """Tell whether events of another schema can become ours.

        Parameters
        ----------
        other : Schema
            What the events are.

        Returns
        -------
        {"same", "safe", None}
            They are ours; they can be cast, by NumPy's safe casts, column by column, by name; or
            they cannot without loss.

        Notes
        -----
        NumPy calls two casts safe that can lose: int64 to float64 rounds beyond 2**53, and a time
        far from 1970 has no place in a much finer unit (years 1678 to 2262 for nanoseconds).
        """
        if self == other:
            return "same"
        if self.kind != other.kind or len(self.names) != len(other.names):
            return None
        pairs = zip(other.columns, other.shapes, strict=True)
        theirs = dict(zip(other.names or ("",), pairs, strict=True))
        for name, dtype, shape in zip(self.names or ("",), self.columns, self.shapes, strict=True):
            if name not in theirs or theirs[name][1] != shape:
                return None
            if not np.can_cast(theirs[name][0], dtype, "safe"):
                return None
        return "safe"

    def describe(self) -> str:
        """Say what one event is, in a few words.

        Returns
        -------
        str
            ``"int64"``, ``"(price float64, qty int32)"``, ``"float32[128]"`` or ``"object"``.
        """
        return spell(self.dtype)

    def batch(self, arrays: Sequence[Array]) -> Batch:
        """Wrap columns, unchecked.

        Parameters
        ----------
        arrays : sequence of ndarray
            One a column, all of one length, as `arrays` gives them.

        Returns
        -------
        Batch
            Of these very arrays.
        """
        return Batch._wrap(self.names, arrays)

    def empty(self, n: int) -> Any:
        """Make fresh memory for events; what is in it is arbitrary.

        Parameters
        ----------
        n : int
            How many events.

        Returns
        -------
        ndarray, Batch or list
            Each column begins on a 64-byte line; for `object` events a list of None.

        Raises
        ------
        DemandError
            If `n` is negative, no integer, or more than can be addressed.
        """
        if isinstance(n, (bool, np.bool_)) or not hasattr(n, "__index__"):
            raise DemandError(f"empty: got {what(n)}, expected an integer; give a number of events")
        n, most = operator.index(n), sys.maxsize // self.itemsize - ALIGNMENT
        if not 0 <= n <= most:
            raise DemandError(
                f"empty: got {n} events, expected 0 to {most} of {self.itemsize} bytes each; "
                "give another number"
            )
        if self.kind == "object":
            return [None] * n
        pairs = zip(self.columns, self.shapes, strict=True)
        arrays = [_aligned((n, *shape), dtype) for dtype, shape in pairs]
        return arrays[0] if self.kind == "plain" else self.batch(arrays)

    def __repr__(self) -> str:
        return f"<Schema {self.describe()}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Schema.of, (self.dtype,)  # what is unpickled is the cached one


def _aligned(shape: Shape, dtype: DType) -> Array:
    size = dtype.itemsize
    for length in shape:
        size *= length
    memory = np.empty(size + ALIGNMENT - 1, np.uint8)
    return np.ndarray(shape, dtype, memory, -memory.ctypes.data % ALIGNMENT)


def same_or_refuse(
    producer_schema: Schema,
    consumer_schema: Schema,
    producer_name: str,
    consumer_name: str,
    convert: bool,
) -> Literal["cast"] | None:
    """Decide whether a consumer can take what a producer emits.

    Parameters
    ----------
    producer_schema, consumer_schema : Schema
        What is emitted, and what is accepted.
    producer_name, consumer_name : str
        Names for the message.
    convert : bool
        Whether safe casts are wanted: the subscription's option.

    Returns
    -------
    {None, "cast"}
        None if the schemas are the same, ``"cast"`` if each batch is to be cast on its way.

    Raises
    ------
    SchemaError
        If they differ, unless `convert` and the cast is safe.
    """
    how = consumer_schema.cast_from(producer_schema)
    if how == "same":
        return None
    if how == "safe" and convert:
        return "cast"
    if how == "safe":
        do = "subscribe with convert=True, which makes safe casts, or declare one dtype in both"
    else:
        do = "declare one dtype in both, or cast with .astype in a stage between them"
        do += "; convert=True makes only safe casts" if convert else ""
    raise refused(
        f"subscription of {consumer_name!r} to {producer_name!r}",
        f"events of {producer_schema.describe()}",
        consumer_schema.describe(),
        f"{_difference(producer_schema, consumer_schema)}; {do}",
    )


def _difference(got: Schema, expected: Schema) -> str:
    """Name the first difference, in one clause."""
    if got.kind != expected.kind:
        shown = {"plain": "plain values", "columns": "named columns", "object": "Python objects"}
        return f"{shown[got.kind]} are not {shown[expected.kind]}"
    for name in expected.names:
        if name not in got.names:
            return f"column {name!r} is missing"
    for name in got.names:
        if name not in expected.names:
            return f"column {name!r} is not expected"
    for position, name in enumerate(expected.names or ("",)):
        other = got.names.index(name) if name else 0
        has = spell(got.columns[other], got.shapes[other])
        wants = spell(expected.columns[position], expected.shapes[position])
        if has != wants:
            return f"{f'column {name!r}' if name else 'an event'} is {has}, not {wants}"
    return "the same columns stand in another order"


def concat(batches: Iterable[Batch]) -> Batch:
    """Join batches end to end in fresh columns.

    Parameters
    ----------
    batches : iterable of Batch
        At least one, all of one schema.

    Returns
    -------
    Batch
        Shares no memory with them.

    Raises
    ------
    SchemaError
        If there is none, or their schemas differ.

    Examples
    --------
    >>> len(concat([Batch(qty=[1, 2]), Batch(qty=[3])]))
    3
    """
    parts = list(batches)
    if not parts:
        do = "begin with an empty batch of the right columns"
        raise refused("concat", "no batches", "at least one", do)
    for position, part in enumerate(parts):
        if not isinstance(part, Batch):
            do = "wrap it: ff.Batch(...)"
            raise refused(f"concat, batch {position}", what(part), "a Batch", do)
        if part.schema != parts[0].schema:
            difference = _difference(part.schema, parts[0].schema)
            raise refused(
                f"concat, batch {position}",
                part.schema.describe(),
                f"{parts[0].schema.describe()} as in batch 0",
                f"{difference}; cast or select columns with with_columns and select",
            )
    columns = [np.concatenate(arrays) for arrays in zip(*(p._arrays for p in parts), strict=True)]
    return Batch._wrap(parts[0]._names, columns)
