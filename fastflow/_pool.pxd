# cython: language_level=3
"""C interface of the pool: segments of memory for events, and the leases that keep views of them valid."""
from libc.stdint cimport int32_t, int64_t


cdef extern from "_atomics.h" nogil:
    ctypedef struct ff_cursor:
        int64_t value
    const int64_t FF_NOBODY
    int64_t ff_own(const ff_cursor *c)
    int64_t ff_observe(const ff_cursor *c)
    void ff_publish(ff_cursor *c, int64_t v)
    void ff_publish_waking(ff_cursor *c, int64_t v)
    int64_t ff_observe_waking(const ff_cursor *c)
    int64_t ff_count_up(int64_t *count, int64_t by)
    int64_t ff_count_down(int64_t *count, int64_t by)
    int64_t ff_count(const int64_t *count)
    void ff_flag_set(int32_t *flag, int32_t v)
    int32_t ff_flag(const int32_t *flag)
    void ff_flag_or(int32_t *flag, int32_t bits)
    int32_t ff_flag_add(int32_t *flag, int32_t by)
    void ff_lock(int32_t *lock)
    void ff_unlock(int32_t *lock)

cdef extern from "_wait.h" nogil:
    void ff_pause()
    int64_t ff_now()
    void ff_sleep_while(const int32_t *word, int32_t seen, int64_t timeout)
    void ff_wake(const int32_t *word)
    const int32_t *ff_low_half(const ff_cursor *c)

cdef extern from "_memory.h" nogil:
    const int64_t FF_ALIGNMENT
    void *ff_memory_take(int64_t size)
    void ff_memory_give(void *block)
    void ff_memory_left(int64_t *left, int64_t *limit)


# What one event is made of, as far as the ring cares: so many columns of so many bytes each.  0 columns:
# the events are Python objects, and a segment is a list of them.
ctypedef struct ff_layout:
    int64_t references              # rings and stages that use it
    int32_t columns
    int32_t padding
    int64_t event_bytes             # over all columns
    int64_t most_slots              # of a segment, however large the capacity; a larger claim gets what it needs
    int64_t size[1]                 # bytes of one event in each column (really `columns` of them)

# A stretch of memory that holds events: pooled, adopted (an array that a callback returned), or a list.
ctypedef struct ff_segment:
    int64_t slots                   # events that fit
    int64_t holds                   # rings, marks and buffers that use it, plus FF_LEASED while views exist
    int32_t kept                    # a reader may still hold a view: not to be overwritten
    int32_t columns
    int64_t block_bytes             # of the pool's block that this struct stands at the head of
    void *owner                     # adopted: the array, tuple of arrays or list (a reference); else NULL
    void *lease                     # the Python object that is the base of all views (not a reference)
    char *column[1]                # first byte of each column (really `columns` of them)

cdef int64_t LEASED                # what a Lease adds to `holds`

# -- pool and segments --
cdef void *pool_take(int64_t size) noexcept nogil
cdef void *pool_anyway(int64_t size) noexcept nogil
cdef void pool_give(void *block, int64_t size) noexcept nogil
cdef bint pool_exhausted(int64_t size) noexcept nogil
cdef ff_layout *layout_new(tuple sizes) except NULL
cdef void layout_release(ff_layout *layout) noexcept nogil
cdef ff_segment *segment_anyway(const ff_layout *layout, int64_t slots) noexcept nogil
cdef ff_segment *segment_new(const ff_layout *layout, int64_t slots) noexcept nogil
cdef ff_segment *segment_adopt(object owner, int32_t columns, int64_t slots) noexcept
cdef void segment_hold(ff_segment *segment) noexcept nogil
cdef void segment_release(ff_segment *segment) noexcept nogil


cdef class Lease:
    """Base of every view into one segment: while one of them lives, the segment's memory stays as it is."""
    cdef ff_segment *segment
    cdef object keeper              # name of who kept a view, for the report of a stall; else None
    cdef int64_t kept_bytes

cdef Lease lease_of(ff_segment *segment)
cdef void note_keeper(Lease lease, str who, int64_t size) noexcept
