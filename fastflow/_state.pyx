# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: attributes of a Python object are read and written, which needs the GIL --
"""Declared state: the attributes of a stage that are committed with every turn.

    class Counter(ff.Producer):
        state = ("next",)

    turn ──▶ save: what `next` is now, into the spare half ──▶ commit: the halves change places
         └─▶ it failed: restore `next` from the half that holds

Numbers, text, bytes, None and tuples of them can't change, so a reference is enough; arrays are copied into a
buffer that is used again; everything else is pickled.  Together 64 KiB at the most: it is done at every turn.
Larger state belongs into a table.
"""
cimport cython
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport PyObject_GetAttr
from cpython.tuple cimport PyTuple_GET_ITEM
cimport numpy as cnp

import pickle

import numpy as np

from fastflow.errors import StateError

cnp.import_array()

cdef enum:
    MOST_BYTES = 65536              # of all declared attributes together

cdef object INT = int
cdef object FLOAT = float
cdef object NOTHING = object()
cdef frozenset BY_REFERENCE = frozenset({int, float, str, bytes, bool, complex, type(None)})


@cython.final
cdef class Pickled:
    """A value of any other kind, as it was at the commit."""
    cdef bytes data

    def __cinit__(self, bytes data):
        self.data = data


cdef bint immutable(object value):
    """Whether a reference to it is as good as a copy."""
    if type(value) in BY_REFERENCE:
        return True
    if type(value) is tuple:
        for item in <tuple> value:
            if not immutable(item):
                return False
        return True
    return False


cdef Py_ssize_t size_of(object saved):
    """Bytes that a saved value takes, roughly."""
    if type(saved) is Pickled:
        return len((<Pickled> saved).data)
    if type(saved) in (str, bytes):
        return len(saved)
    if type(saved) is int:
        return 8 + (saved.bit_length() >> 3)
    if isinstance(saved, np.ndarray):
        return saved.nbytes
    if type(saved) is tuple:
        return sum([size_of(item) for item in saved])
    return 8


cdef object copy_of(object stage, str name, object value, object held):
    """A value as it is now; `held` is the copy that it replaces."""
    if immutable(value):
        return value
    if type(value) is np.ndarray and not (<cnp.ndarray> value).dtype.hasobject:
        if type(held) is np.ndarray and held.dtype == value.dtype and held.shape == value.shape:
            held[...] = value
            return held
        return np.array(value, copy=True)
    try:
        return Pickled(pickle.dumps(value, protocol=5))
    except Exception as error:
        raise StateError(
            f"state of {type(stage).__name__}: got {name!r} of type {type(value).__name__}, expected something that pickle "
            f"can copy ({error}); open files and connections in setup(), and leave them out of `state`") from error


def refuse_missing(stage, names):
    """Say so when a declared attribute is not there."""
    for name in names:
        if not hasattr(stage, name):
            raise StateError(
                f"state of {type(stage).__name__}: got no attribute {name!r}, expected it to be set by the end of setup() "
                "and after every turn; set it in __init__, or take it out of `state`") from None


cdef class State:
    """The declared attributes of one stage.

    Parameters
    ----------
    names : tuple of str
        The attributes.
    """

    def __cinit__(self, tuple names):
        self.names = names
        self.saved = [NOTHING] * len(names)
        self.spare = [NOTHING] * len(names)

    cdef int save(self, object stage) except -1:
        """Copy the attributes into the spare half.  Raises before anything else has changed."""
        cdef Py_ssize_t i
        cdef bint weigh = False
        cdef int overflow = 0
        cdef list spare = self.spare
        cdef tuple names = self.names
        for i in range(len(names)):
            value = PyObject_GetAttr(stage, <object> PyTuple_GET_ITEM(names, i))
            if type(value) is FLOAT:
                spare[i] = value
            elif type(value) is INT:
                spare[i] = value
                PyLong_AsLongLongAndOverflow(value, &overflow)
                weigh = weigh or overflow != 0      # as large as text may be
            else:
                weigh = True
                spare[i] = copy_of(stage, <object> PyTuple_GET_ITEM(names, i), value, spare[i])
        if weigh:
            self.check_size(stage)
        return 0

    def check_size(self, stage):
        """Refuse a state that is too large to be copied at every turn."""
        sizes = [size_of(value) for value in self.spare]
        if sum(sizes) > MOST_BYTES:
            largest = self.names[max(range(len(sizes)), key=lambda i: sizes[i])]
            raise StateError(
                f"state of {type(stage).__name__}: got {sum(sizes)} bytes, {max(sizes)} of them in {largest!r}, expected at "
                f"most {MOST_BYTES}; declare less, since it is copied at every turn")

    cdef int keep(self) except -1:
        """The turn commits: what was saved holds."""
        self.saved, self.spare = self.spare, self.saved
        return 0

    cdef int restore(self, object stage) except -1:
        """The turn failed: put the attributes back to what they were at the last commit."""
        cdef Py_ssize_t i
        for i in range(len(self.names)):
            value = self.saved[i]
            if value is NOTHING:
                continue
            if type(value) is Pickled:
                value = pickle.loads((<Pickled> value).data)
            elif type(value) is np.ndarray:
                value = value.copy()
            setattr(stage, self.names[i], value)
        return 0
