# cython: language_level=3, binding=True, embedsignature=True
"""Dispatchers: how many events a place may emit, and which of its consumers gets them.

    demand      the consumer with the greatest pending demand first, as much as it wants, then the next; among equals
                the one whose demand has stood unchanged for longest.  A heap: O(log n) an ask, O(log n) a delivery
    broadcast   every consumer gets every event, so the slowest rules: what may be emitted is the least that any of
                them has asked for.  O(1) an ask: the lowest limit and the second are known, and how many stand there
    partition   each event has one consumer that it belongs to; what nobody has asked for waits in that partition's
                queue.  What may be emitted is what all of them together have asked for and can't be served from there
    protocol    a dispatcher written in Python (`fastflow.dispatch`): what may be emitted is the sum, until it says less

**A broadcast copies nothing.**  Every consumer has a ring of its own, and all of these rings point into the same
segment: 32 bytes of a mark for each, whatever the batch is.  Demand is kept as a *limit* for each consumer, the position
in the broadcast up to which it has asked, which a delivery leaves as it is::

    position 700     limits  [1000, 900, 1200]     so 200 may come; delivered: position 900, limits as they were

**A consumer that lags** (``lag="drop"`` or ``"conflate"``) has no limit: nobody waits for it, it gets what it has room
for, and what it misses is counted.

All is plain functions over C structs, without a lock, a thread or a clock.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.stdlib cimport calloc, free, realloc

from fastflow._core cimport (
    FF_WHOLE, ff_mark, ring_acknowledge, ring_advance, ring_append, ring_ask, ring_init, ring_read,
)
from fastflow._pool cimport ff_count_down, ff_count_up, pool_anyway, pool_give, segment_release
from fastflow._spans cimport ff_span, spans_clear
from fastflow._turn cimport (
    BLOCK, BY_PARTITION, CONFLATE, DROP, TO_ALL, TO_GREEDIEST, enqueue, ff_partition, list_input,
)

cdef enum:
    LEAST_QUEUE = 1000              # events that may wait for a partition, however small its consumer's demand is

# -- hot path: no Python object is touched from here on --

# -- from nothing and back --

cdef ff_dispatcher *dispatcher_new(int32_t kind, int32_t partitions, int64_t queue_size) noexcept nogil:
    """A dispatcher without consumers; NULL: no memory."""
    cdef ff_dispatcher *dispatcher = <ff_dispatcher *> calloc(1, sizeof(ff_dispatcher))
    if dispatcher == NULL:
        return NULL
    dispatcher.kind, dispatcher.partitions, dispatcher.queue_size = kind, partitions, queue_size
    dispatcher.lowest = INT64_MAX
    dispatcher.buffer_limit = -1
    if partitions:
        dispatcher.parts = <ff_partition *> calloc(partitions, sizeof(ff_partition))
        if dispatcher.parts == NULL:
            free(dispatcher)
            return NULL
    return dispatcher


cdef void dispatcher_free(ff_dispatcher *dispatcher) noexcept nogil:
    cdef int32_t i
    if dispatcher == NULL:
        return
    for i in range(dispatcher.partitions):
        spans_clear(&dispatcher.parts[i].queue)
    spans_clear(&dispatcher.buffer)
    free(dispatcher.parts)
    free(dispatcher.limits)
    free(dispatcher.edges)
    free(dispatcher)


cdef ff_ring *ring_of(ff_edge *edge) noexcept nogil:
    """The subscription's ring, made when the first event is about to be sent.  NULL: no memory."""
    cdef ff_ring *ring = edge.ring
    if ring != NULL:
        return ring
    ring = <ff_ring *> pool_anyway(sizeof(ff_ring))
    if ring == NULL:
        return NULL
    if ring_init(ring, edge.layout, edge.max_demand, False, edge.start) < 0:
        pool_give(ring, sizeof(ff_ring))
        return NULL
    ring_ask(ring, edge.wanted)
    edge.ring = ring
    return ring


# -- demand --

cdef inline bint before(const ff_edge *a, const ff_edge *b) noexcept nogil:
    """Whether `a` is served before `b`."""
    return a.pending > b.pending or (a.pending == b.pending and a.stamp < b.stamp)


cdef inline void set_rank(ff_dispatcher *dispatcher, ff_edge *edge, int32_t rank) noexcept nogil:
    dispatcher.edges[rank] = edge
    edge.rank = rank


cdef void sift(ff_edge *edge) noexcept nogil:
    """Move a consumer to where its pending demand puts it."""
    cdef ff_dispatcher *dispatcher = edge.producer.dispatcher
    cdef int32_t rank = edge.rank, child
    while rank > 0 and before(edge, dispatcher.edges[(rank - 1) >> 1]):
        set_rank(dispatcher, dispatcher.edges[(rank - 1) >> 1], rank)
        rank = (rank - 1) >> 1
    while True:
        child = 2 * rank + 1
        if child >= dispatcher.consumers:
            break
        if child + 1 < dispatcher.consumers and before(dispatcher.edges[child + 1], dispatcher.edges[child]):
            child += 1
        if not before(dispatcher.edges[child], edge):
            break
        set_rank(dispatcher, dispatcher.edges[child], rank)
        rank = child
    set_rank(dispatcher, edge, rank)


cdef void restamp(ff_edge *edge, int64_t stamp) noexcept nogil:
    """Give a consumer another place among those that have asked for as much."""
    edge.stamp = stamp
    sift(edge)


cdef inline void change_pending(ff_edge *edge, int64_t by) noexcept nogil:
    cdef ff_place *place = edge.producer
    edge.pending += by
    place.pending += by
    if place.dispatcher.consumers > 1 and place.dispatcher.kind == TO_GREEDIEST:
        place.dispatcher.stamps += 1
        edge.stamp = place.dispatcher.stamps
        sift(edge)


# -- broadcast --

cdef void look_at_limits(ff_dispatcher *dispatcher) noexcept nogil:
    """Find the lowest limit and the second, and how many stand there."""
    cdef int64_t lowest = INT64_MAX, second = INT64_MAX, limit
    cdef int32_t i, at_lowest = 0, at_second = 0
    for i in range(dispatcher.consumers):
        limit = dispatcher.limits[i]
        if limit > second or limit == INT64_MAX:
            continue
        if limit < lowest:
            second, at_second, lowest, at_lowest = lowest, at_lowest, limit, 1
        elif limit == lowest:
            at_lowest += 1
        elif limit < second:
            second, at_second = limit, 1
        else:
            at_second += 1
    dispatcher.lowest, dispatcher.at_lowest = lowest, at_lowest
    dispatcher.second, dispatcher.at_second = second, at_second


cdef inline void leave_lowest(ff_dispatcher *dispatcher) noexcept nogil:
    """One fewer stands at the lowest limit; with the last of them the second is the lowest."""
    dispatcher.at_lowest -= 1
    if dispatcher.at_lowest > 0:
        return
    if dispatcher.at_second > 0:
        dispatcher.lowest, dispatcher.at_lowest = dispatcher.second, dispatcher.at_second
        dispatcher.at_second = 0
    else:
        look_at_limits(dispatcher)


cdef inline void raise_limit(ff_dispatcher *dispatcher, int64_t limit, int64_t raised) noexcept nogil:
    """A reader's limit, which was `limit`, is `raised` now."""
    cdef bint all_at_lowest = dispatcher.at_lowest == dispatcher.blockers
    if limit == dispatcher.lowest:
        if dispatcher.at_second and raised == dispatcher.second:
            dispatcher.at_second += 1
        elif (dispatcher.at_second and raised < dispatcher.second) or all_at_lowest:
            dispatcher.second, dispatcher.at_second = raised, 1
        leave_lowest(dispatcher)
    elif limit == dispatcher.second and dispatcher.at_second:
        dispatcher.at_second -= 1           # at 0 the second is not known any more


cdef int64_t room_of_laggards(const ff_dispatcher *dispatcher) noexcept nogil:
    """The greatest pending demand, where nobody waits for anybody."""
    cdef int64_t most = 0
    cdef int32_t i
    for i in range(dispatcher.consumers):
        if dispatcher.edges[i].pending > most:
            most = dispatcher.edges[i].pending
    return most


cdef void settle_broadcast(ff_place *place) noexcept nogil:
    """What may be emitted, after the limits have changed."""
    cdef ff_dispatcher *dispatcher = place.dispatcher
    if dispatcher.blockers:
        place.pending = dispatcher.lowest - dispatcher.position
    else:
        place.pending = room_of_laggards(dispatcher)


cdef void ask_of_all(ff_edge *edge, int64_t n) noexcept nogil:
    """A reader of a broadcast has asked for `n` events more."""
    cdef ff_dispatcher *dispatcher = edge.producer.dispatcher
    cdef int64_t limit = dispatcher.limits[edge.rank]
    if edge.lag != BLOCK:
        edge.pending += n
        if edge.latest != NULL and not edge.in_hand:
            send_latest(edge)
        if not dispatcher.blockers and edge.pending > edge.producer.pending:
            edge.producer.pending = edge.pending
        return
    dispatcher.limits[edge.rank] = limit + n
    raise_limit(dispatcher, limit, limit + n)
    settle_broadcast(edge.producer)


cdef void drop_unread(ff_edge *edge) noexcept nogil:
    """Discard what a reader has not read yet: something newer has come.

    What it has read and not acknowledged, it will: so `acked` counts the discarded ones first.
    """
    cdef ff_ring *ring = edge.ring
    cdef ff_mark *lap = NULL
    cdef int64_t slot = 0, part, n
    if ring == NULL:
        return
    n = ring.w.sent - ring.r.position
    while ring.r.position < ring.w.sent:
        part = ring_read(ring, ring.w.sent - ring.r.position, &lap, &slot)
        if part > 0:
            ring_advance(ring, part)
    ring_acknowledge(ring, n)
    edge.retry = 0
    edge.discarded += n
    edge.pending += ring_ask(ring, n)


cdef void drop_latest(ff_edge *edge) noexcept nogil:
    """Discard the newest batch that a reader had no room for."""
    if edge.latest != NULL:
        edge.discarded += edge.latest.n
        segment_release(edge.latest.segment)
        pool_give(edge.latest, sizeof(ff_span))
        edge.latest = NULL


cdef int keep_latest(ff_edge *edge, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) noexcept nogil:
    """Keep the newest batch for a reader that has asked for nothing; the hold passes on.  -1: no memory, it is discarded."""
    drop_latest(edge)
    edge.latest = <ff_span *> pool_anyway(sizeof(ff_span))
    if edge.latest == NULL:
        edge.discarded += n
        return -1
    edge.latest.segment, edge.latest.slot, edge.latest.n, edge.latest.kind = segment, slot, n, kind
    return 0


cdef void send_latest(ff_edge *edge) noexcept nogil:
    """A reader has asked: the newest events of the newest batch, as many as it has asked for."""
    cdef ff_span *latest = edge.latest
    cdef int64_t part = latest.n if latest.n < edge.pending else edge.pending
    cdef ff_ring *ring
    if part == 0 or (part < latest.n and latest.kind == FF_WHOLE):
        return
    ring = ring_of(edge)
    ff_count_up(&latest.segment.holds, 1)
    if ring == NULL or ring_append(ring, latest.segment, latest.slot + latest.n - part, part, latest.kind) < 0:
        segment_release(latest.segment)
        return
    latest.n -= part
    edge.pending -= part
    drop_latest(edge)
    list_input(edge)


cdef void deliver_latest(ff_edge *edge) noexcept nogil:
    """The reader's hands are free again: what came meanwhile replaces what it has not read."""
    if edge.latest != NULL and edge.rank >= 0:
        drop_unread(edge)
        send_latest(edge)
        settle_broadcast(edge.producer)


cdef int64_t make_way(ff_edge *edge, int64_t n, bint whole, int64_t *skipped) noexcept nogil:
    """How many of `n` events a reader gets that nobody waits for, and how many before those it misses."""
    cdef int64_t part
    if edge.lag == CONFLATE:
        drop_latest(edge)
        if edge.in_hand:
            skipped[0] = n
            return 0
        drop_unread(edge)
    part = n if n < edge.pending else edge.pending
    if whole and part < n:
        part = 0
    skipped[0] = n - part if edge.lag == CONFLATE else 0
    if part or edge.lag == DROP:
        edge.discarded += n - part              # a batch that conflates and finds no room at all is kept
    edge.pending -= part
    return part


cdef int32_t share_with_all(ff_place *place, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) noexcept nogil:
    """Publish events on every subscription; none is copied.  The caller keeps its own hold on the segment.

    Returns how many readers are left whose events must be converted first; -1: the system has no memory for a mark.
    """
    cdef ff_dispatcher *dispatcher = place.dispatcher
    cdef ff_edge *edge
    cdef ff_ring *ring
    cdef int64_t part, skipped
    cdef int32_t i, left = 0, held = dispatcher.consumers
    ff_count_up(&segment.holds, held)
    for i in range(dispatcher.consumers):
        edge = dispatcher.edges[i]
        if edge.casts:
            left += 1
            continue
        part, skipped = n, 0
        if edge.lag != BLOCK:
            part = make_way(edge, n, kind == FF_WHOLE, &skipped)
            if part == 0:
                if edge.lag == CONFLATE:
                    held -= keep_latest(edge, segment, slot, n, kind) == 0
                continue
        ring = ring_of(edge)
        if ring == NULL or ring_append(ring, segment, slot + skipped, part, kind) < 0:
            ff_count_down(&segment.holds, held)
            return -1
        held -= 1
        list_input(edge)
    if held:
        ff_count_down(&segment.holds, held)
    return left


cdef void count_shared(ff_place *place, int64_t n) noexcept nogil:
    """`n` events more were broadcast."""
    place.dispatcher.position += n
    settle_broadcast(place)


# -- partition --

cdef int64_t queue_bound(const ff_dispatcher *dispatcher) noexcept nogil:
    """Events at which a partition's queue is full."""
    if dispatcher.queue_size:
        return dispatcher.queue_size
    return dispatcher.widest if dispatcher.widest > LEAST_QUEUE else LEAST_QUEUE


cdef void settle_partition(ff_place *place, int32_t index) noexcept nogil:
    """What may be emitted, after the demand for a partition or what waits for it has changed."""
    cdef ff_dispatcher *dispatcher = place.dispatcher
    cdef ff_partition *part = &dispatcher.parts[index]
    cdef int64_t waits = part.queue.events
    cdef int64_t pending = part.edge.pending if part.edge != NULL else 0
    cdef int64_t unmet = pending - waits if pending > waits else 0
    cdef bint full = waits >= queue_bound(dispatcher), drainable = waits > 0 and pending > 0
    dispatcher.pool += unmet - part.unmet
    dispatcher.queued += waits - part.waits
    dispatcher.full += full - part.full
    place.drainable += drainable - part.drainable
    part.unmet, part.waits, part.full, part.drainable = unmet, waits, full, drainable
    place.pending = 0 if dispatcher.full else dispatcher.pool
    if place.pending > 0:
        place.parked = 0


# -- all of them --

cdef int more_room(ff_dispatcher *dispatcher) noexcept nogil:
    """Room for one consumer more.  -1: memory is short."""
    cdef int32_t room
    cdef ff_edge **edges
    cdef int64_t *limits
    if dispatcher.consumers < dispatcher.room:
        return 0
    room = dispatcher.room * 2 if dispatcher.room else 1
    edges = <ff_edge **> realloc(dispatcher.edges, room * sizeof(ff_edge *))
    if edges == NULL:
        return -1
    dispatcher.edges = edges
    if dispatcher.kind == TO_ALL:
        limits = <int64_t *> realloc(dispatcher.limits, room * sizeof(int64_t))
        if limits == NULL:
            return -1
        dispatcher.limits = limits
    dispatcher.room = room
    return 0


cdef int join_dispatcher(ff_edge *edge) noexcept nogil:
    """A new consumer, without demand yet.  -1: memory is short."""
    cdef ff_place *place = edge.producer
    cdef ff_dispatcher *dispatcher = place.dispatcher
    cdef int32_t i
    if more_room(dispatcher) < 0:
        return -1
    dispatcher.consumers += 1
    dispatcher.native_consumers += edge.consumer.kernel != NULL
    set_rank(dispatcher, edge, dispatcher.consumers - 1)
    if dispatcher.kind == TO_GREEDIEST:
        dispatcher.stamps += 1
        edge.stamp = dispatcher.stamps
        sift(edge)
    elif dispatcher.kind == TO_ALL:
        dispatcher.limits[edge.rank] = dispatcher.position if edge.lag == BLOCK else INT64_MAX
        dispatcher.blockers += edge.lag == BLOCK
        look_at_limits_of_new(dispatcher, edge)
        settle_broadcast(place)
    elif dispatcher.kind == BY_PARTITION:
        dispatcher.parts[edge.partition].edge = edge
        if edge.max_demand > dispatcher.widest:
            dispatcher.widest = edge.max_demand
            for i in range(dispatcher.partitions):
                settle_partition(place, i)      # what was full may not be any more
        settle_partition(place, edge.partition)
    return 0


cdef inline void look_at_limits_of_new(ff_dispatcher *dispatcher, const ff_edge *edge) noexcept nogil:
    """A reader that has not asked yet stands at the position itself, which no limit is below."""
    cdef int64_t limit = dispatcher.limits[edge.rank]
    if edge.lag != BLOCK:
        return
    if limit == dispatcher.lowest:
        dispatcher.at_lowest += 1
    elif limit < dispatcher.lowest:
        dispatcher.second, dispatcher.at_second = dispatcher.lowest, dispatcher.at_lowest
        dispatcher.lowest, dispatcher.at_lowest = limit, 1


cdef void leave_dispatcher(ff_edge *edge) noexcept nogil:
    """The consumer takes nothing more; what it had asked for is no longer asked."""
    cdef ff_place *place = edge.producer
    cdef ff_dispatcher *dispatcher = place.dispatcher
    cdef int32_t rank = edge.rank
    cdef int64_t limit = 0
    cdef ff_edge *last
    if rank < 0:
        return
    dispatcher.consumers -= 1
    dispatcher.native_consumers -= edge.consumer.kernel != NULL
    last = dispatcher.edges[dispatcher.consumers]
    edge.rank = -1
    if dispatcher.kind == TO_ALL:
        limit = dispatcher.limits[rank]
        dispatcher.limits[rank] = dispatcher.limits[dispatcher.consumers]
        dispatcher.blockers -= edge.lag == BLOCK
    else:
        place.pending -= edge.pending
    edge.pending = 0
    if last != edge:
        set_rank(dispatcher, last, rank)
        if dispatcher.kind == TO_GREEDIEST:
            sift(last)
    if dispatcher.kind == TO_ALL:
        if edge.lag == BLOCK:
            if limit == dispatcher.lowest:
                leave_lowest(dispatcher)
            elif limit == dispatcher.second and dispatcher.at_second:
                dispatcher.at_second -= 1
        settle_broadcast(place)
    elif dispatcher.kind == BY_PARTITION:
        dispatcher.parts[edge.partition].edge = NULL
        settle_partition(place, edge.partition)
    if place.pending > 0:
        # It may have been the one that all the others waited for.
        place.parked = 0
        enqueue(place)


cdef void count_sent(ff_edge *edge, int64_t n) noexcept nogil:
    """`n` events more were published on the subscription: its consumer is ready."""
    change_pending(edge, -n)
    if edge.producer.dispatcher.kind == BY_PARTITION:
        settle_partition(edge.producer, edge.partition)
    list_input(edge)


cdef void count_asked(ff_edge *edge, int64_t n) noexcept nogil:
    """`n` events more were asked for: the producer is ready, even if it had nothing to give before."""
    if n <= 0 or edge.rank < 0:
        return
    if edge.producer.dispatcher.kind == TO_ALL:
        ask_of_all(edge, n)
    else:
        change_pending(edge, n)
        if edge.producer.dispatcher.kind == BY_PARTITION:
            settle_partition(edge.producer, edge.partition)
    edge.producer.parked = 0
    enqueue(edge.producer)
# -- end of the hot path --
