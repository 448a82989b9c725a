# cython: language_level=3
"""C interface of spans: events on their way out, and the queues in which they wait for demand."""
from libc.stdint cimport int32_t, int64_t

from fastflow._pool cimport ff_segment


# Events on their way out: `n` of them from `slot` on, with one hold on the segment.
ctypedef struct ff_span:
    ff_segment *segment
    int64_t slot
    int64_t n
    int32_t kind                    # of the lap they will make: FF_LAP or FF_WHOLE
    int32_t in_place                # in the slots of a claim that is not published yet; then it has no hold

# Spans that wait, in order; each has its hold.
ctypedef struct ff_spans:
    ff_span *items                  # a circle of `room`
    int64_t room
    int64_t first
    int64_t count
    int64_t events                  # over all of them
    int64_t taken                   # events that ever left at the front, less those that came back there

cdef int spans_push(ff_spans *spans, const ff_span *span) noexcept nogil
cdef int spans_insert(ff_spans *spans, const ff_span *span, int64_t index) noexcept nogil
cdef void spans_take(ff_spans *spans, int64_t n) noexcept nogil
cdef void spans_drop_last(ff_spans *spans, int64_t n) noexcept nogil
cdef void spans_clear(ff_spans *spans) noexcept nogil


cdef inline ff_span *spans_at(const ff_spans *spans, int64_t index) noexcept nogil:
    return &spans.items[(spans.first + index) & (spans.room - 1)]
