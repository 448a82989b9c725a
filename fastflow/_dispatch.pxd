# cython: language_level=3
"""C interface of dispatchers: how many events may come, and who gets them."""
from libc.stdint cimport int32_t, int64_t

from fastflow._core cimport ff_ring
from fastflow._pool cimport ff_segment
from fastflow._turn cimport ff_dispatcher, ff_edge, ff_place


cdef ff_dispatcher *dispatcher_new(int32_t kind, int32_t partitions, int64_t queue_size) noexcept nogil
cdef void dispatcher_free(ff_dispatcher *dispatcher) noexcept nogil
cdef ff_ring *ring_of(ff_edge *edge) noexcept nogil
cdef int join_dispatcher(ff_edge *edge) noexcept nogil
cdef void leave_dispatcher(ff_edge *edge) noexcept nogil
cdef void count_sent(ff_edge *edge, int64_t n) noexcept nogil
cdef void count_asked(ff_edge *edge, int64_t n) noexcept nogil
cdef void restamp(ff_edge *edge, int64_t stamp) noexcept nogil
cdef int32_t share_with_all(ff_place *place, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) noexcept nogil
cdef int64_t make_way(ff_edge *edge, int64_t n, bint whole, int64_t *skipped) noexcept nogil
cdef int keep_latest(ff_edge *edge, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) noexcept nogil
cdef void drop_latest(ff_edge *edge) noexcept nogil
cdef void deliver_latest(ff_edge *edge) noexcept nogil
cdef void count_shared(ff_place *place, int64_t n) noexcept nogil
cdef void settle_partition(ff_place *place, int32_t index) noexcept nogil


cdef inline ff_edge *greediest(const ff_place *place) noexcept nogil:
    """The consumer that gets the next events; NULL: nobody has asked."""
    cdef const ff_dispatcher *dispatcher = place.dispatcher
    if dispatcher.consumers == 0 or dispatcher.edges[0].pending == 0:
        return NULL
    return dispatcher.edges[0]
