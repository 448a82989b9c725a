"""Events of every dtype at every address, and every level of loops, for the native stages."""

import math

import numpy as np
from hypothesis import strategies as st

from fastflow import _native

LEVELS = range(_native.machine_level() + 1)
SIGNED = ["int8", "int16", "int32", "int64"]
UNSIGNED = ["uint8", "uint16", "uint32", "uint64"]
INTEGERS = [*SIGNED, *UNSIGNED]
FLOATS = ["float16", "float32", "float64", "longdouble"]
COMPLEX = ["complex64", "complex128", "clongdouble"]
NUMBERS = ["bool", *INTEGERS, *FLOATS, *COMPLEX]

INF, NAN = math.inf, math.nan


def each_level(request):
    """Each level of loops in turn."""
    before = _native.use_level(request.param)
    yield request.param
    _native.use_level(before)


def unaligned(events, offset=1):
    """The same events, `offset` bytes off every boundary."""
    memory = np.empty(events.nbytes + 64, "uint8")
    start = -memory.ctypes.data % 64 + offset
    shifted = memory[start : start + events.nbytes].view(events.dtype)
    shifted[:] = events
    return shifted


cuts = st.lists(st.integers(1, 80), min_size=1, max_size=12)


def readonly(dtype):
    array = np.zeros(3, dtype)
    array.flags.writeable = False
    return array
