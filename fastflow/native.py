"""Ready-made stages that run native, without the GIL.

    Range ──▶ ... ──▶ Sum, Count, Min, Max

    total = ff.run(ff.Range(1_000_000_000), ff.Sum())

Their loops are in `fastflow._native`; here are the stages around them.  A run of native stages goes through its batch
1,024 events at a time, which stay in the nearest cache.  What is between two of them in Python costs what Python costs.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any, SupportsFloat, SupportsIndex

from fastflow._native import CountKernel, Kernel, MaxKernel, MinKernel, RangeKernel, SumKernel
from fastflow.errors import SchemaError
from fastflow.schema import Schema
from fastflow.stage import Consumer, Producer

__all__ = ["Count", "Max", "Min", "Range", "Sum"]

_Real = SupportsIndex | SupportsFloat


class Range(Producer):
    """Numbers from `start` up to, not including, `stop`; native.

    Parameters
    ----------
    start, stop, step : int or float
        As in `range`: one argument is `stop`.  ``Range(5, None)`` goes on to the last value of the dtype.
    dtype : dtype-like, default "int64"
        Any of numbers; floats are ``start + i * step``, so they do not drift.

    Examples
    --------
    >>> import fastflow as ff
    >>> ff.run(ff.Range(2, 11, 3), ff.Collect())
    array([2, 5, 8])
    """

    def __init__(
        self, start: _Real, stop: _Real | EllipsisType | None = ..., step: _Real = 1, *, dtype: Any = "int64"
    ) -> None:
        if stop is ...:
            if start is None:
                raise TypeError(
                    "stop of a Range: got None alone, expected a number; write ff.Range(0, None) for one without an end"
                )
            start, stop = 0, start
        self._bounds = (start, stop, step, dtype)
        self._kernel = RangeKernel(start, stop, step, dtype)
        self.dtype = self._kernel.dtype

    def make_kernel(self, schema: Schema | None) -> Kernel:
        """Native loop and its state."""
        return self._kernel


_FoldKernel = SumKernel | CountKernel | MinKernel | MaxKernel


class _Fold(Consumer):
    """A native consumer: all events, folded into one value."""

    _kernel: _FoldKernel | None = None

    def make_kernel(self, schema: Schema | None) -> Kernel:
        """Native loop and its state, for events of the schema."""
        if schema is None or schema.kind != "plain" or schema.shapes[0]:
            got = "none" if schema is None else schema.describe()
            columns = schema is not None and schema.kind == "columns"
            do = "take one column, with lambda batch: batch['price'], say" if columns else "give arrays of numbers"
            raise SchemaError(f"{type(self).__name__}: got events of {got}, expected plain numbers; {do}")
        self._kernel = self.kernel_of(schema.columns[0])
        return self._kernel

    def kernel_of(self, dtype: Any) -> _FoldKernel:
        """Which kernel it is."""
        return SumKernel(dtype)


class Sum(_Fold):
    """The sum of all events; native.

    Integers are added in 128 bits, so neither batch size nor order decides; only a total that does not fit 64 bits
    raises an OverflowError, at the end.  Floats are summed with compensation, equal to the last bit for every batch
    size and on every machine.  The sum of nothing is 0.
    """

    def result(self) -> Any:
        """Return the sum: an int, a float, a complex, or a longdouble."""
        return 0 if self._kernel is None else self._kernel.result()


class Count(_Fold):
    """The number of events, of any schema; native."""

    _kernel: CountKernel | None = None

    def make_kernel(self, schema: Schema | None) -> Kernel:
        """Native loop and its state; it never looks at an event."""
        if self._kernel is None:
            self._kernel = CountKernel()
        return self._kernel

    def result(self) -> int:
        """Return the number of events."""
        return 0 if self._kernel is None else self._kernel.result()


class Min(_Fold):
    """The least event; native.  A NaN (or NaT) wins, as in NumPy; None when there was none."""

    def kernel_of(self, dtype: Any) -> _FoldKernel:
        """Which kernel it is."""
        return MinKernel(dtype)

    def result(self) -> Any:
        """Return the least event, or None."""
        return None if self._kernel is None else self._kernel.result()


class Max(Min):
    """The greatest event; native.  A NaN (or NaT) wins, as in NumPy; None when there was none."""

    def kernel_of(self, dtype: Any) -> _FoldKernel:
        """Which kernel it is."""
        return MaxKernel(dtype)
