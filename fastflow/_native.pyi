from collections.abc import Sized
from typing import Any, Self, SupportsComplex, SupportsFloat, SupportsIndex, final

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

__all__ = [
    "CountKernel",
    "ExtremeKernel",
    "FoldKernel",
    "Kernel",
    "MaxKernel",
    "MinKernel",
    "RangeKernel",
    "SumKernel",
    "fill_range",
    "machine_level",
    "use_level",
]

_Number = SupportsIndex | SupportsFloat | SupportsComplex
_Real = SupportsIndex | SupportsFloat

def machine_level() -> int: ...
def use_level(wanted: int) -> int: ...
def fill_range(out: npt.NDArray[Any], start: _Number, step: _Number = 1) -> None: ...

@disjoint_base
class Kernel:
    @property
    def dtype(self) -> np.dtype[Any] | None: ...
    @property
    def state_bytes(self) -> int: ...
    def snapshot(self) -> bytes: ...
    def restore(self, snapshot: bytes) -> None: ...

class FoldKernel(Kernel):
    def consume(self, events: npt.NDArray[Any] | Sized) -> None: ...

class ExtremeKernel(FoldKernel):
    def __new__(cls, dtype: npt.DTypeLike = "int64") -> Self: ...
    def result(self) -> bool | int | float | complex | np.generic | None: ...

@final
class RangeKernel(Kernel):
    def __new__(
        cls,
        start: _Real,
        stop: _Real | None,
        step: _Real = 1,
        dtype: npt.DTypeLike = "int64",
    ) -> Self: ...
    def fill(self, out: npt.NDArray[Any]) -> int: ...
    def remaining(self) -> int: ...

@final
class SumKernel(FoldKernel):
    def __new__(cls, dtype: npt.DTypeLike = "int64") -> Self: ...
    def result(self) -> int | float | complex | np.longdouble | np.clongdouble: ...

@final
class CountKernel(FoldKernel):
    def result(self) -> int: ...

@final
class MinKernel(ExtremeKernel): ...

@final
class MaxKernel(ExtremeKernel): ...
