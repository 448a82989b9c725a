"""Batch: consecutive events in columns; Row: one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastflow.errors import SchemaError, nearest
from fastflow.schema._values import (
    SHOWN_COLUMNS,
    Array,
    DType,
    array_of,
    label,
    natural,
    refused,
    same_length,
    spell,
    what,
)

if TYPE_CHECKING:
    from fastflow.schema._schema import Schema

_SHOWN_CHARACTERS = 24  # of one value in a representation


def _shown(value: Any) -> str:
    """Show one value: short, on one line, control characters escaped."""
    if isinstance(value, np.ndarray):
        text = " ".join(np.array2string(value, threshold=4, edgeitems=2).split())
    elif isinstance(value, (np.str_, np.bytes_)):
        text = repr(value.item()[:_SHOWN_CHARACTERS])
    else:
        text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _equal(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray):
        return bool(np.array_equal(mine, theirs))
    return bool(mine == theirs)


class Row:
    """One event of a Batch: its values, by name or by position.

    A row holds NumPy scalars, which are copies; an element with a shape is a view of its column.
    It is equal to the tuple of its values, iterates over them, and ``dict(row)`` names them.

    Parameters
    ----------
    names : tuple of str
        Names of the columns.
    values : tuple
        One value a column.

    Examples
    --------
    >>> row = Batch(price=[1.5, 2.5], qty=[10, 20])[-1]
    >>> row
    Row(price=2.5, qty=20)
    >>> row["qty"], row[0], row == (2.5, 20)
    (np.int64(20), np.float64(2.5), True)
    """

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self._names = names
        self._values = values

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self._names:
                raise SchemaError(f"row: {nearest('column', key, self._names)}")
            return self._values[self._names.index(key)]
        return self._values[key]

    def keys(self) -> tuple[str, ...]:
        """Give the names of the columns; with it, ``dict(row)`` and ``f(**row)`` work.

        Returns
        -------
        tuple of str
            One a value.
        """
        return self._names

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Row):
            if self._names != other._names:
                return False
            values = other._values
        elif isinstance(other, tuple):
            values = other
        elif isinstance(other, np.void):  # of a structured array; raw bytes have no names
            values = tuple(other[name] for name in other.dtype.names or ())
        else:
            return NotImplemented
        return len(self) == len(values) and all(map(_equal, self._values, values))

    def __hash__(self) -> int:
        return hash(self._values)

    def __repr__(self) -> str:
        pairs = zip(self._names, self._values, strict=True)
        return f"Row({', '.join(f'{label(name)}={_shown(value)}' for name, value in pairs)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Row, (self._names, self._values)


def batch_of(columns: Mapping[Any, Any], where: str) -> Batch:
    """Make a batch of columns that nobody has checked yet."""
    if not columns:
        raise refused(where, "no columns", "at least one", "name it: ff.Batch(price=array)")
    for name in columns:
        if not isinstance(name, str) or not name:
            do = "name each column: {'price': array}"
            raise refused(where, f"{name!r} for a name", "text", do)
    arrays = [natural(value, f"{where}, column {name!r}") for name, value in columns.items()]
    same_length(tuple(columns), arrays, where)
    return Batch._wrap(tuple(columns), arrays)


class Batch:
    """Consecutive events of a structured schema: one array a column.

    Work on it column by column: ``batch["price"] * batch["qty"]`` runs at NumPy's speed.  Rows are
    there for tests, and for the few events that need it: each costs about a microsecond.

    Parameters
    ----------
    data : mapping of columns, structured ndarray or Batch, optional
        Columns by name.  Only lists, and arrays of another byte order, are copied.
    **columns : array_like
        More columns by name.  The first axis counts the events, as many in each: an array of shape
        ``(n, 128)`` is a column whose elements are sub-arrays.

    Raises
    ------
    SchemaError
        Without columns, with columns of different lengths, or if one has no fixed-width dtype.

    Notes
    -----
    ``batch["price"] = x`` writes into the column, as ``batch["price"][:] = x`` does, and casts no
    more than ``batch["price"] += x`` would.  A column is never replaced: `with_columns` makes
    another batch.  ``==`` between batches is one bool, see `equals`.  Between columns it is that of
    NumPy, where bytes never equal text: ``batch["name"] == "AA"`` is all False for an ``S2``.

    Examples
    --------
    >>> batch = Batch(price=[1.5, 2.5, 3.5], qty=[10, 20, 30])
    >>> batch["price"].sum()
    np.float64(7.5)
    >>> batch[batch["qty"] > 10]
    Batch of 2 events (price float64, qty int64)
       price  qty
    0    2.5   20
    1    3.5   30
    """

    __slots__ = ("_arrays", "_names")
    __hash__: ClassVar[None]  # type: ignore[assignment]  # columns change, as arrays do
    __array_ufunc__ = None  # `array == batch` is then ours to answer, not tried on packed structs

    _names: tuple[str, ...]
    _arrays: Sequence[Array]

    def __init__(self, data: Any = None, /, **columns: Any) -> None:
        found: dict[Any, Any] = {}
        if isinstance(data, Batch):
            found.update(zip(data._names, data._arrays, strict=True))
        elif isinstance(data, Mapping):
            found.update(data)
        elif data is not None:
            expected = "columns by name"
            do = "write ff.Batch(price=array), or give a dict or a structured array"
            if isinstance(data, (list, tuple)):
                raise refused("Batch", what(data), expected, do)
            array = array_of(data, "Batch", expected)
            if array.dtype.names is None or array.ndim != 1:
                raise refused("Batch", what(array), expected, do)
            found.update((name, array[name]) for name in array.dtype.names)
        for name in columns:
            if name in found:
                raise refused("Batch", f"column {name!r} twice", "each column once", "give one")
        found.update(columns)
        made = batch_of(found, "Batch")
        self._names, self._arrays = made._names, made._arrays

    @classmethod
    def _wrap(cls, names: tuple[str, ...], arrays: Sequence[Array]) -> Batch:
        """Wrap checked columns.  One is made for each delivery, hence no more than two stores."""
        self = object.__new__(cls)
        self._names = names
        self._arrays = arrays
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return self._names

    @property
    def dtype(self) -> DType:
        """Structured dtype of one event, packed."""
        pairs = zip(self._names, self._arrays, strict=True)
        return np.dtype([(name, array.dtype, array.shape[1:]) for name, array in pairs])

    @property
    def schema(self) -> Schema:
        """Schema of the events."""
        # The one look back: a schema makes batches, and a batch names its schema only when asked.
        from fastflow.schema._schema import Schema

        return Schema.of(self.dtype)

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __iter__(self) -> Iterator[Row]:
        names = self._names
        return (Row(names, values) for values in zip(*self._arrays, strict=True))

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            return name in self._names
        do = "look for an event with any(row == x for row in batch)"
        raise refused("in a batch", what(name), "the name of a column", do)

    def _column(self, name: str) -> Array:
        if name not in self._names:
            raise SchemaError(f"batch: {nearest('column', name, self._names)}")
        return self._arrays[self._names.index(name)]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._column(key)
        if isinstance(key, slice):
            return Batch._wrap(self._names, [array[key] for array in self._arrays])
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            n = len(self)
            if not -n <= key < n:
                expected = f"{-n} to {n - 1}" if n else "none, since it is empty"
                raise IndexError(
                    f"position in a batch of {n}: got {key}, expected {expected}; see len(batch)"
                )
            return Row(self._names, tuple(array[key] for array in self._arrays))
        if isinstance(key, list) and key and all(isinstance(name, str) for name in key):
            return self.select(*key)
        if isinstance(key, (list, np.ndarray)) or hasattr(key, "__array__"):
            return self._picked(key)
        raise refused(
            "index of a batch",
            what(key),
            "a name, a list of names, a position, a slice, a mask or an array of positions",
            "write batch['price'], batch[['price', 'qty']] or batch[2:5]",
        )

    def _picked(self, key: Any) -> Batch:
        index = np.asarray(key)
        if index.size == 0 and isinstance(key, (list, tuple)):
            index = index.astype(np.intp)
        if index.dtype.kind not in "bui" or index.ndim != 1:
            raise IndexError(
                f"index of a batch: got {what(index)}, expected a mask or positions, shape (k,); "
                "compare columns for a mask, or cast positions with .astype('int64')"
            )
        if index.dtype.kind == "b":
            if len(index) != len(self):
                raise IndexError(
                    f"mask of a batch: got {len(index)} values, expected {len(self)}, one each; "
                    "make it from columns of this batch"
                )
            index = np.flatnonzero(index)  # once, not once a column
        return Batch._wrap(self._names, [array[index] for array in self._arrays])

    def __setitem__(self, name: str, values: Any) -> None:
        if not isinstance(name, str):
            do = "write batch['price'][2:5] = values"
            raise refused("assignment to a batch", what(name), "the name of a column", do)
        column = self._column(name)
        where, expected = f"assignment to column {name!r}", spell(column.dtype)
        do = f"cast it yourself with .astype({expected!r})"
        if not column.flags.writeable:
            raise ValueError(  # what NumPy raises for a read-only array
                f"{where}: got a read-only column, expected one that you claimed or made; "
                "take a copy of it, or use with_columns"
            )
        if column.dtype.kind in "SU":
            values = np.asarray(values)
            fits = values.dtype.itemsize <= column.dtype.itemsize
            if values.dtype.kind != column.dtype.kind or not fits:
                raise refused(where, what(values), f"at most {expected}, or text would be cut", do)
        try:
            # `column[:] = values` would make 1 of 1.7 in silence.
            np.copyto(column, values, casting="same_kind")
        except TypeError as error:
            raise refused(where, what(values), expected, do) from error

    def take(self, indices: Any) -> Batch:
        """Take events by position, copied.

        Parameters
        ----------
        indices : array_like of int, shape (k,)
            Positions; negative ones count from the end.

        Returns
        -------
        Batch
            Of `k` events.

        Raises
        ------
        IndexError
            If a position is outside, or they are no integers.
        """
        if np.asarray(indices).dtype.kind == "b":
            raise IndexError("take: got a mask, expected positions; a mask goes in batch[mask]")
        return self._picked(indices)

    def select(self, *names: str) -> Batch:
        """Keep some columns, in the order given; nothing is copied.

        Parameters
        ----------
        *names : str
            At least one, each once.

        Returns
        -------
        Batch
            Shares the columns.

        Raises
        ------
        SchemaError
            If a column is unknown or named twice, or none is named.
        """
        if not names or len(set(names)) != len(names):
            got = ", ".join(map(repr, names)) or "no columns"
            raise refused("select", got, "one column or more, each once", "name each once")
        return Batch._wrap(names, [self._column(name) for name in names])

    def with_columns(self, /, **columns: Any) -> Batch:
        """Make a batch with some columns replaced, and new ones behind the others.

        Parameters
        ----------
        **columns : array_like
            Columns by name, of as many events as this batch has.

        Returns
        -------
        Batch
            Shares the columns that stay.

        Raises
        ------
        SchemaError
            As for `Batch`.

        Examples
        --------
        >>> Batch(qty=[1, 2]).with_columns(price=np.array([0.5, 1.5]))[0]
        Row(qty=1, price=0.5)
        """
        mine = dict(zip(self._names, self._arrays, strict=True))
        return batch_of({**mine, **columns}, "with_columns")

    def _packed(self, dtype: DType) -> Array:
        # Zeroed: bytes between the fields of an aligned struct would show what was there before.
        packed: Array = np.zeros(len(self), dtype)
        for name, array in zip(self._names, self._arrays, strict=True):
            packed[name] = array
        return packed

    def to_numpy(self) -> Array:
        """Copy the events into a structured array.

        Returns
        -------
        ndarray of `dtype`, shape (n,)
            Packed: nothing lies between the fields.  ``np.asarray(batch, dtype=...)`` makes other
            layouts, by name, with the padding zeroed.
        """
        return self._packed(self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(
                "a batch as an array: got copy=False, expected a copy, for its columns lie apart; "
                "take one column, batch['price'], or leave copy out"
            )
        if dtype is None:
            return self.to_numpy()
        wanted = np.dtype(dtype)
        if wanted.names is not None and set(wanted.names) == set(self._names):
            return self._packed(wanted)  # by name: NumPy's own cast of structs goes by position
        return self.to_numpy().astype(wanted)

    def equals(self, other: Batch, equal_nan: bool = False) -> bool:
        """Tell whether another batch has the same columns and the same events.

        Parameters
        ----------
        other : Batch
            The other one.
        equal_nan : bool, default False
            Take NaN and NaT for equal to themselves, as NumPy's ``array_equal`` does.

        Returns
        -------
        bool
            False if names, their order, dtypes, lengths or any value differ.
        """
        if not isinstance(other, Batch) or self._names != other._names:
            return False
        return all(
            mine.dtype == theirs.dtype
            and np.array_equal(mine, theirs, equal_nan=equal_nan and mine.dtype.kind in "fcmM")
            for mine, theirs in zip(self._arrays, other._arrays, strict=True)
        )

    def __eq__(self, other: object) -> bool:
        return self.equals(other) if isinstance(other, Batch) else NotImplemented

    def __repr__(self) -> str:
        n, arrays = len(self), self._arrays[:SHOWN_COLUMNS]
        lines = [["", *map(label, self._names[:SHOWN_COLUMNS])]]
        for at in range(n) if n <= 6 else (0, 1, 2, n - 2, n - 1):
            lines.append([str(at), *(_shown(array[at]) for array in arrays)])
        if n > 6:
            lines.insert(4, ["", *("..." for _ in arrays)])
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = f"Batch of {n:,} event{'' if n == 1 else 's'} {spell(self.dtype)}"
        for line in lines if n else ():
            cells = zip(line, widths, strict=True)
            text += "\n" + "  ".join(cell.rjust(width) for cell, width in cells)
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return Batch._wrap, (self._names, list(self._arrays))
