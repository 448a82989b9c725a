# cython: language_level=3
"""C interface of the ring: what another extension gets by ``cimport fastflow._core``.

Compile with ``include_dirs=[fastflow.get_include(), numpy.get_include()]``.  All functions marked ``nogil`` touch no Python object.
"""
from libc.stdint cimport int32_t, int64_t

from fastflow._pool cimport (
    FF_ALIGNMENT, FF_NOBODY, LEASED, Lease, ff_count, ff_count_down, ff_count_up, ff_cursor, ff_flag, ff_flag_add, ff_flag_or,
    ff_flag_set, ff_layout, ff_low_half, ff_now, ff_observe, ff_observe_waking, ff_own, ff_pause, ff_publish, ff_publish_waking,
    ff_segment, ff_sleep_while, ff_wake, layout_new, layout_release, lease_of, pool_anyway, pool_give, segment_adopt, segment_hold,
    segment_new, segment_release,
)


# What lies between two events: a change of segment, or a word to the reader.
ctypedef struct ff_mark:
    int64_t first                   # position of the event behind the mark
    ff_segment *segment             # kind FF_LAP: where the events from `first` on lie
    int64_t slot                    # kind FF_LAP: slot of event `first`; else the mark's value
    int32_t kind
    int32_t held                    # the mark has a hold on its segment

cdef enum:
    FF_LAP = 0                      # a change of segment; all other kinds are for the reader
    FF_END = 1                      # no event comes behind this one
    FF_WHOLE = 2                    # kind of lap whose events are delivered together: neither cut nor joined

cdef enum:
    FF_CLOSED_BY_WRITER = 1
    FF_CLOSED_BY_READER = 2

# The writer's own words.  Nobody else reads them, so they need no order.
ctypedef struct ff_writer:
    int64_t sent                    # its copy of the cursor
    int64_t asked                   # what `asked` was when last looked at
    ff_segment *segment             # where the next event goes
    int64_t slot                    # ... and into which slot
    int64_t limit                   # slots before this one may be written
    int64_t retired                 # marks before this one are behind the reader: their holds are given back
    int64_t woken                   # the threshold at which the reader was last woken

# The reader's own words.
ctypedef struct ff_reader:
    int64_t acked                   # its copy of the cursor
    int64_t asked                   # its copy of the cursor
    int64_t wanted                  # all that was ever asked for, beyond the capacity too; saturates
    int64_t position                # next event to read: acked <= position <= sent
    int64_t sent                    # what `sent` was when last looked at
    int64_t mark                    # index of the lap that `position` lies in, or -1
    int64_t front                   # index of the lap that `acked` lies in
    int64_t woken                   # the threshold at which the writer was last woken

ctypedef struct ff_ring:
    int64_t capacity                # events in flight at the most
    ff_layout *layout
    ff_cursor *asked                # into `packed`, or on lines of their own when two threads share the ring
    ff_cursor *acked
    ff_cursor *sent
    ff_cursor *reader_at            # the reader sleeps until `sent` passes this; FF_NOBODY: it does not sleep
    ff_cursor *writer_at            # the writer sleeps until `asked` passes this
    ff_cursor *marks_written
    ff_cursor *marks_front          # the reader's `front`, for the writer
    int32_t *reader_bell            # what the reader sleeps on; the writer changes it when it wakes the reader
    int32_t *writer_bell            # what the writer sleeps on; the reader changes it
    int32_t *closed
    void *lines                     # the block that those lie in, when shared; else NULL
    ff_mark *marks                  # marks_mask + 1 of them, used in a circle
    int64_t marks_mask
    ff_cursor[7] packed
    int32_t[3] packed_words
    int32_t padding
    ff_writer w
    char[64] apart                  # the two ends don't share a cache line
    ff_reader r


# -- ring --
cdef int ring_init(ff_ring *ring, ff_layout *layout, int64_t capacity, bint shared, int64_t start) noexcept nogil
cdef void ring_clear(ff_ring *ring) noexcept nogil
cdef int64_t ring_claim(ff_ring *ring, int64_t n) noexcept nogil
cdef int ring_publish(ff_ring *ring, int64_t n, int32_t kind) noexcept nogil
cdef void ring_abandon(ff_ring *ring) noexcept nogil
cdef int ring_append(ff_ring *ring, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) noexcept nogil
cdef int ring_mark(ff_ring *ring, int32_t kind, int64_t value) noexcept nogil
cdef void ring_acknowledge(ff_ring *ring, int64_t n) noexcept nogil
cdef int64_t ring_through(
    ff_ring *ring, int64_t n,
    int64_t (*fill)(void *, char *, int64_t) noexcept nogil, void *fill_state,
    void (*consume)(void *, const char *, int64_t) noexcept nogil, void *consume_state) noexcept nogil
cdef void ring_rounds(ff_ring *ring, int64_t rounds) noexcept nogil
cdef void ring_rewind(ff_ring *ring) noexcept nogil
cdef int64_t ring_ask(ff_ring *ring, int64_t n) noexcept nogil
cdef int64_t ring_top_up(ff_ring *ring) noexcept nogil
cdef bint ring_wait_writer(ff_ring *ring, int64_t timeout) noexcept nogil
cdef bint ring_wait_reader(ff_ring *ring, int64_t timeout) noexcept nogil
cdef void ring_close(ff_ring *ring, int32_t side) noexcept nogil


# -- the reader's look at its ring: in every turn, and small enough to be part of its caller --

cdef inline bint is_lap(const ff_mark *mark) noexcept nogil:
    return mark.kind == FF_LAP or mark.kind == FF_WHOLE


cdef inline ff_mark *mark_at(const ff_ring *ring, int64_t index) noexcept nogil:
    return &ring.marks[index & ring.marks_mask]


cdef inline int64_t ring_read(ff_ring *ring, int64_t n, ff_mark **lap, int64_t *slot) noexcept nogil:
    """Look at the next events: how many of `n` lie together, in which lap and from which slot on.

    0: nothing is there; -1: the next thing is the mark in `lap`, which is thereby passed.
    """
    cdef ff_mark *mark
    cdef int64_t end, written
    # `sent` first: whatever marks belong to the events that it covers are then seen too.
    ring.r.sent = ff_observe(ring.sent)
    written = ff_observe(ring.marks_written)
    while ring.r.mark + 1 < written:
        mark = mark_at(ring, ring.r.mark + 1)
        if mark.first > ring.r.position:
            break
        ring.r.mark += 1
        if not is_lap(mark):
            lap[0] = mark
            return -1
    if ring.r.mark < 0:
        return 0
    mark = mark_at(ring, ring.r.mark)
    end = ring.r.sent
    if ring.r.mark + 1 < written and mark_at(ring, ring.r.mark + 1).first < end:
        end = mark_at(ring, ring.r.mark + 1).first
    lap[0] = mark
    slot[0] = mark.slot + (ring.r.position - mark.first)
    end -= ring.r.position
    return n if n < end else end


cdef inline void ring_advance(ff_ring *ring, int64_t n) noexcept nogil:
    """Reader: what was read is being worked on."""
    ring.r.position += n


cdef class Ring:
    cdef ff_ring ring
    cdef bint has_writer, has_reader

cdef class Writer:
    cdef Ring owner
    cdef ff_ring *ring
    cdef int64_t claimed            # slots of the last claim that are not published

cdef class Reader:
    cdef Ring owner
    cdef ff_ring *ring
