# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: arrays are handed to Python and taken back, which needs the GIL --
"""Views: batches as callbacks see them, without a copy, and valid for as long as somebody keeps them.

    segment  ······[ slot .......... slot + n )·······
                   │ ndarray, its data patched for each batch
                   └ base: the segment's Lease

One array object serves batch after batch: its data pointer and length are set anew (a nanosecond; a new array costs
thirty).  When the callback has returned, one look at the array's reference count tells whether somebody still holds
it, be it the array itself, a slice or reshape of it, a memoryview, a DLPack consumer or a traceback: all of them
refer to *this* object, because NumPy does not look behind a base that is no array.  If somebody does, the object is
left to them, the segment is marked as kept, and the next batch gets a new one::

    self.last = events                     # fine: valid for ever; costs a segment while it is kept

Users can set an array's shape or dtype in place, so those are compared too.

The way back is here as well: what a callback returns becomes a *span* of a segment, without a copy where that is
safe.  A claimed array, or its beginning, was written in place.  A view of what came in passes its segment on.  An
array that nobody else refers to is adopted.  Everything else is copied.
"""
cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

cimport numpy as cnp

from fastflow._core cimport ff_segment, layout_new, layout_release, segment_adopt, segment_hold, segment_new
from fastflow._pool cimport Lease, lease_of, note_keeper
from fastflow._spans cimport ff_span

import numpy as np

from fastflow.errors import CallbackError

cnp.import_array()

cdef extern from *:
    int Py_REFCNT(PyObject *o) nogil
    int Py_IS_TYPE(PyObject *o, PyTypeObject *type) nogil

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyArray_Descr:
        pass
    void PyArray_UpdateFlags(PyObject *array, int flags)
    int NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_F_CONTIGUOUS
    PyObject *PyArray_NewFromDescr(
        PyTypeObject *type, PyArray_Descr *descr, int nd, cnp.npy_intp *dims, cnp.npy_intp *strides, void *data, int flags,
        PyObject *obj)

cdef enum:
    VIEW_FLAGS = 0x0001 | 0x0100                    # C-contiguous, aligned
    VIEW_FLAGS_WRITABLE = 0x0001 | 0x0100 | 0x0400  # ... and writeable
    SAME_FLAGS = 0x0001 | 0x0100 | 0x0400

cdef PyTypeObject *ARRAY_TYPE = <PyTypeObject *> np.ndarray
cdef dict forms = {}


cdef inline PyArrayObject_fields *fields(PyObject *array) noexcept nogil:
    return <PyArrayObject_fields *> array


cdef inline bint is_array(PyObject *o) noexcept nogil:
    """Exactly an ndarray; subclasses have rules of their own."""
    return Py_IS_TYPE(o, ARRAY_TYPE)


cdef class Form:
    def __cinit__(self, schema):
        self.schema = schema
        self.plain = schema.kind == "plain"
        self.columns = 0 if schema.kind == "object" else <int32_t> len(schema.columns)
        self.names = schema.names
        self.descrs = tuple(schema.columns)
        self.descr = self.descrs[0] if self.plain else None
        self.shapes = tuple(schema.shapes)
        sizes = []
        for descr, shape in zip(self.descrs, self.shapes, strict=True):
            sizes.append(descr.itemsize * int(np.prod(shape, dtype=np.int64)))
        self.layout = layout_new(tuple(sizes) if self.columns else ())
        self.wrap = None if self.plain or not self.columns else schema.batch

    def __dealloc__(self):
        if self.layout != NULL:
            layout_release(self.layout)


cdef Form form_of(object schema):
    """The Form of a schema; made once."""
    form = forms.get(schema)
    if form is None:
        form = forms[schema] = Form(schema)
    return <Form> form


cdef object new_array(Form form, int32_t column, char *data, int64_t n, bint writable, Lease lease):
    """A fresh view of `n` events of a column, with the lease as its base."""
    cdef cnp.npy_intp dims[64]
    cdef PyObject *array
    cdef object descr = form.descrs[column]
    cdef tuple shape = form.shapes[column]
    cdef int nd = 1 + <int> len(shape), i
    dims[0] = n
    for i in range(1, nd):
        dims[i] = shape[i - 1]
    Py_INCREF(descr)                                # the new array takes it over
    array = PyArray_NewFromDescr(
        ARRAY_TYPE, <PyArray_Descr *> <PyObject *> descr, nd, dims, NULL, data, VIEW_FLAGS_WRITABLE if writable else VIEW_FLAGS, NULL)
    if array == NULL:
        raise MemoryError("no memory for an array")
    Py_INCREF(lease)
    fields(array).base = <PyObject *> lease
    result = <object> array
    Py_XDECREF(array)
    return result


@cython.final
cdef class Views:
    def __cinit__(self, Form form, bint writable, keeper):
        self.form, self.writable, self.keeper = form, writable, keeper

    cdef object give(self, ff_segment *segment, int64_t slot, int64_t n):
        """The batch of `n` events from `slot` on."""
        cdef Form form = self.form
        cdef PyObject *array
        cdef PyArrayObject_fields *f
        cdef Lease lease
        cdef int32_t i
        self.slot, self.n, self.out = slot, n, True
        if self.first != NULL and segment == self.segment:
            self.first.data = segment.column[0] + slot * form.layout.size[0]
            self.first.dimensions[0] = n
            return self.batch
        if form.columns == 0:
            self.segment = segment
            events = <list> segment.owner
            if slot or n != len(<list> events):
                events = (<list> events)[slot:slot + n]
            self.batch = events
            return events
        if self.arrays is None:
            lease = lease_of(segment)
            self.arrays = [
                new_array(form, i, segment.column[i] + slot * form.layout.size[i], n, self.writable, lease)
                for i in range(form.columns)
            ]
            self.lease, self.segment = lease, segment
            self.batch = self.arrays[0] if form.plain else form.wrap(tuple(self.arrays))
            if form.plain and not form.shapes[0]:
                self.first = fields(<PyObject *> self.batch)
            return self.batch
        if segment != self.segment:
            lease = lease_of(segment)
            for i in range(form.columns):
                f = fields(<PyObject *> (<list> self.arrays)[i])
                Py_INCREF(lease)
                Py_XDECREF(f.base)
                f.base = <PyObject *> lease
            self.lease, self.segment = lease, segment
        for i in range(form.columns):
            array = <PyObject *> (<list> self.arrays)[i]
            fields(array).data = segment.column[i] + slot * form.layout.size[i]
            fields(array).dimensions[0] = n
            if fields(array).nd > 1:
                # One event of several numbers lies in both orders, two do not.
                PyArray_UpdateFlags(array, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS)
        return self.batch

    cdef bint unchanged(self) noexcept:
        """Whether the arrays are as they were given; users can set shape, dtype and flags in place."""
        cdef Form form = self.form
        cdef PyArrayObject_fields *f = self.first
        cdef int32_t i
        if f != NULL:
            return (f.nd == 1 and f.dimensions[0] == self.n and f.descr == <void *> self.form.descr
                    and f.strides[0] == form.layout.size[0]
                    and f.flags & SAME_FLAGS == (VIEW_FLAGS_WRITABLE if self.writable else VIEW_FLAGS)
                    and f.weakreflist == NULL)
        for i in range(form.columns):
            f = fields(<PyObject *> (<list> self.arrays)[i])
            if (f.nd != 1 + <int> len(<tuple> (<tuple> form.shapes)[i]) or f.dimensions[0] != self.n
                    or f.descr != <void *> (<tuple> form.descrs)[i]
                    or f.strides[0] != form.layout.size[i]
                    or f.flags & SAME_FLAGS & ~(VIEW_FLAGS_WRITABLE if self.writable else VIEW_FLAGS)
                    or f.weakreflist != NULL):
                return False
        return True

    cdef bint held(self, int32_t more_batch, int32_t more_array) noexcept:
        """Whether somebody else refers to the batch or an array of it, beyond so many known references."""
        cdef Form form = self.form
        cdef int32_t i
        if form.plain:
            # The list of arrays and `self.batch` hold it.
            return Py_REFCNT(<PyObject *> self.batch) > 2 + more_batch + more_array
        if Py_REFCNT(<PyObject *> self.batch) > 1 + more_batch:
            return True
        for i in range(form.columns):
            # Our list and the Batch's own.
            if Py_REFCNT(<PyObject *> (<list> self.arrays)[i]) > 2 + more_array:
                return True
        return False

    cdef bint take_back(self) noexcept:
        """The callback has returned.  True: somebody keeps the batch, which stays as it is."""
        if not self.out:
            return False
        self.out = False
        if self.form.columns == 0:
            self.batch = None
            return False
        if self.held(0, 0):
            self.segment.kept = 1
            note_keeper(self.lease, self.keeper.name, self.n * self.form.layout.event_bytes)
            self.abandon()
            return True
        if self.segment.owner != NULL or not self.unchanged():
            # An adopted array is let go at once; an array that was changed is not used again.
            self.detach()
        return False

    cdef void abandon(self) noexcept:
        """Leave the arrays to whoever has them."""
        self.batch = self.arrays = self.lease = None
        self.first = NULL
        self.segment = NULL
        self.out = False

    cdef void detach(self) noexcept:
        """Let go of the segment; the arrays are used again, unless they were changed."""
        cdef PyArrayObject_fields *f
        cdef int32_t i
        if self.arrays is None or self.lease is None:
            return
        if not self.unchanged():
            self.abandon()
            return
        self.segment = NULL
        for i in range(self.form.columns):
            f = fields(<PyObject *> (<list> self.arrays)[i])
            f.dimensions[0] = 0
            Py_XDECREF(f.base)
            f.base = NULL
        self.lease = None


# -- the way back: from what a callback returned to a span --

cdef inline bint fits(Form form, int32_t column, PyObject *array) noexcept:
    """Whether it is an ndarray of exactly the column's dtype and shape, C-contiguous and aligned."""
    cdef PyArrayObject_fields *f
    cdef tuple shape
    cdef int i
    if not is_array(array):
        return False
    f = fields(array)
    shape = <tuple> (<tuple> form.shapes)[column]
    if f.nd != 1 + <int> len(shape) or (f.flags & VIEW_FLAGS) != VIEW_FLAGS:
        return False
    for i in range(1, f.nd):
        if f.dimensions[i] != shape[i - 1]:
            return False
    return f.descr == <void *> (<tuple> form.descrs)[column] or (
        (<object> <PyObject *> f.descr) == (<tuple> form.descrs)[column] and (<object> <PyObject *> f.descr).isnative)


cdef inline bint adoptable(PyObject *array, int32_t refs) noexcept:
    """Whether nobody but the `refs` known references can ever look at the array's memory again."""
    cdef PyArrayObject_fields *f = fields(array)
    cdef PyObject *base = f.base
    if Py_REFCNT(array) > refs or f.weakreflist != NULL or not f.flags & 0x0400:
        return False
    if base == NULL:
        return f.flags & 0x0004                     # it owns its memory
    # A slice or reshape of an array that is otherwise forgotten.
    return (is_array(base) and Py_REFCNT(base) == 1 and fields(base).base == NULL and fields(base).flags & 0x0004
            and fields(base).weakreflist == NULL)


cdef inline bint read_only_view(PyObject *array) noexcept:
    """Whether it is a view of a segment that only readers have: safe to pass on, nobody can write to it."""
    cdef PyObject *base = fields(array).base
    cdef PyTypeObject *lease_type = <PyTypeObject *> Lease
    if fields(array).flags & 0x0400:
        return False
    if base != NULL and is_array(base):
        if fields(base).flags & 0x0400:
            return False
        base = fields(base).base
    return base != NULL and Py_IS_TYPE(base, lease_type)


cdef int span_of_view(Form form, PyObject *events, Views given, ff_span *span) noexcept:
    """The batch that came in, or a contiguous part of it, passed on as it is.  0: it is something else; 2: nothing."""
    cdef PyArrayObject_fields *f
    cdef char *start
    if given is None or not given.out or given.form.layout != form.layout:
        return 0
    if events == <PyObject *> given.batch:
        if form.columns == 0 or not given.unchanged():
            return 0
        span.segment, span.slot, span.n = given.segment, given.slot, given.n
    elif form.plain and fits(form, 0, events) and fields(events).base == <PyObject *> given.batch:
        f = fields(events)
        start = given.segment.column[0]
        span.segment, span.n = given.segment, f.dimensions[0]
        span.slot = (f.data - start) // form.layout.size[0]
        if (f.data - start) % form.layout.size[0] or f.data < start or span.slot + span.n > given.segment.slots:
            return 0
    else:
        return 0
    if span.n == 0:
        return 2
    segment_hold(span.segment)
    return 1


cdef int span_of_list(list events, ff_span *span) except -1:
    """A list of Python objects: passed on as the very list that it is."""
    span.segment = segment_adopt(events, 0, len(events))
    span.slot, span.n = 0, len(events)
    if span.segment == NULL:
        raise MemoryError("no memory for a segment")
    return 1


cdef int span_of_plain(Form form, PyObject *events, ff_span *span) except -1:
    """An array of just the right kind, without more ado.  0: it is empty; 2: it is something else.

    The caller holds one reference to `events`, and nobody else should.
    """
    cdef int64_t n
    if not form.plain or not fits(form, 0, events) or not (adoptable(events, 1) or read_only_view(events)):
        return 2
    n = fields(events).dimensions[0]
    if n == 0:
        return 0
    span.segment = segment_adopt(<object> events, 1, n)
    if span.segment == NULL:
        raise MemoryError("no memory for a segment")
    span.segment.column[0] = fields(events).data
    span.slot, span.n = 0, n
    return 1


cdef int span_of_arrays(Form form, object events, str where, ff_span *span) except -1:
    """Anything that a callback may return: adopted where nobody else can see it, else copied.

    The caller holds one reference to `events`, and nobody else should.
    """
    cdef PyObject *raw = <PyObject *> events
    cdef int64_t n
    cdef int32_t i, refs
    cdef ff_segment *segment
    cdef list arrays
    cdef bint adopt
    # Two references to each column are known: the list made here, and the Batch or dict it came from.
    refs = 2 if Py_REFCNT(raw) == 1 else 0
    arrays = form.schema.arrays(events, where)
    n = len(arrays[0])
    if n == 0:
        return 0
    adopt = not form.plain
    for i in range(form.columns):
        raw = <PyObject *> arrays[i]
        adopt = adopt and fits(form, i, raw) and (adoptable(raw, refs) or read_only_view(raw))
    if adopt:
        segment = segment_adopt(tuple(arrays), form.columns, n)
        if segment == NULL:
            raise MemoryError("no memory for a segment")
        for i in range(form.columns):
            segment.column[i] = fields(<PyObject *> arrays[i]).data
    else:
        segment = segment_new(form.layout, n)
        if segment == NULL:
            raise MemoryError(f"no memory for {n} events of {form.schema.describe()}")
        copy_into(form, arrays, segment, 0, n)
    span.segment, span.slot, span.n = segment, 0, n
    return 1


cdef int copy_into(Form form, object arrays, ff_segment *segment, int64_t slot, int64_t n) except -1:
    """Copy columns into slots, from whatever strides and byte order they have."""
    cdef Lease lease = lease_of(segment)
    cdef int32_t i
    for i in range(form.columns):
        target = new_array(form, i, segment.column[i] + slot * form.layout.size[i], n, True, lease)
        target[...] = arrays[i]
    return 0


cdef int copy_span(
        Form form, ff_segment *source, int64_t source_slot, ff_segment *target, int64_t slot, int64_t n) except -1:
    """Copy events from segment to segment."""
    cdef int32_t i
    cdef int64_t size
    for i in range(form.columns):
        size = form.layout.size[i]
        memcpy(target.column[i] + slot * size, source.column[i] + source_slot * size, n * size)
    return 0


cdef inline bint overlaps(Form form, int32_t column, PyObject *array, Views claim) noexcept:
    """Whether the array looks into the claimed slots."""
    cdef char *start = claim.segment.column[column] + claim.slot * form.layout.size[column]
    cdef char *end = start + claim.n * form.layout.size[column]
    cdef PyObject *base = fields(array).base
    if base == NULL:
        return False
    low, high = <char *> NULL, <char *> NULL
    bounds = np.lib.array_utils.byte_bounds(<object> array)
    low, high = <char *> <size_t> bounds[0], <char *> <size_t> bounds[1]
    return low < end and high > start


cdef int prefix_of_claim(Form form, PyObject *events, Views claim, int64_t *n) except -1:
    """Whether `events` are the claimed slots from the first one on: 1, and how many; 0: they are something else."""
    cdef PyArrayObject_fields *f
    cdef PyObject *array
    cdef int64_t count = -1
    cdef int32_t i, inside = 0
    if events == <PyObject *> claim.batch:
        n[0] = claim.n
        if not claim.unchanged():
            raise CallbackError("a claimed array came back with another shape or dtype, expected it as it was claimed; "
                                "return a view with the new shape's events in 1-d, or a copy")
        return 1
    if form.plain:
        if not is_array(events):
            return 0
        columns = [<object> events]
    else:
        columns = claim_columns(form, <object> events)
        if columns is None:
            return 0
    for i in range(form.columns):
        array = <PyObject *> columns[i]
        if not is_array(array) or fields(array).base == NULL or not overlaps(form, i, array, claim):
            continue
        f = fields(array)
        if (not fits(form, i, array) or f.data != claim.segment.column[i] + claim.slot * form.layout.size[i]
                or f.dimensions[0] > claim.n or (count >= 0 and f.dimensions[0] != count)):
            raise CallbackError(
                f"an array came back that overlaps the claimed one: got {f.dimensions[0]} events of "
                f"{(<object> <PyObject *> f.descr)} that are not its beginning, expected out[:k]; return out[:k], or a copy")
        count = f.dimensions[0]
        inside += 1
    if inside == 0:
        return 0
    if inside < form.columns:
        raise CallbackError(
            f"{inside} of {form.columns} claimed columns came back together with others, expected all or none of them; "
            "return out[:k] for the whole batch, or copies")
    n[0] = count
    return 1


cdef object claim_columns(Form form, object events):
    """The columns of a Batch or dict, as they are; None: it is something else."""
    try:
        return [events[name] for name in form.names]
    except (TypeError, KeyError, IndexError, ValueError):
        return None


def _patching_works():
    """Whether an array can be pointed at other memory, as this module does for each batch.

    Examples
    --------
    >>> _patching_works()
    True
    """
    first, second = np.arange(4), np.arange(10, 18)
    view = first[:2]
    fields(<PyObject *> view).data = fields(<PyObject *> second).data
    fields(<PyObject *> view).dimensions[0] = 8
    right = view.shape == (8,) and int(view.sum()) == int(second.sum()) and len(memoryview(view)) == 8
    fields(<PyObject *> view).dimensions[0] = 0
    return right


if not _patching_works():
    raise ImportError(f"NumPy {np.__version__} lays out its arrays in a way that this build of fastflow does not know; "
                      "build fastflow again with this NumPy, or install the NumPy that it was built with")
