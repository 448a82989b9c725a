# cython: language_level=3, binding=True, embedsignature=True
"""Turns: who is ready, what comes next, and what a turn changes for the others.

A *place* is where a stage sits.  It is ready when it has mail, a due timer, input (and, if it emits, somebody who
asked for its output) or demand; then it stands in the scheduler's run queue, first in, first out::

    run queue   counter ─ parse ─ total          each gets one turn, then goes to the back if it is still ready

    a turn      deliver ─▶ callback ─▶ commit: state, output, acknowledgement, new demand
                                               └ whoever that makes ready enters the queue before the place itself

**The re-ask rule** keeps between `min_demand` and `max_demand` events open on each subscription.  With 1000 and 500
the consumer asks for 1000; after a delivery of 500 (a delivery is at most max - min events) 500 are open, which is
not more than 500, so it asks for 500 more::

    open 1000 ── 500 handled ──▶ 500 <= 500: ask 500 ──▶ open 1000

**The demand dispatcher** gives what a producer emits to the consumer with the greatest pending demand, as much as
that wants, then to the next; among equals to the one whose demand has stood unchanged for longest.  The consumers
form a heap, so each ask and each delivery costs O(log n).

Everything below is plain functions over C structs, without a lock, a thread or a clock: one scheduler's places are
touched by the thread that drives it, and by no other.  Native stages take their turns here, without the GIL; turns in
Python are taken in `fastflow._place`, and what drives them all is `fastflow._scheduler`.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.stdlib cimport realloc

from fastflow._core cimport (
    FF_ALIGNMENT, FF_END, FF_LAP, ff_flag, ff_mark, ring_acknowledge, ring_advance, ring_ask, ring_claim, ring_mark, ring_publish,
    ring_read, ring_through, ring_top_up,
)

cdef enum:
    MOST_FILLED = 1 << 20           # events that a native producer fills in one turn, however many are asked for

# -- hot path: no Python object is touched from here on --

# -- decisions --

cdef int64_t reask(int64_t *open_demand, int64_t handled, int64_t max_demand, int64_t min_demand) noexcept nogil:
    """How much to ask for after `handled` events more are handled; 0: nothing yet.  Updates `open_demand`."""
    cdef int64_t more
    open_demand[0] -= handled
    if open_demand[0] > min_demand:
        return 0
    more = max_demand - open_demand[0]
    open_demand[0] = max_demand
    return more


cdef inline bint before(const ff_edge *a, const ff_edge *b) noexcept nogil:
    """Whether `a` is served before `b`."""
    return a.pending > b.pending or (a.pending == b.pending and a.stamp < b.stamp)


# -- a consumer's subscriptions, in rotation --

cdef void list_input_first(ff_edge *edge) noexcept nogil:
    """A turn that was rolled back: the same subscription comes first again."""
    cdef ff_place *place = edge.consumer
    if edge.listed or edge.closed:
        return
    edge.listed = 1
    edge.next = place.inputs_head
    place.inputs_head = edge
    if place.inputs_tail == NULL:
        place.inputs_tail = edge


cdef void forget_input(ff_edge *edge) noexcept nogil:
    """A closed subscription leaves the queue, wherever it stands in it."""
    cdef ff_place *place = edge.consumer
    cdef ff_edge *other = place.inputs_head
    cdef ff_edge *last = NULL
    if not edge.listed:
        return
    while other != edge:
        last = other
        other = other.next
    if last == NULL:
        place.inputs_head = edge.next
    else:
        last.next = edge.next
    if place.inputs_tail == edge:
        place.inputs_tail = last
    edge.listed = 0


# -- the demand dispatcher --

cdef inline void set_rank(ff_place *place, ff_edge *edge, int32_t rank) noexcept nogil:
    place.heap[rank] = edge
    edge.rank = rank


cdef void sift(ff_edge *edge) noexcept nogil:
    """Move a consumer to where its pending demand puts it."""
    cdef ff_place *place = edge.producer
    cdef int32_t rank = edge.rank, child
    while rank > 0 and before(edge, place.heap[(rank - 1) >> 1]):
        set_rank(place, place.heap[(rank - 1) >> 1], rank)
        rank = (rank - 1) >> 1
    while True:
        child = 2 * rank + 1
        if child >= place.consumers:
            break
        if child + 1 < place.consumers and before(place.heap[child + 1], place.heap[child]):
            child += 1
        if not before(place.heap[child], edge):
            break
        set_rank(place, place.heap[child], rank)
        rank = child
    set_rank(place, edge, rank)


cdef inline void change_pending(ff_edge *edge, int64_t by) noexcept nogil:
    cdef ff_place *place = edge.producer
    edge.pending += by
    place.pending += by
    if place.consumers > 1:
        place.stamps += 1
        edge.stamp = place.stamps
        sift(edge)


cdef int join_dispatcher(ff_edge *edge) noexcept nogil:
    """A new consumer, without demand yet.  -1: memory is short."""
    cdef ff_place *place = edge.producer
    cdef ff_edge **heap
    cdef int32_t room
    if place.consumers == place.heap_room:
        room = place.heap_room * 2 if place.heap_room else 1
        heap = <ff_edge **> realloc(place.heap, room * sizeof(ff_edge *))
        if heap == NULL:
            return -1
        place.heap = heap
        place.heap_room = room
    place.consumers += 1
    place.stamps += 1
    edge.stamp = place.stamps
    set_rank(place, edge, place.consumers - 1)
    sift(edge)
    return 0


cdef void leave_dispatcher(ff_edge *edge) noexcept nogil:
    """The consumer takes nothing more; what it had asked for is no longer asked."""
    cdef ff_place *place = edge.producer
    cdef int32_t rank = edge.rank
    cdef ff_edge *last
    if rank < 0:
        return
    place.pending -= edge.pending
    edge.pending = 0
    place.consumers -= 1
    last = place.heap[place.consumers]
    edge.rank = -1
    if last != edge:
        set_rank(place, last, rank)
        sift(last)


cdef ff_edge *greediest(const ff_place *place) noexcept nogil:
    """The consumer that gets the next events; NULL: nobody has asked."""
    if place.consumers == 0 or place.heap[0].pending == 0:
        return NULL
    return place.heap[0]


# -- what a commit does to the other side --

cdef void count_sent(ff_edge *edge, int64_t n) noexcept nogil:
    """`n` events more were published on the subscription: its consumer is ready."""
    change_pending(edge, -n)
    list_input(edge)


cdef void count_asked(ff_edge *edge, int64_t n) noexcept nogil:
    """`n` events more were asked for: the producer is ready, even if it had nothing to give before."""
    if n <= 0 or edge.rank < 0:
        return
    change_pending(edge, n)
    edge.producer.parked = 0
    enqueue(edge.producer)


cdef void ask(ff_edge *edge, int64_t n) noexcept nogil:
    """Consumer: `n` events more may come, as soon as the capacity allows."""
    count_asked(edge, ring_ask(&edge.ring, n))


cdef void end_of_positions(ff_edge *edge) noexcept nogil:
    """The subscription has sent 2**63 - 1 events, the last position there is: its end follows, an OverflowError."""
    if not edge.ended:
        edge.ended = 1
        leave_dispatcher(edge)
        ring_mark(&edge.ring, FF_END, 0)
        list_input(edge)


cdef void acknowledge(ff_edge *edge, int64_t n) noexcept nogil:
    """Consumer: `n` events are handled; ask for more when the rule says so."""
    cdef int64_t more
    ring_acknowledge(&edge.ring, n)
    edge.consumer.handled += n
    if edge.ring.r.acked == INT64_MAX:
        end_of_positions(edge)
        return
    more = 0 if edge.manual else reask(&edge.open_demand, n, edge.max_demand, edge.min_demand)
    if more:
        ask(edge, more)
    elif edge.ring.r.wanted > edge.ring.r.asked:
        # Asked for beyond the capacity before; now there is room for some of it.
        count_asked(edge, ring_top_up(&edge.ring))


# -- turns of native stages --

cdef inline int64_t segment_bytes(const ff_edge *edge) noexcept nogil:
    """What the next segment of a subscription takes."""
    cdef int64_t slots = edge.ring.layout.most_slots
    return (edge.ring.capacity if edge.ring.capacity < slots else slots) * edge.ring.layout.event_bytes


cdef void hold_back(ff_place *place, int64_t size) noexcept nogil:
    """Memory is short: no turn that makes events until somebody lets go of `size` bytes."""
    place.held_back = 1
    place.scheduler.held_back += 1
    place.scheduler.wanted_bytes = size + FF_ALIGNMENT * 64

cdef inline void fill_turn(ff_place *place) noexcept nogil:
    """A native producer answers the greatest demand."""
    cdef ff_edge *edge = greediest(place)
    cdef int64_t n = edge.pending, left = place.kernel.remaining(place.kernel_state), slot
    if edge.consumer.kernel != NULL and n > SUB_BATCH:
        n = SUB_BATCH
    elif n > MOST_FILLED:
        n = MOST_FILLED
    if n >= left:
        n = left
        place.finishing = 1
        if n == 0:
            return
    slot = ring_claim(&edge.ring, n)
    if slot < 0:
        place.finishing = 0
        hold_back(place, segment_bytes(edge))
        return
    place.kernel.fill(place.kernel_state, edge.ring.w.segment.column[0] + slot * edge.ring.layout.size[0], n)
    ring_publish(&edge.ring, n, FF_LAP)         # can't fail: the claim saw to it that there is room for a mark
    place.emitted += n
    count_sent(edge, n)


cdef inline bint consume_turn(ff_place *place) noexcept nogil:
    """A native consumer takes one delivery.  False: a mark comes first, and that needs Python."""
    cdef ff_edge *edge = unlist_input(place)
    cdef ff_mark *lap = NULL
    cdef int64_t slot = 0, done = 0, part, size
    cdef const char *events = NULL
    cdef int64_t n = ring_read(&edge.ring, edge.delivery, &lap, &slot)
    if n < 0:
        edge.ring.r.mark -= 1
        list_input_first(edge)
        return False
    size = edge.ring.layout.size[0] if edge.ring.layout.columns else 0
    if size:
        events = lap.segment.column[0] + slot * size
    while done < n:
        part = SUB_BATCH if n - done > SUB_BATCH else n - done
        place.kernel.consume(place.kernel_state, events + done * size if size else NULL, part)
        done += part
    ring_advance(&edge.ring, n)
    acknowledge(edge, n)
    if has_input(edge):
        list_input(edge)
    return True


cdef inline bint alone_together(const ff_place *place, const ff_edge *edge) noexcept nogil:
    """Whether a native producer and the native consumer behind `edge` have nobody but each other to take turns with."""
    cdef const ff_place *other = edge.consumer
    return (place.scheduler.head == NULL and place.consumers == 1 and other.kernel != NULL and other.inputs_head == NULL
            and not edge.manual and not other.emits and place.mail + place.due + other.mail + other.due == 0
            and other.finishing == 0 and other.held_back == 0 and not has_input(edge))


cdef int64_t pair_turns(ff_place *place, ff_edge *edge, int64_t most) noexcept nogil:
    """Turns of two native stages that are alone together: as the run queue would give them, without standing in it."""
    cdef ff_place *other = edge.consumer
    cdef int64_t turns = 0, n, left, more
    while turns < most and edge.pending > 0 and not ff_flag(&place.scheduler.flag):
        n = edge.pending if edge.pending < SUB_BATCH else SUB_BATCH
        if n > edge.delivery:
            n = edge.delivery
        left = place.kernel.remaining(place.kernel_state)
        if n >= left:
            break                       # the last batch, and the end, the ordinary way
        if ring_through(&edge.ring, n, place.kernel.fill, place.kernel_state,
                        other.kernel.consume, other.kernel_state) < 0:
            hold_back(place, segment_bytes(edge))
            break
        place.emitted += n
        other.handled += n
        edge.pending -= n
        if edge.ring.r.acked == INT64_MAX:
            place.pending = edge.pending
            end_of_positions(edge)
            return turns + 2
        more = reask(&edge.open_demand, n, edge.max_demand, edge.min_demand)
        if more:
            edge.pending += ring_ask(&edge.ring, more)
        turns += 2
        place.turns += 1
        other.turns += 1
    place.pending = edge.pending
    return turns


cdef int64_t native_turns(ff_place *place, int64_t most) noexcept nogil:
    """Give a native place its turn, then those behind it as long as they are native too; up to `most` in all.

    Returns how many turns were taken; the place whose turn needs Python is back at the front of the queue.
    """
    cdef ff_scheduler *scheduler = place.scheduler
    cdef int64_t turns = 0
    cdef int32_t kind
    while True:
        kind = next_kind(place)
        if kind == 0:
            pass
        elif (kind == DEMAND and place.buffered == 0 and most > 2 and not place.fills_in_python
                and alone_together(place, place.heap[0])):
            turns += pair_turns(place, place.heap[0], most - turns)
            if kind == next_kind(place) and place.heap[0].pending > 0:
                fill_turn(place)
        elif kind == DEMAND and place.buffered == 0 and not place.fills_in_python:
            fill_turn(place)
            place.last_kind = DEMAND
        elif kind == INPUT and consume_turn(place):
            place.last_kind = INPUT
        else:
            # Mail, a mark, the end: back to the front, for a turn in Python.
            place.queued = 1
            place.next = scheduler.head
            scheduler.head = place
            if scheduler.tail == NULL:
                scheduler.tail = place
            break
        turns += 1
        place.turns += 1
        enqueue(place)
        if turns >= most or ff_flag(&scheduler.flag) or scheduler.head == NULL or scheduler.head.kernel == NULL:
            break
        place = dequeue(scheduler)
    scheduler.turns += turns
    return turns
# -- end of the hot path --


def reask_rule(open_demand, handled, max_demand, min_demand):
    """The re-ask rule as a plain function.

    Parameters
    ----------
    open_demand : int
        Events asked for and not yet handled, before this delivery.
    handled : int
        Events of the delivery.
    max_demand, min_demand : int
        The subscription's options.

    Returns
    -------
    ask : int
        Events to ask for now; 0: nothing yet.
    open_demand : int
        What is open afterwards.

    Examples
    --------
    >>> reask_rule(1000, 500, 1000, 500)
    (500, 1000)
    >>> reask_rule(100, 20, 100, 20)
    (0, 80)
    """
    cdef int64_t still_open = open_demand
    more = reask(&still_open, handled, max_demand, min_demand)
    return more, still_open
