# cython: language_level=3
"""C interface of views: batches as callbacks see them, and back."""
cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t

from fastflow._core cimport ff_layout, ff_segment
from fastflow._pool cimport Lease
from fastflow._spans cimport ff_span


# NumPy's own layout of an array.  Patching it is outside of NumPy's documented interface, so `_patching_works` looks
# once, at import, that it does what it should.
cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyArrayObject_fields:
        char *data
        int nd
        Py_ssize_t *dimensions
        Py_ssize_t *strides
        PyObject *base
        void *descr
        int flags
        PyObject *weakreflist


cdef class Form:
    """A schema as the native layer needs it."""
    cdef readonly object schema
    cdef ff_layout *layout
    cdef int32_t columns            # 0: Python objects
    cdef bint plain                 # one column, whose array is the batch
    cdef tuple names
    cdef object descr               # dtype of the only column's elements, when it is plain
    cdef tuple descrs               # dtype of each column's elements
    cdef tuple shapes               # sub-array shape of one event in each column
    cdef object wrap                # (names, arrays) -> Batch


@cython.final
cdef class Views:
    """The arrays in which one end of a ring shows its batches, used again as long as nobody keeps them."""
    cdef Form form
    cdef bint writable
    cdef bint out                   # handed out and not taken back
    cdef object keeper              # the place they are handed to, for the report of a stall; None: nobody's
    cdef list arrays                # one for each column, or None
    cdef object batch               # what is handed out: the array, the Batch, or the list
    cdef ff_segment *segment        # that they point into; valid while `lease` lives
    cdef Lease lease
    cdef int64_t slot
    cdef int64_t n
    cdef PyArrayObject_fields *first    # of the only array, when its batch is a plain 1-d one; else NULL

    cdef object give(self, ff_segment *segment, int64_t slot, int64_t n)
    cdef bint held(self, int32_t more_batch, int32_t more_array) noexcept
    cdef bint unchanged(self) noexcept
    cdef bint take_back(self) noexcept
    cdef void abandon(self) noexcept
    cdef void detach(self) noexcept


cdef Form form_of(object schema)
cdef int copy_into(Form form, object arrays, ff_segment *segment, int64_t slot, int64_t n) except -1
cdef int copy_span(Form form, ff_segment *source, int64_t source_slot, ff_segment *target, int64_t slot, int64_t n) except -1
cdef int span_of_plain(Form form, PyObject *events, ff_span *span) except -1
cdef int span_of_arrays(Form form, object events, str where, ff_span *span) except -1
cdef int span_of_list(list events, ff_span *span) except -1
cdef int span_of_view(Form form, PyObject *events, Views given, ff_span *span) noexcept
cdef int prefix_of_claim(Form form, PyObject *events, Views claim, int64_t *n) except -1
