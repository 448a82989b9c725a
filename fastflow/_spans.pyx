# cython: language_level=3, binding=True, embedsignature=True
"""Spans: events that were emitted and that nobody has asked for yet, in order.

    push ──▶ [ span | span | span ] ──▶ take: the oldest first
                                   ◀── insert: what a subscription gives back

A span is a stretch of a segment with a hold on it, so events wait without being copied.  A stage's buffer is such a
queue, and so is what waits for each consumer of a partition dispatcher.  `taken` counts what has left at the front:
a message that is to come behind what waits now knows by it when its time has come.
"""
from libc.stdint cimport int64_t

from fastflow._pool cimport pool_anyway, pool_give, segment_release

# -- hot path: no Python object is touched from here on --


cdef int make_room(ff_spans *spans) noexcept nogil:
    """Room for one span more.  -1: the system has no memory at all."""
    cdef int64_t room, i
    cdef ff_span *items
    if spans.count < spans.room:
        return 0
    room = spans.room * 2 if spans.room else 4
    items = <ff_span *> pool_anyway(room * <int64_t> sizeof(ff_span))
    if items == NULL:
        return -1
    for i in range(spans.count):
        items[i] = spans_at(spans, i)[0]
    if spans.items != NULL:
        pool_give(spans.items, spans.room * <int64_t> sizeof(ff_span))
    spans.items, spans.room, spans.first = items, room, 0
    return 0


cdef int spans_push(ff_spans *spans, const ff_span *span) noexcept nogil:
    """Let a span wait behind the others; its hold passes to the queue.  -1: no memory, nothing was done."""
    if make_room(spans) < 0:
        return -1
    spans_at(spans, spans.count)[0] = span[0]
    spans.count += 1
    spans.events += span.n
    return 0


cdef int spans_insert(ff_spans *spans, const ff_span *span, int64_t index) noexcept nogil:
    """Let a span that came back wait as number `index` from the front.  -1: no memory, nothing was done."""
    cdef int64_t i
    if make_room(spans) < 0:
        return -1
    spans.first = (spans.first - 1) & (spans.room - 1)
    for i in range(index):
        spans_at(spans, i)[0] = spans_at(spans, i + 1)[0]
    spans_at(spans, index)[0] = span[0]
    spans.count += 1
    spans.events += span.n
    spans.taken -= span.n
    return 0


cdef void spans_take(ff_spans *spans, int64_t n) noexcept nogil:
    """`n` events of the first span leave it: they went to a consumer, or are discarded."""
    cdef ff_span *span = spans_at(spans, 0)
    span.slot += n
    span.n -= n
    spans.events -= n
    spans.taken += n
    if span.n == 0:
        segment_release(span.segment)
        spans.first = (spans.first + 1) & (spans.room - 1)
        spans.count -= 1


cdef void spans_drop_last(ff_spans *spans, int64_t n) noexcept nogil:
    """The last `n` events of the last span are discarded."""
    cdef ff_span *span = spans_at(spans, spans.count - 1)
    span.n -= n
    spans.events -= n
    if span.n == 0:
        segment_release(span.segment)
        spans.count -= 1


cdef void spans_clear(ff_spans *spans) noexcept nogil:
    """Give everything back."""
    cdef int64_t i
    for i in range(spans.count):
        segment_release(spans_at(spans, i).segment)
    if spans.items != NULL:
        pool_give(spans.items, spans.room * <int64_t> sizeof(ff_span))
    spans.items = NULL
    spans.room = spans.first = spans.count = spans.events = 0
