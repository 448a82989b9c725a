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

Who gets what a producer emits, and how much that may be, is its dispatcher's decision: `fastflow._dispatch`.

Everything below is plain functions over C structs, without a lock, a thread or a clock: one scheduler's places are
touched by the thread that drives it, and by no other.  Native stages take their turns here, without the GIL; turns in
Python are taken in `fastflow._place`, and what drives them all is `fastflow._scheduler`.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t

from fastflow._core cimport (
    FF_ALIGNMENT, FF_END, FF_LAP, ff_flag, ff_layout, ff_mark, ff_ring, ff_segment, ring_acknowledge, ring_advance, ring_ask,
    ring_claim, ring_mark, ring_publish, ring_read, ring_through, ring_top_up, segment_new, segment_release,
)
from fastflow._dispatch cimport (
    count_asked, count_sent, count_shared, greediest, leave_dispatcher, ring_of, share_with_all,
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


# -- what a commit does to the other side --

cdef void ask(ff_edge *edge, int64_t n) noexcept nogil:
    """Consumer: `n` events more may come, as soon as the capacity allows."""
    cdef int64_t before
    if edge.ring != NULL:
        count_asked(edge, ring_ask(edge.ring, n))
        return
    # Nothing was sent yet, so there is no ring.
    before = asked_without_ring(edge)
    edge.wanted = edge.wanted + n if edge.wanted <= INT64_MAX - n else INT64_MAX
    count_asked(edge, asked_without_ring(edge) - before)


cdef void end_of_positions(ff_edge *edge) noexcept nogil:
    """The subscription has sent 2**63 - 1 events, the last position there is: its end follows, an OverflowError."""
    if not edge.ended:
        edge.ended = 1
        leave_dispatcher(edge)
        ring_mark(edge.ring, FF_END, 0)
        list_input(edge)


cdef void acknowledge(ff_edge *edge, int64_t n, int64_t filtered) noexcept nogil:
    """Consumer: `n` events are done with; ask for more when the rule says so.

    Of those, `filtered` were not what its selector wants: as many others are asked for at once.
    """
    cdef int64_t more
    ring_acknowledge(edge.ring, n)
    edge.consumer.handled += n
    if edge.ring.r.acked == INT64_MAX:
        end_of_positions(edge)
        return
    more = 0 if edge.manual else reask(&edge.open_demand, n - filtered, edge.max_demand, edge.min_demand)
    if more + filtered:
        ask(edge, more + filtered)
    elif edge.ring.r.wanted > edge.ring.r.asked:
        # Asked for beyond the capacity before; now there is room for some of it.
        count_asked(edge, ring_top_up(edge.ring))


# -- turns of native stages --

cdef inline int64_t segment_bytes(const ff_edge *edge) noexcept nogil:
    """What the next segment of a subscription takes."""
    cdef int64_t slots = edge.layout.most_slots
    return (edge.max_demand if edge.max_demand < slots else slots) * edge.layout.event_bytes


cdef void hold_back(ff_place *place, int64_t size) noexcept nogil:
    """Memory is short: no turn that makes events until somebody lets go of `size` bytes."""
    place.held_back = 1
    place.scheduler.held_back += 1
    place.scheduler.wanted_bytes = size + FF_ALIGNMENT * 64


cdef inline int64_t next_fill(ff_place *place, int64_t asked, bint native) noexcept nogil:
    """Events that a native producer fills in its next turn; with the last of them it is finishing."""
    cdef int64_t n = asked, left = place.kernel.remaining(place.kernel_state)
    if native and n > SUB_BATCH:
        n = SUB_BATCH
    elif n > MOST_FILLED:
        n = MOST_FILLED
    if n >= left:
        n = left
        place.finishing = 1
    return n


cdef void fill_for_all(ff_place *place) noexcept nogil:
    """A native producer fills one segment for all of its consumers."""
    cdef ff_dispatcher *dispatcher = place.dispatcher
    cdef ff_layout *layout = dispatcher.edges[0].layout
    cdef ff_segment *segment
    cdef int64_t began, n = next_fill(place, place.pending, dispatcher.native_consumers == dispatcher.consumers)
    if n == 0:
        return
    segment = segment_new(layout, n)
    if segment == NULL:
        place.finishing = 0
        hold_back(place, n * layout.event_bytes)
        return
    began = begin_sample(place)
    place.kernel.fill(place.kernel_state, segment.column[0], n)
    end_sample(place, began)
    share_with_all(place, segment, 0, n, FF_LAP)
    segment_release(segment)
    place.emitted += n
    count_shared(place, n)


cdef inline void fill_turn(ff_place *place) noexcept nogil:
    """A native producer answers the greatest demand."""
    cdef ff_edge *edge
    cdef ff_ring *ring
    cdef int64_t n, began, slot = -1
    if place.dispatcher.kind == TO_ALL:
        fill_for_all(place)
        return
    edge = greediest(place)
    n = next_fill(place, edge.pending, edge.consumer.kernel != NULL)
    if n == 0:
        return
    ring = ring_of(edge)
    if ring != NULL:
        slot = ring_claim(ring, n)
    if slot < 0:
        place.finishing = 0
        hold_back(place, segment_bytes(edge))
        return
    began = begin_sample(place)
    place.kernel.fill(place.kernel_state, ring.w.segment.column[0] + slot * ring.layout.size[0], n)
    end_sample(place, began)
    ring_publish(ring, n, FF_LAP)               # can't fail: the claim saw to it that there is room for a mark
    place.emitted += n
    count_sent(edge, n)


cdef inline bint consume_turn(ff_place *place) noexcept nogil:
    """A native consumer takes one delivery.  False: a mark or a selector comes first, and that needs Python."""
    cdef ff_edge *edge
    cdef ff_mark *lap = NULL
    cdef int64_t slot = 0, done = 0, part, size, n, began
    cdef const char *events = NULL
    if place.inputs_head.selects:
        return False
    edge = unlist_input(place)
    n = ring_read(edge.ring, edge.delivery, &lap, &slot)
    if n < 0:
        edge.ring.r.mark -= 1
        list_input_first(edge)
        return False
    size = edge.ring.layout.size[0] if edge.ring.layout.columns else 0
    if size and n:
        events = lap.segment.column[0] + slot * size
    began = begin_sample(place)
    while done < n:
        part = SUB_BATCH if n - done > SUB_BATCH else n - done
        place.kernel.consume(place.kernel_state, events + done * size if size else NULL, part)
        done += part
    end_sample(place, began)
    ring_advance(edge.ring, n)
    acknowledge(edge, n, 0)
    if has_input(edge):
        list_input(edge)
    return True


cdef inline bint alone_together(const ff_place *place, const ff_edge *edge) noexcept nogil:
    """Whether a native producer and the native consumer behind `edge` have nobody but each other to take turns with."""
    cdef const ff_place *other = edge.consumer
    return (place.scheduler.head == NULL and place.dispatcher.consumers == 1 and place.dispatcher.kind == TO_GREEDIEST
            and other.kernel != NULL and other.inputs_head == NULL and edge.ring != NULL
            and not edge.manual and not edge.selects and not other.emits and place.mail + place.due + other.mail + other.due == 0
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
        if place.turns & (TURNS_BETWEEN_SAMPLES - 1) == 0:
            break                       # a turn that is clocked, likewise
        if ring_through(edge.ring, n, place.kernel.fill, place.kernel_state,
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
            edge.pending += ring_ask(edge.ring, more)
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
                and alone_together(place, place.dispatcher.edges[0])):
            turns += pair_turns(place, place.dispatcher.edges[0], most - turns)
            if kind == next_kind(place) and place.dispatcher.edges[0].pending > 0:
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
