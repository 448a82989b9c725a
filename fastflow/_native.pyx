# cython: language_level=3, binding=True, embedsignature=True
"""Native stages: kernels that the turn loop runs without the GIL, and `fill_range`.

    RangeKernel ──fill──▶ events in a ring ──consume──▶ SumKernel, CountKernel, MinKernel, ...

A kernel is a C struct of function pointers and a state (``_kernels.h``, ``_native.pxd``).  The
ready-made stages `Range`, `Sum`, `Count`, `Min` and `Max` each own one.  A pipeline by hand:

>>> import numpy as np
>>> source, sink = RangeKernel(0, 10, 1, "int64"), SumKernel("int64")
>>> block = np.empty(4, "int64")
>>> while n := source.fill(block):
...     sink.consume(block[:n])
>>> sink.result()
45

Results depend on the events and their order alone, never on how they were cut into batches nor on
the machine:

- integers are summed in 128 bits; a total that does not fit 64 is an error, only in `result`;
- floats are summed with compensation in 16 lanes, event number i in lane i mod 16, and the lanes
  are added in their order; float16 and float32 are summed in double precision;
- a float range is ``start + i * step`` with i counted, so it does not drift;
- Min and Max take -0.0 as less than 0.0, and a NaN (or NaT) wins, as in NumPy.

A kernel serves one stage: nothing here locks, and two threads must not use one kernel at once.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.float cimport PyFloat_AsDouble
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.math cimport isfinite
from libc.stdint cimport INT64_MAX, int64_t, uint64_t, uintptr_t
from libc.string cimport memcpy
from numpy cimport PyArray_Check, PyArray_DATA, PyArray_DIM, PyArray_IS_C_CONTIGUOUS
from numpy cimport PyArray_ISNOTSWAPPED, PyArray_ISWRITEABLE, PyArray_ITEMSIZE, PyArray_NDIM
from numpy cimport PyArray_TYPE, import_array, ndarray

from fastflow._kernels cimport FF_BOOL, FF_I8, FF_I64, FF_U8, FF_U64, FF_F16, FF_F32, FF_F64
from fastflow._kernels cimport FF_FLONG, FF_C64, FF_C128, FF_CLONG, FF_TIME
from fastflow._kernels cimport ff_check_float, ff_check_long, ff_count, ff_extreme, ff_from_key
from fastflow._kernels cimport ff_lanes, ff_lanes_long, ff_lanes_long_result, ff_lanes_total
from fastflow._kernels cimport ff_machine_level, ff_max_of, ff_min_of, ff_range_fits, ff_range_float
from fastflow._kernels cimport ff_range_int, ff_range_long, ff_range_of, ff_remaining_float
from fastflow._kernels cimport ff_remaining_int, ff_remaining_long, ff_sum_of, ff_total

from numbers import Complex, Real
from operator import index

import numpy as np

from fastflow.errors import SchemaError

import_array()

__all__ = ["CountKernel", "ExtremeKernel", "FoldKernel", "Kernel", "MaxKernel", "MinKernel",
           "RangeKernel", "SumKernel", "fill_range", "machine_level", "use_level"]


# -- types --

cdef enum:
    KNOWN_TYPES = 32                    # NumPy's own type numbers below NPY_VSTRING and user types
    RELEASE_BYTES = 1 << 20             # a fill of this takes far longer than giving up the GIL
    HEAD_BYTES = 40

cdef int TYPES[KNOWN_TYPES]             # NumPy's type number to enum ff_type; -1: not a number
cdef int level = ff_machine_level()


cdef int list_types() except -1:
    """Fill TYPES; by size, since C's long is 4 bytes here and 8 there."""
    cdef int i
    for i in range(KNOWN_TYPES):
        TYPES[i] = -1
    for char in "bhilqBHILQ":
        i = FF_I8 if char.islower() else FF_U8
        TYPES[np.dtype(char).num] = i + <int> (np.dtype(char).itemsize.bit_length() - 1)
    named = {"?": FF_BOOL, "e": FF_F16, "f": FF_F32, "d": FF_F64, "g": FF_FLONG, "F": FF_C64,
             "D": FF_C128, "G": FF_CLONG, "M8[s]": FF_TIME, "m8[s]": FF_TIME}
    for char, code in named.items():
        TYPES[np.dtype(char).num] = code
    return 0


list_types()


cdef int type_of(dtype, bint times, str what) except -1:
    """Enum ff_type of a dtype in native byte order, or an error that names `what` asks."""
    cdef int number = dtype.num
    cdef int code = TYPES[number] if 0 <= number < KNOWN_TYPES else -1
    if code < 0 or (code == FF_TIME and not times):
        or_times = ", datetime64 or timedelta64" if times else ""
        raise SchemaError(f"dtype of {what}: got {dtype}, expected a bool, integer, float or "
                          f"complex dtype{or_times}; cast the events, or take one column")
    if not dtype.isnative:
        raise SchemaError(f"dtype of {what}: got {dtype.str!r} in foreign byte order, expected "
                          f"native; cast with .astype({dtype.newbyteorder('=').str!r})")
    return code


def machine_level():
    """Return the fastest level of loops that this machine can run.

    Returns
    -------
    int
        0 plain, 1 AVX2, 2 AVX-512 with VNNI.
    """
    return ff_machine_level()


def use_level(int wanted):
    """Choose the level of loops for `fill_range` and the kernels made from now on; for tests.

    Parameters
    ----------
    wanted : int
        0 to `machine_level`.

    Returns
    -------
    int
        The level until now.
    """
    global level
    cdef int before = level
    if not 0 <= wanted <= ff_machine_level():
        raise ValueError(f"level: got {wanted}, expected 0 to {ff_machine_level()}, what this "
                         "machine can run")
    level = wanted
    return before


# -- fill_range --

def fill_range(out, start, step=1):
    """Fill `out` in place with ``start``, ``start + step``, ``start + 2 * step``, ...

    The stages' ``numpy.arange``, without its allocation: made for arrays from `claim`.

    Parameters
    ----------
    out : ndarray, shape (n,), writable
        Of any bool, integer, float or complex dtype.  Contiguous in native byte order is fast.
    start : int, float or complex
        The first value.  An integer dtype takes only integers.
    step : int, float or complex, default 1
        What each value is more than the one before; 0 and negative are fine.

    Raises
    ------
    OverflowError
        A value does not fit the dtype.  Nothing has been written then.
    SchemaError
        `out` is no array of numbers.
    TypeError
        `start` or `step` is no number that the dtype takes.
    ValueError
        `out` is read-only or not one-dimensional, or `start` or `step` is infinite or NaN.

    Notes
    -----
    Floats are ``start + i * step``, computed in double precision (`longdouble` in its own) and
    rounded once more to the dtype.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.empty(5, "int64")
    >>> fill_range(out, 10, -3)
    >>> out
    array([10,  7,  4,  1, -2])
    """
    cdef ff_range_int integers
    cdef int number, code
    cdef int64_t n
    if not PyArray_Check(out):
        raise SchemaError(f"out of fill_range: got {type(out).__name__}, expected a NumPy array; "
                          "claim one, or allocate it with numpy.empty")
    number = PyArray_TYPE(<ndarray> out)
    code = TYPES[number] if 0 <= number < KNOWN_TYPES else -1
    if PyArray_NDIM(<ndarray> out) != 1:
        raise ValueError(f"out of fill_range: got shape {out.shape}, expected one dimension; "
                         "use out.reshape(-1)")
    if not PyArray_ISWRITEABLE(<ndarray> out):
        raise ValueError("out of fill_range: got a read-only array, expected a writable one; "
                         "claim one: events that were handed to you can't be changed")
    if code < 0 or code == FF_TIME:
        raise SchemaError(f"out of fill_range: got dtype {out.dtype}, expected bool, integers, "
                          "floats or complex; fill the columns of a structured array one by one")
    n = PyArray_DIM(<ndarray> out, 0)
    if n == 0:
        return
    if not (PyArray_IS_C_CONTIGUOUS(<ndarray> out) and PyArray_ISNOTSWAPPED(<ndarray> out)):
        spare = np.empty(n, out.dtype.newbyteorder("="))
        fill_range(spare, start, step)
        out[:] = spare
        return
    if code > FF_U64:
        fill_floats(<ndarray> out, code, n, start, step)
        return
    if not (PyLong_CheckExact(start) and PyLong_CheckExact(step)
            and small_range(&integers, code, n, start, step)):
        large_range(&integers, code, n, start, step, "fill_range", out.dtype)
    integers.left = n
    write(<ndarray> out, code, &integers, n)


cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1


cdef inline bint small_range(ff_range_int *integers, int code, int64_t n, start, step) except -1:
    """Set the range from plain ints if all of it fits int64 and the dtype; False: look closer."""
    cdef int over = 0, over_step = 0
    cdef int64_t first = PyLong_AsLongLongAndOverflow(start, &over)
    cdef int64_t by = PyLong_AsLongLongAndOverflow(step, &over_step)
    if over or over_step or not ff_range_fits(code, first, by, n):
        return False
    integers.next, integers.step = <uint64_t> first, <uint64_t> by
    return True


cdef int large_range(
        ff_range_int *integers, int code, int64_t n, start, step, str what, dtype) except -1:
    """The same with Python's integers: uint64 beyond int64, NumPy's scalars, and the errors."""
    first, by = whole(start, f"start of {what}", dtype), whole(step, f"step of {what}", dtype)
    low, high = limits(code, dtype)
    last = first + (n - 1) * by
    if not (low <= first <= high and low <= last <= high):
        raise OverflowError(f"{what}: got {n} values from {first} to {last}, expected {low} to "
                            f"{high}, the limits of {dtype}; take a wider dtype")
    integers.next, integers.step = first & 0xffffffffffffffff, by & 0xffffffffffffffff
    return 0


cdef whole(value, str what, dtype):
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{what}: got {value!r}, expected an integer, since the dtype is {dtype}; "
                        "take a float dtype, or int(...)") from None


cdef double real(value, str what) except? -1.0:
    """A finite number."""
    cdef double result
    try:
        result = PyFloat_AsDouble(value)
    except TypeError:
        raise TypeError(f"{what}: got {value!r}, expected a real number") from None
    if not isfinite(result):
        raise ValueError(f"{what}: got {value!r}, expected a finite number")
    return result


cdef limits(int code, dtype):
    info = None if code == FF_BOOL else np.iinfo(dtype)
    return (0, 1) if info is None else (int(info.min), int(info.max))


cdef int fill_floats(ndarray out, int code, int64_t n, start, step) except -1:
    cdef ff_range_float floats
    cdef ff_range_long longs
    cdef ndarray pair
    cdef complex number
    if code == FF_FLONG:
        start = as_longdouble(start, "start of fill_range")
        step = as_longdouble(step, "step of fill_range")
    elif code == FF_CLONG and not (isinstance(start, Complex) and isinstance(step, Complex)):
        raise TypeError(f"start, step of fill_range: got {start!r}, {step!r}, expected numbers")
    if code == FF_FLONG or code == FF_CLONG:
        pair = np.array([start, step], dtype=out.dtype)
        read_long(pair, code, &longs)
        longs.i, longs.left = 0, n
        check_floats(ff_check_long(&longs, n), n, start, step, "fill_range", out)
        write(out, code, &longs, n)
        return 0
    if code == FF_C64 or code == FF_C128:
        try:
            number = start
            floats.start[0], floats.start[1] = number.real, number.imag
            number = step
            floats.step[0], floats.step[1] = number.real, number.imag
        except TypeError:
            raise TypeError(f"start, step of fill_range: got {start!r}, {step!r}, expected "
                            "numbers") from None
    else:
        floats.start[0] = real(start, "start of fill_range")
        floats.step[0] = real(step, "step of fill_range")
        floats.start[1] = floats.step[1] = 0.0
    floats.i, floats.left = 0, n
    check_floats(ff_check_float(&floats, code, n), n, start, step, "fill_range", out)
    write(out, code, &floats, n)
    return 0


cdef int read_long(ndarray pair, int code, ff_range_long *longs) except -1:
    """Take start and step from an array of two long doubles, or of two complex ones."""
    cdef const long double *values = <const long double *> PyArray_DATA(pair)
    cdef int parts = 2 if code == FF_CLONG else 1
    longs.start[0], longs.step[0] = values[0], values[parts]
    longs.start[1] = values[1] if parts == 2 else 0
    longs.step[1] = values[3] if parts == 2 else 0
    return 0


cdef inline int check_floats(int verdict, int64_t n, start, step, str what, of) except -1:
    """Raise what ff_check_float or ff_check_long found; `of` has the dtype."""
    if verdict == 1:
        raise ValueError(f"start, step of {what}: got {start!r}, {step!r}, expected finite numbers")
    if verdict == 2:
        raise OverflowError(f"{what}: got {n} values from {start!r} by {step!r}, expected all "
                            f"within +-{np.finfo(of.dtype).max}, the limits of {of.dtype}; take a "
                            "wider dtype")
    return 0


cdef inline int write(ndarray out, int code, void *state, int64_t n) except -1:
    cdef char *data = <char *> PyArray_DATA(out)
    if n * PyArray_ITEMSIZE(out) < RELEASE_BYTES:
        fill_now(code, state, data, n)
    else:
        with nogil:
            fill_now(code, state, data, n)
    return 0


# -- kernels --

cdef class Kernel:
    """Base of the kernels: loops in C, and the state that they work on.

    Attributes
    ----------
    dtype : numpy.dtype or None
        What one event is; None for any.
    state_bytes : int
    """

    cdef int hold(self, Py_ssize_t state_bytes) except -1:
        """Allocate the state, all zero, on a cache line of its own."""
        self.memory = <char *> PyMem_RawCalloc(1, state_bytes + 64)
        if self.memory == NULL:
            raise MemoryError(f"{type(self).__name__}: no memory for {state_bytes} bytes of state")
        self.state = <void *> ((<uintptr_t> self.memory + 63) & ~<uintptr_t> 63)
        self.state_bytes = state_bytes
        self.kernel = &self.loops
        name = f"{type(self).__name__} {'any' if self.dtype is None else self.dtype.str}"
        self.tag = name.encode("ascii").ljust(HEAD_BYTES, b"\0")
        return 0

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    def __repr__(self):
        return f"<{type(self).__name__} of {'any events' if self.dtype is None else self.dtype}>"

    def snapshot(self):
        """Return the whole state.

        Returns
        -------
        bytes
            For `restore` of a kernel of the same class and dtype, on the same kind of machine.
        """
        return self.tag + PyBytes_FromStringAndSize(<char *> self.state, self.state_bytes)

    def restore(self, bytes snapshot not None):
        """Set the state to that of a snapshot.

        Parameters
        ----------
        snapshot : bytes
            From `snapshot` of a kernel of the same class and dtype.

        Raises
        ------
        ValueError
            It is of another kind of kernel, or damaged; then the state is as it was.
        """
        if len(snapshot) != HEAD_BYTES + self.state_bytes or not snapshot.startswith(self.tag):
            head = snapshot[:HEAD_BYTES].rstrip(b"\0")
            raise ValueError(f"snapshot for {self!r}: got {len(snapshot)} bytes that begin with "
                             f"{head!r}, expected {HEAD_BYTES + self.state_bytes} that begin with "
                             f"{self.tag.rstrip(bytes(1))!r}; restore a kernel of the class and "
                             "dtype that made it")
        self.check(PyBytes_AS_STRING(snapshot) + HEAD_BYTES)
        memcpy(self.state, PyBytes_AS_STRING(snapshot) + HEAD_BYTES, self.state_bytes)

    cdef int check(self, const char *state) except -1:
        """Look for what no kernel of this class can have left; its kind and size are right."""
        return 0


cdef class FoldKernel(Kernel):
    """Base of the kernels that consume: all events folded into one result."""

    def consume(self, events):
        """Take in a batch.

        Parameters
        ----------
        events : ndarray, shape (n,), contiguous
            Of the kernel's dtype, aligned or not.  A kernel of any events needs only their number:
            whatever has a length will do.

        Raises
        ------
        SchemaError
            The events are of another dtype.
        ValueError
            The array is not one-dimensional or not contiguous.
        """
        cdef int64_t n
        cdef const char *data = NULL
        if self.dtype is None:
            n = len(events)
        else:
            n = check_array(events, self.dtype, "events", False)
            data = <const char *> PyArray_DATA(<ndarray> events)
        if self.kernel == NULL or self.kernel.consume == NULL:
            raise TypeError(f"{type(self).__name__} is only a base; make a SumKernel, say")
        if n > 0:
            with nogil:
                consume_now(self.kernel, self.state, data, n)


cdef int64_t check_array(array, dtype, str what, bint writable) except -1:
    if not PyArray_Check(array):
        raise SchemaError(f"{what}: got {type(array).__name__}, expected a NumPy array of {dtype}")
    if array.dtype != dtype:
        raise SchemaError(f"{what}: got dtype {array.dtype}, expected {dtype}; "
                          f"cast with .astype({dtype.str!r})")
    if PyArray_NDIM(<ndarray> array) != 1 or not PyArray_IS_C_CONTIGUOUS(<ndarray> array):
        raise ValueError(f"{what}: got shape {array.shape} with strides {array.strides}, expected "
                         "one dimension, contiguous; use numpy.ascontiguousarray(...).reshape(-1)")
    if writable and not PyArray_ISWRITEABLE(<ndarray> array):
        raise ValueError(f"{what}: got a read-only array, expected a writable one")
    return PyArray_DIM(<ndarray> array, 0)


@cython.final
cdef class RangeKernel(Kernel):
    """Numbers from `start` up to, not including, `stop`.

    Parameters
    ----------
    start : int or float
        The first value; an integer dtype takes only integers.
    stop : int, float or None
        Where to end.  None: go on to the last value of an integer dtype, and for ever in floats.
    step : int or float, default 1
        What each value is more than the one before.  Negative counts down.
    dtype : dtype, default "int64"
        Any of bool, integers, floats and complex (with imaginary part 0).

    Raises
    ------
    OverflowError
        A value does not fit the dtype, or there are more than 2**63 - 1 of them.
    SchemaError
        The dtype is not one of numbers.
    TypeError
        An argument is no number that the dtype takes.
    ValueError
        The step is 0, or an argument is infinite or NaN.

    Notes
    -----
    Floats are ``start + i * step`` for all i where that is less than `stop` (more, for a negative
    step), in double precision (`longdouble` in its own), then rounded to the dtype.  Before that
    rounding `stop` itself never comes, unlike in ``numpy.arange``.

    Examples
    --------
    >>> import numpy as np
    >>> source = RangeKernel(5, 0, -2, "float32")
    >>> out = np.empty(4, "float32")
    >>> source.fill(out)
    3
    >>> out[:3]
    array([5., 3., 1.], dtype=float32)
    """

    def __cinit__(self, start, stop, step=1, dtype="int64"):
        self.dtype = np.dtype(dtype)
        self.type = type_of(self.dtype, False, "Range")
        if step == 0:
            raise ValueError(f"step of Range: got {step!r}, expected any but 0; leave it out for 1")
        if self.type <= FF_U64:
            self.hold(sizeof(ff_range_int))
            self.loops.remaining = ff_remaining_int
            self.hold_integers(start, stop, step)
        elif self.type == FF_FLONG or self.type == FF_CLONG:
            self.hold(sizeof(ff_range_long))
            self.loops.remaining = ff_remaining_long
            self.hold_long(start, stop, step)
        else:
            self.hold(sizeof(ff_range_float))
            self.loops.remaining = ff_remaining_float
            self.hold_floats(start, stop, step)
        self.loops.fill = ff_range_of(self.type, level)

    cdef int hold_integers(self, start, stop, step) except -1:
        cdef ff_range_int *integers = <ff_range_int *> self.state
        first = whole(start, "start of Range", self.dtype)
        by = whole(step, "step of Range", self.dtype)
        low, high = limits(self.type, self.dtype)
        if stop is None:
            room = high - first if by > 0 else first - low
            n = min(max(room // abs(by), 0) + 1, INT64_MAX)     # start too is looked at below
        else:
            n = count_whole(first, whole(stop, "stop of Range", self.dtype), by)
        if n > 0:
            large_range(integers, self.type, n, first, by, "Range", self.dtype)
        integers.left = n
        return 0

    cdef int hold_floats(self, start, stop, step) except -1:
        cdef ff_range_float *floats = <ff_range_float *> self.state
        first, by = real(start, "start of Range"), real(step, "step of Range")
        floats.start[0], floats.step[0] = first, by
        floats.left = INT64_MAX
        if stop is not None:
            floats.left = count_real(first, real(stop, "stop of Range"), by)
        if floats.left > 0:
            n = 1 if stop is None else floats.left
            check_floats(ff_check_float(floats, self.type, n), n, start, step, "Range", self)
        return 0

    cdef int hold_long(self, start, stop, step) except -1:
        cdef ff_range_long *longs = <ff_range_long *> self.state
        values = [as_longdouble(start, "start of Range"), as_longdouble(step, "step of Range")]
        read_long(np.array(values, dtype=self.dtype), self.type, longs)
        longs.left = INT64_MAX
        if stop is not None:
            longs.left = count_real(values[0], as_longdouble(stop, "stop of Range"), values[1])
        if longs.left > 0:
            n = 1 if stop is None else longs.left
            check_floats(ff_check_long(longs, n), n, start, step, "Range", self)
        return 0

    def fill(self, out):
        """Write the next values into `out`.

        Parameters
        ----------
        out : ndarray, shape (n,), contiguous, writable
            Of the kernel's dtype, aligned or not.

        Returns
        -------
        int
            Values written, from index 0; fewer than n: the end is reached.

        Raises
        ------
        SchemaError
            `out` is of another dtype.
        ValueError
            `out` is read-only, not one-dimensional or not contiguous.
        """
        cdef int64_t n = check_array(out, self.dtype, "out", True)
        cdef char *data = <char *> PyArray_DATA(<ndarray> out)
        with nogil:
            n = produce_now(self.kernel, self.state, data, n)
        return n

    def remaining(self):
        """Return the number of values still to come.

        Returns
        -------
        int
            2**63 - 1 when there is no end.
        """
        return self.kernel.remaining(self.state)

    cdef int check(self, const char *state) except -1:
        cdef ff_range_int integers
        cdef ff_range_float floats
        cdef ff_range_long longs
        cdef int64_t left, i = 0
        if self.type <= FF_U64:                             # copied: bytes are aligned for nothing
            memcpy(&integers, state, sizeof(integers))
            left = integers.left
        elif self.type == FF_FLONG or self.type == FF_CLONG:
            memcpy(&longs, state, sizeof(longs))
            left, i = longs.left, longs.i
        else:
            memcpy(&floats, state, sizeof(floats))
            left, i = floats.left, floats.i
        if left < 0 or i < 0:
            raise ValueError(f"snapshot for {self!r}: got {left} values to come after {i}, "
                             "expected none below 0; it is damaged")
        return 0


cdef as_longdouble(value, str what):
    if not isinstance(value, (Real, np.bool_)):             # NumPy would read text as a number
        raise TypeError(f"{what}: got {value!r}, expected a real number")
    result = np.longdouble(value)
    if not np.isfinite(result):
        raise ValueError(f"{what}: got {value!r}, expected a finite number")
    return result


cdef count_whole(start, stop, step):
    n = max(0, -((start - stop) // step))
    if n > INT64_MAX:
        raise OverflowError(f"Range: got {n} values, expected at most 2**63 - 1, what a stream can "
                            "count; take a larger step")
    return n


cdef int64_t count_real(start, stop, step) except -1:
    """Number of i from 0 with start + i * step short of stop, as the loop will compute it."""
    cdef int64_t low = 0, high, middle
    number = type(start)
    ratios = [value.as_integer_ratio() for value in (start, stop, step)]
    scale = ratios[0][1] * ratios[1][1] * ratios[2][1]
    first, end, by = [above * (scale // below) for above, below in ratios]
    high = count_whole(first, end, by)
    # The exact count is right up to rounding: a value just short of stop may be rounded to stop.
    # Rounded values never go back, so the first that has arrived is found by halving.
    while low < high:
        middle = low + (high - low) // 2
        value = start + number(middle) * step
        if (value < stop) if step > 0 else (value > stop):
            low = middle + 1
        else:
            high = middle
    return low


@cython.final
cdef class SumKernel(FoldKernel):
    """The sum of all events: integers exactly, floats with compensation.

    Parameters
    ----------
    dtype : dtype, default "int64"
        Any of bool, integers, floats and complex.
    """

    def __cinit__(self, dtype="int64"):
        self.dtype = np.dtype(dtype)
        self.type = type_of(self.dtype, False, "Sum")
        if self.type <= FF_U64:
            self.hold(sizeof(ff_total))
        elif self.type == FF_FLONG or self.type == FF_CLONG:
            self.hold(sizeof(ff_lanes_long))
        else:
            self.hold(sizeof(ff_lanes))
        self.loops.consume = ff_sum_of(self.type, level)

    def result(self):
        """Return the sum so far; of nothing it is 0.

        Returns
        -------
        int, float, complex, numpy.longdouble or numpy.clongdouble
            The last two for `longdouble` and `clongdouble`.

        Raises
        ------
        OverflowError
            A total of integers does not fit int64 (of unsigned ones: uint64).  It may pass these
            limits on the way.

        Notes
        -----
        The error of a float sum is about one rounding of the result, plus the square of the epsilon
        times the number of events times the sum of the magnitudes.  Infinities and NaN act as in
        NumPy.  A lane whose own sum leaves the range of double stays infinite.
        """
        cdef ff_total *total = <ff_total *> self.state
        cdef ff_lanes *lanes = <ff_lanes *> self.state
        cdef ndarray longs
        if self.type <= FF_U64:
            exact = (<object> total.high << 64) + total.low
            low, high = (0, 2**64 - 1) if FF_U8 <= self.type <= FF_U64 else (-2**63, 2**63 - 1)
            if not low <= exact <= high:
                raise OverflowError(f"sum of {self.dtype} events: got {exact}, expected {low} to "
                                    f"{high}; convert the events to float64, or sum in parts")
            return exact
        if self.type == FF_FLONG or self.type == FF_CLONG:
            longs = np.zeros(1, self.dtype)
            ff_lanes_long_result(<ff_lanes_long *> self.state, 2 if self.type == FF_CLONG else 1,
                                 <long double *> PyArray_DATA(longs))
            return longs[0]
        if self.type == FF_C64 or self.type == FF_C128:
            return complex(ff_lanes_total(lanes.sum, lanes.rest, 0, 2),
                           ff_lanes_total(lanes.sum, lanes.rest, 1, 2))
        return ff_lanes_total(lanes.sum, lanes.rest, 0, 1)


@cython.final
cdef class CountKernel(FoldKernel):
    """The number of events, of any schema: it never looks at one."""

    def __cinit__(self):
        self.type = -1
        self.hold(sizeof(int64_t))
        self.loops.consume = ff_count

    def result(self):
        """Return the number of events so far.

        Returns
        -------
        int
        """
        return (<int64_t *> self.state)[0]


cdef class ExtremeKernel(FoldKernel):
    """Base of `MinKernel` and `MaxKernel`.

    Parameters
    ----------
    dtype : dtype, default "int64"
        Any of bool, integers, floats, complex, datetime64 and timedelta64.

    Notes
    -----
    A NaN or NaT wins, as in NumPy; -0.0 is less than 0.0; complex numbers compare by their real
    parts, then by their imaginary ones.
    """

    def __cinit__(self, dtype="int64"):
        self.dtype = np.dtype(dtype)
        self.type = type_of(self.dtype, True, "Min and Max")
        self.hold(sizeof(ff_extreme))

    def result(self):
        """Return the least, or greatest, event so far.

        Returns
        -------
        bool, int, float, complex, numpy scalar or None
            None: there was no event.  NumPy's scalar for `longdouble`, `clongdouble` and times.
        """
        cdef ff_extreme *extreme = <ff_extreme *> self.state
        cdef int code = self.type
        cdef int64_t time
        cdef ndarray longs
        if not extreme.any:
            return None
        if code == FF_BOOL:
            return extreme.u != 0
        if code <= FF_U64:
            return extreme.i if code <= FF_I64 else extreme.u
        if code == FF_TIME:                                 # Max keeps the time less one
            time = <int64_t> (<uint64_t> extreme.i + isinstance(self, MaxKernel))
            return np.array([time], "int64").view(self.dtype)[0]
        if code == FF_C64 or code == FF_C128:
            return complex(extreme.d[0], extreme.d[1])
        if code == FF_FLONG or code == FF_CLONG:
            longs = np.full(1, np.nan, self.dtype)
            if code == FF_CLONG or not extreme.nan:
                memcpy(PyArray_DATA(longs), extreme.g, PyArray_ITEMSIZE(longs))
            return longs[0]
        return float("nan") if extreme.nan else ff_from_key(code, extreme.i)


@cython.final
cdef class MinKernel(ExtremeKernel):
    """The least event; see `ExtremeKernel`."""

    def __cinit__(self, dtype="int64"):
        self.loops.consume = ff_min_of(self.type, level)


@cython.final
cdef class MaxKernel(ExtremeKernel):
    """The greatest event; see `ExtremeKernel`."""

    def __cinit__(self, dtype="int64"):
        self.loops.consume = ff_max_of(self.type, level)


# -- hot path: no Python object is touched from here on --

cdef void fill_now(int code, void *state, char *out, int64_t n) noexcept nogil:
    ff_range_of(code, level)(state, out, n)


cdef int64_t produce_now(ff_kernel *kernel, void *state, char *out, int64_t n) noexcept nogil:
    return kernel.fill(state, out, n)


cdef void consume_now(ff_kernel *kernel, void *state, const char *events, int64_t n) noexcept nogil:
    kernel.consume(state, events, n)
