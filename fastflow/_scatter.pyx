# cython: language_level=3, binding=True, embedsignature=True
"""Partitions: which events go where by a stable hash, and the copying there.

    events ──hash_events──▶ hashes ──partition_ids──▶ ids ──scatter──▶ the events of each partition, in their order

The hash depends on values alone: the same in every process and on every machine, whatever the width of the dtype; so
int32 5, uint8 5 and the Python int 5 are in one partition, and so are ``"a"`` and ``np.str_("a")``.  ``_scatter.h`` has
the rules with all constants, and the loops.

>>> import numpy as np
>>> ids, counts = partition_ids(np.arange(8), 2)
>>> ids.tolist(), counts.tolist()
([1, 1, 1, 0, 0, 0, 1, 0], [4, 4, 0])
>>> [part.tolist() for part in scatter(np.arange(8), ids, 2)]
[[3, 4, 5, 7], [0, 1, 2, 6]]

The functions are the face for tests and the curious.  A dispatcher takes the C interface in ``_scatter.pxd``.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ
from libc.stdint cimport int32_t, int64_t, uint64_t
from numpy cimport PyArray_DATA, import_array, ndarray

import numpy as np

import_array()

cdef object SCALAR = np.generic, STRUCTURED = np.void

__all__ = ["EventHash", "count_ids", "hash_events", "hash_objects", "partition_ids", "scatter"]

cdef extern from "Python.h":
    int Py_EnterRecursiveCall(const char *where)      # not 0: an exception is set; -1 or 1, as the version has it
    void Py_LeaveRecursiveCall()

cdef dict KINDS = {
    "b": FF_HASH_BOOL, "i": FF_HASH_INT, "u": FF_HASH_UINT, "f": FF_HASH_FLOAT, "c": FF_HASH_COMPLEX,
    "m": FF_HASH_INT, "M": FF_HASH_INT, "S": FF_HASH_BYTES, "U": FF_HASH_TEXT, "V": FF_HASH_RAW,
}


@cython.final
cdef class EventHash:
    """How events of given columns are hashed.

    Parameters
    ----------
    dtypes : sequence of numpy.dtype
        Those of the columns' values, none structured, all in native byte order.
    shapes : sequence of tuple of int
        The shape of one event in each column, ``()`` for one value.
    level : int, optional
        Level of loops, for tests; the machine's own otherwise.
    """

    def __cinit__(self, dtypes, shapes, level=None):
        cdef int32_t i
        cdef int32_t best = ff_machine_level()
        cdef ff_hash_field *field
        self.level = best if level is None else level
        if not 0 <= self.level <= best:
            raise ValueError(f"level: got {level}, expected 0 to {best}, what this machine can run")
        self.columns = len(dtypes)
        self.fields = <ff_hash_field *> PyMem_RawCalloc(max(self.columns, 1), sizeof(ff_hash_field))
        if self.fields == NULL:
            raise MemoryError("no memory for the hash of a schema")
        for i, (dtype, shape) in enumerate(zip(dtypes, shapes, strict=True)):
            field = &self.fields[i]
            field.kind = KINDS.get(dtype.kind, -1)
            field.size = dtype.itemsize
            field.elements = 1
            for length in shape:
                field.elements *= length
            if dtype.names is not None or not dtype.isnative or not ff_hash_knows(field.kind, field.size):
                raise TypeError(f"column {i}: got {dtype}, expected numbers, times, text or bytes in native byte "
                                "order; give hash=")

    def __dealloc__(self):
        PyMem_RawFree(self.fields)

    # -- hot path: no Python object is touched from here on --

    cdef void partition(
        self, int32_t column, char **columns, int64_t n, int64_t partitions, void *ids, int64_t *counts
    ) noexcept nogil:
        if column < 0:
            ff_partition_events(self.level, self.fields, self.columns, columns, n, partitions, ids, counts)
        else:
            ff_partition_events(self.level, &self.fields[column], 1, &columns[column], n, partitions, ids, counts)

    cdef void hashes(self, int32_t column, char **columns, int64_t n, uint64_t *hashes) noexcept nogil:
        if column < 0:
            ff_hash_events(self.level, self.fields, self.columns, columns, n, hashes)
        else:
            ff_hash_events(self.level, &self.fields[column], 1, &columns[column], n, hashes)


# -- Python objects --

cdef uint64_t hash_of_text(str text) noexcept:
    """As ff_hash_text has it, from the one, two or four bytes a code point that CPython stores."""
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text), i
    cdef int kind = PyUnicode_KIND(text)
    cdef const void *data = PyUnicode_DATA(text)
    cdef uint64_t hash_ = FF_HASH_SEED, word
    while n and PyUnicode_READ(kind, <void *> data, n - 1) == 0:
        n -= 1
    for i in range(0, n, 2):
        word = <uint64_t> PyUnicode_READ(kind, <void *> data, i)
        if i + 1 < n:
            word |= <uint64_t> PyUnicode_READ(kind, <void *> data, i + 1) << 32
        hash_ = ff_hash_fold(hash_, word)
    return hash_


cdef int fold_object(object value, bint *started, uint64_t *hash_, object event, Py_ssize_t position) except -1:
    """Fold the hashes of the values in `value` into `hash_`."""
    cdef uint64_t own
    cdef int overflow = 0
    cdef long long small
    # NumPy's scalars come last: those that are a float, complex, str or bytes as well have the same hash.
    if isinstance(value, int):
        small = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow:
            own = ff_hash_word(<uint64_t> small)
        elif 0 < value < 1 << 64:
            own = ff_hash_word(<uint64_t> int(value))
        else:
            own = hash_of_bytes(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True), True)
    elif isinstance(value, float):
        own = ff_hash_word(ff_word_of_double(PyFloat_AS_DOUBLE(value)))
    elif isinstance(value, complex):
        own = ff_hash_fold(ff_hash_word(ff_word_of_double(value.real)), ff_hash_word(ff_word_of_double(value.imag)))
    elif isinstance(value, str):
        own = hash_of_text(<str> value)
    elif isinstance(value, bytes):
        own = hash_of_bytes(<bytes> value, False)
    elif value is None:
        own = ff_hash_word(FF_HASH_SEED)
    elif isinstance(value, tuple):
        if Py_EnterRecursiveCall(" in the hash of an event"):
            return -1
        try:
            for part in value:
                fold_object(part, started, hash_, event, position)
        finally:
            Py_LeaveRecursiveCall()
        return 0
    elif isinstance(value, STRUCTURED) and value.dtype.names is not None:
        return fold_object(tuple(value), started, hash_, event, position)
    elif isinstance(value, SCALAR):
        own = hash_events(np.asarray(value)[None])[0]
    else:
        got = type(event).__qualname__ if value is event else (
            f"{type(event).__qualname__} with {type(value).__qualname__} inside")
        raise TypeError(
            f"hash of event {position}: got {got}, expected int, bool, float, complex, str, bytes, None, a "
            "NumPy scalar or a tuple of these; give hash=, a function of the batch")
    hash_[0] = ff_hash_fold(hash_[0], own) if started[0] else own
    started[0] = True
    return 0


cdef uint64_t hash_of_bytes(bytes value, bint raw) noexcept:
    return ff_hash_bytes(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), raw)


cdef int hashes_of_list(list events, uint64_t *hashes) except -1:
    cdef Py_ssize_t i
    cdef bint started
    for i in range(len(events)):
        hashes[i] = FF_HASH_SEED
        started = False
        fold_object(events[i], &started, &hashes[i], events[i], i)
    return 0


# -- the face for tests --

def hash_objects(list events not None):
    """Return the stable hashes of Python objects.

    Parameters
    ----------
    events : list
        Of int, bool, float, complex, str, bytes, None, NumPy scalars, and tuples of these.  What an array can hold has
        the hash that it has there; a tuple has that of an event with these columns.  An int beyond 64 bits is hashed
        as the bytes of its two's complement, None as a value of its own.

    Returns
    -------
    ndarray of uint64, shape (n,)
        The hashes.

    Raises
    ------
    TypeError
        An event has no stable hash; the text names its position and type.
    """
    # A hash that changes the list it is called for isn't possible, but a scalar's __array__ is Python: a copy is safe.
    cdef list own = list(events)
    cdef ndarray hashes = np.empty(len(own), np.uint64)
    hashes_of_list(own, <uint64_t *> PyArray_DATA(hashes))
    return hashes


def hash_events(events, level=None):
    """Return the stable hashes of events.

    Parameters
    ----------
    events : ndarray, Batch or list
        Along the first axis of an array; the columns of a structured one, or of a batch, are hashed in their order.
    level : int, optional
        Level of loops, for tests.

    Returns
    -------
    ndarray of uint64, shape (n,)
        The hashes.
    """
    cdef EventHash how
    cdef ndarray hashes
    cdef char *pointers[1]
    cdef char **columns = pointers
    if isinstance(events, list):
        return hash_objects(events)
    arrays = columns_of(events)
    how = EventHash([array.dtype for array in arrays], [array.shape[1:] for array in arrays], level)
    hashes = np.empty(len(events), np.uint64)
    if len(arrays) > 1:
        columns = <char **> PyMem_RawMalloc(len(arrays) * sizeof(char *))
        if columns == NULL:
            raise MemoryError("no memory for the addresses of columns")
    for i in range(len(arrays)):
        columns[i] = <char *> PyArray_DATA(<ndarray> arrays[i])
    how.hashes(-1, columns, len(events), <uint64_t *> PyArray_DATA(hashes))
    if columns != pointers:
        PyMem_RawFree(columns)
    return hashes


cdef list columns_of(events):
    """Each column, or the array itself, contiguous and in native byte order."""
    names = events.dtype.names
    arrays = []
    for array in [events] if names is None else [events[name] for name in names]:
        if array.dtype.names is not None:
            raise TypeError(f"hash of events: got nested {array.dtype}, expected columns without fields; give hash=")
        if array.dtype.hasobject:
            raise TypeError("hash of events: got an array of objects, expected a list of them; say .tolist()")
        arrays.append(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape))
    return arrays


cdef int64_t checked(partitions) except -1:
    if not 1 <= partitions < 1 << 31:
        raise ValueError(f"partitions: got {partitions}, expected 1 to 2**31 - 1")
    return partitions


cdef object ids_for(Py_ssize_t n, int64_t partitions):
    return np.empty(n, np.uint8 if ff_id_size(partitions) == 1 else np.int32)


def partition_ids(events, partitions, level=None):
    """Return the partition of each event, by its stable hash, and how many events each has.

    Parameters
    ----------
    events : ndarray, Batch or list
        As for `hash_events`.
    partitions : int
        How many there are.
    level : int, optional
        Level of loops, for tests.

    Returns
    -------
    ids : ndarray of uint8 or int32, shape (n,)
        uint8 for up to 255 partitions.
    counts : ndarray of int64, shape (partitions + 1,)
        Events in each; the last, of those that are discarded, is 0.
    """
    cdef int64_t n_partitions = checked(partitions)
    cdef ndarray counts = np.empty(n_partitions + 1, np.int64), ids = ids_for(len(events), n_partitions), array
    cdef EventHash how
    cdef char *column
    arrays = None if isinstance(events, list) else columns_of(events)
    if arrays is not None and len(arrays) == 1:
        array = arrays[0]
        how = EventHash([array.dtype], [arrays[0].shape[1:]], level)
        column = <char *> PyArray_DATA(array)
        how.partition(0, &column, len(array), n_partitions, PyArray_DATA(ids), <int64_t *> PyArray_DATA(counts))
    else:
        array = hash_events(events, level)
        ff_partition_hashes(
            ff_machine_level() if level is None else level, <uint64_t *> PyArray_DATA(array), len(array), n_partitions,
            PyArray_DATA(ids), <int64_t *> PyArray_DATA(counts))
    return ids, counts


def count_ids(given, partitions):
    """Check partitions that a function gave, -1 for a discarded event, and count the events of each.

    Parameters
    ----------
    given : ndarray of int64, shape (n,)
        The partition of each event, or -1.
    partitions : int
        How many there are.

    Returns
    -------
    ids, counts
        As from `partition_ids`; the id of a discarded event is `partitions`.

    Raises
    ------
    ValueError
        A number is neither a partition nor -1; the text names the first and its position.
    """
    cdef int64_t n_partitions = checked(partitions), bad
    cdef ndarray array = np.ascontiguousarray(given, np.int64)
    cdef ndarray counts = np.empty(n_partitions + 1, np.int64), ids = ids_for(len(array), n_partitions)
    bad = ff_count_ids(
        <int64_t *> PyArray_DATA(array), len(array), n_partitions, PyArray_DATA(ids), <int64_t *> PyArray_DATA(counts))
    if bad >= 0:
        raise ValueError(f"partition of event {bad}: got {array[bad]}, expected 0 to {partitions - 1}, or -1 to "
                         "discard it")
    return ids, counts


def scatter(array, ids, partitions, out=None):
    """Return the events of each partition, in their order.

    Parameters
    ----------
    array : ndarray
        Events along the first axis.
    ids : ndarray of uint8 or int32, shape (n,)
        From `partition_ids` or `count_ids`.
    partitions : int
        How many there are.
    out : list of ndarray, optional
        Where the events of each partition go, from the start of it; C-contiguous and of room enough: that is not
        checked.

    Returns
    -------
    list of ndarray
        `out`, or new arrays.
    """
    cdef int64_t n_partitions = checked(partitions), i, size, n
    cdef ndarray source = np.ascontiguousarray(array).reshape(array.shape), given
    cdef char **targets
    found = np.asarray(ids)
    low, high = (int(found.min()), int(found.max())) if len(found) else (0, 0)
    if len(found) != len(source) or not 0 <= low <= high <= n_partitions:
        raise ValueError(f"ids: got {len(found)} from {low} to {high}, expected {len(source)}, one an event, from 0 to "
                         f"{n_partitions}")
    given = np.ascontiguousarray(found, np.uint8 if ff_id_size(n_partitions) == 1 else np.int32)
    if out is None:
        counts = np.bincount(given, minlength=n_partitions + 1).tolist()
        out = [np.empty((counts[i], *array.shape[1:]), array.dtype) for i in range(n_partitions)]
    n = len(source)
    size = source.nbytes // n if n else 0
    targets = <char **> PyMem_RawCalloc(n_partitions + 1, sizeof(char *))
    if targets == NULL:
        raise MemoryError("no memory for the addresses of partitions")
    for i in range(n_partitions):
        targets[i] = <char *> PyArray_DATA(<ndarray?> out[i])
    ff_scatter_column(<char *> PyArray_DATA(source), size, n, PyArray_DATA(given), n_partitions, targets)
    PyMem_RawFree(targets)
    return out
