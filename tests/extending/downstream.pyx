# cython: language_level=3
"""A package of somebody else's, which writes into a fastflow ring and reads from one without the GIL."""
from libc.stdint cimport int64_t

from fastflow._core cimport (
    FF_LAP, Reader, Writer, ff_mark, ff_observe, ff_ring, ring_acknowledge, ring_advance, ring_claim,
    ring_publish, ring_read,
)


def write_squares(Writer writer not None, int64_t n):
    """Publish the squares of 0, 1, ... of up to `n` int64 events, as many as are asked for; return how many."""
    cdef ff_ring *ring = writer.ring
    cdef int64_t slot, i, room
    cdef int64_t *slots
    with nogil:
        ring.w.asked = ff_observe(ring.asked)
        room = ring.w.asked - ring.w.sent
        n = n if n < room else room
        slot = ring_claim(ring, n)
        if slot >= 0:
            slots = <int64_t *> ring.w.segment.column[0] + slot
            for i in range(n):
                slots[i] = i * i
            ring_publish(ring, n, FF_LAP)
    if slot < 0:
        raise MemoryError("no memory for a segment")
    return n


def read_sum(Reader reader not None):
    """Add up and acknowledge the int64 events that lie together and are there; return (how many, sum)."""
    cdef ff_ring *ring = reader.ring
    cdef ff_mark *lap = NULL
    cdef int64_t slot = 0, i, n, total = 0
    cdef const int64_t *slots
    with nogil:
        n = ring_read(ring, ring.capacity, &lap, &slot)
        if n > 0:
            slots = <const int64_t *> lap.segment.column[0] + slot
            for i in range(n):
                total += slots[i]
            ring_advance(ring, n)
            ring_acknowledge(ring, n)
    return n, total
