# cython: language_level=3
"""C interface of turns: places, subscriptions, the run queue, and the rules of demand."""
from libc.stdint cimport INT64_MAX, int8_t, int32_t, int64_t

from fastflow._core cimport ff_layout, ff_observe, ff_ring
from fastflow._native cimport ff_kernel
from fastflow._pool cimport ff_now
from fastflow._spans cimport ff_span, ff_spans


cdef enum:
    SUB_BATCH = 1024                # events that native stages take at a time: 8 KB of int64 stay in the nearest cache
    TURNS_BETWEEN_SAMPLES = 64      # whose callbacks are clocked

# What a place may have to do; also the order in which the kinds take turns.
cdef enum:
    MAIL = 1                        # a message, or the stage's own end
    TIMER = 2                       # a timer that is due
    INPUT = 4                       # events, or a mark
    DEMAND = 8                      # asked for and not yet sent

# A subscription, as the turn loop sees it.
ctypedef struct ff_edge:
    ff_ring *ring                   # NULL until something is sent: a subscription that waits costs no ring
    ff_place *producer
    ff_place *consumer
    ff_edge *next                   # in the consumer's queue of subscriptions with something to read
    ff_layout *layout               # of the ring, once the schema is known
    int64_t start                   # where its counters begin
    int64_t wanted                  # asked for before there was a ring
    int64_t max_demand              # also the capacity of the ring
    int64_t min_demand
    int64_t delivery                # events of one delivery at the most: max - min
    int64_t open_demand             # asked for by the re-ask rule and not yet handled
    int64_t pending                 # asked and not sent, as the dispatcher has counted it (not those of a broadcast)
    int64_t stamp                   # when its pending demand last changed: the older goes first among equals
    int64_t discarded               # events that it should have had and that were discarded
    ff_span *latest                 # if it conflates: the newest batch, which it had no room for; else NULL
    int64_t retry                   # events of the delivery that a Retry has put off; 0: none
    int32_t rank                    # index among the producer's consumers; -1: it takes nothing
    int32_t partition               # which one it takes
    int8_t lag                      # of a broadcast: what happens when it has no room
    int8_t selects                  # has a selector, which is called in Python
    int8_t casts                    # its events are converted on their way, which is done in Python
    int8_t listed                   # in the consumer's queue
    int8_t in_hand                  # a delivery of it is being handled in Python: what lies in the ring stays there
    int8_t manual                   # the consumer asks by itself
    int8_t ended                    # the producer has put the end behind its last event
    int8_t closed                   # neither side uses it any more
    void *face                      # the Edge object; not a reference: both places hold it until it is closed

# A place: where one stage sits, and what the scheduler must know about it.
ctypedef struct ff_place:
    ff_place *next                  # in the run queue
    ff_scheduler *scheduler
    ff_kernel *kernel               # native stage; else NULL
    void *kernel_state
    ff_edge *inputs_head            # subscriptions with something to read, in rotation
    ff_edge *inputs_tail
    ff_dispatcher *dispatcher       # NULL: it emits nothing
    int64_t pending                 # asked of it and not yet sent, as its dispatcher sees it
    int64_t buffered                # events emitted and not yet dispatched
    int64_t emitted
    int64_t handled
    int64_t turns
    int64_t callback_ns             # in the callbacks of sampled turns
    int64_t sampled                 # turns
    int32_t mail                    # messages that wait
    int32_t due                     # timers that are due
    int32_t drainable               # partitions with events that wait and a consumer that has asked
    int8_t queued                   # in the run queue
    int8_t last_kind                # of the last turn; the next one looks at the other kinds first
    int8_t emits                    # producer or producer_consumer
    int8_t fills_in_python          # native, but its events are converted or routed on their way, which is done in Python
    int8_t answers                  # has a handle_demand, or a kernel that fills
    int8_t parked                   # it answered its demand with nothing
    int8_t holding                  # its demand is held back until it is released
    int8_t held_back                # memory is short: it takes no turn that makes events
    int8_t suspended                # Retry: no turn until its timer
    int8_t redo                     # kind of the turn that a Retry has put off; 0: none
    int8_t finishing                # it has called finish(): ends when nothing of it waits
    int8_t ended
    void *face                      # the Place object (not a reference: the scheduler holds it)

# How a place's dispatcher chooses; see `_dispatch`.
cpdef enum:
    TO_GREEDIEST = 0                # demand: who has asked most
    TO_ALL = 1                      # broadcast
    BY_PARTITION = 2
    BY_PROTOCOL = 3                 # written in Python

# What a broadcast does about a reader without room.
cdef enum:
    BLOCK = 0
    DROP = 1
    CONFLATE = 2

# What waits for one partition, whether somebody takes it or not.
ctypedef struct ff_partition:
    ff_edge *edge                   # its consumer; NULL: there is none
    ff_spans queue
    int64_t unmet                   # what its consumer has asked for beyond what waits
    int64_t waits                   # events in the queue, as the sums below have counted them
    int32_t full                    # the queue has reached its bound
    int32_t drainable               # something waits, and its consumer has asked

# Who gets what a place emits, and what of that nobody has asked for yet.
ctypedef struct ff_dispatcher:
    ff_spans buffer                 # what waits for demand
    int64_t buffer_limit            # events; -1: keeps everything
    int64_t discarded               # events
    int64_t whole                   # its batches have at most so many events and are delivered whole; 0: as demand has it
    int64_t sent_before             # on subscriptions that are closed
    int64_t acked_before
    int32_t keeps_first             # a bounded buffer discards what is newest
    int32_t buffer_warned
    ff_edge **edges                 # the consumers; by demand: a heap, the greatest pending demand first
    int64_t *limits                 # of a broadcast: for each consumer the position up to which it has asked
    ff_partition *parts
    int64_t stamps
    int64_t position                # events broadcast
    int64_t lowest                  # the least of the limits
    int64_t second                  # the least above that, if `at_second` says that it is known
    int64_t pool                    # unmet demand over all partitions
    int64_t queued                  # events that wait for partitions
    int64_t queue_size              # where a partition's queue is full; 0: as large as its consumers' demand
    int64_t widest                  # the greatest max_demand of a consumer
    int32_t kind
    int32_t consumers
    int32_t room                    # of `edges` and `limits`
    int32_t at_lowest               # consumers whose limit is the lowest
    int32_t at_second               # consumers whose limit is the second; 0: it is not known
    int32_t blockers                # consumers that the others wait for
    int32_t native_consumers
    int32_t partitions
    int32_t full                    # partitions whose queue is full: nothing is asked for until they drain

ctypedef struct ff_scheduler:
    ff_place *head                  # the run queue, first in, first out
    ff_place *tail
    int32_t flag                    # look into the mailbox, or stop: set by other threads and by signals
    int32_t bell                    # what the driver sleeps on; changed by whoever sends mail
    int32_t held_back               # places that wait for memory
    int32_t padding
    ff_place *current               # whose turn in Python is under way; else NULL
    int64_t wanted_bytes            # what the last of them could not get
    int64_t turns


# -- decisions, without a thread or a clock --
cdef int64_t reask(int64_t *open_demand, int64_t handled, int64_t max_demand, int64_t min_demand) noexcept nogil

# -- what they lead to --
cdef void list_input_first(ff_edge *edge) noexcept nogil
cdef void forget_input(ff_edge *edge) noexcept nogil
cdef void ask(ff_edge *edge, int64_t n) noexcept nogil
cdef void acknowledge(ff_edge *edge, int64_t n, int64_t filtered) noexcept nogil
cdef void hold_back(ff_place *place, int64_t size) noexcept nogil
cdef int64_t native_turns(ff_place *place, int64_t most) noexcept nogil


# -- what every turn does, small enough to be part of its caller --

cdef inline bint at_mark(const ff_edge *edge) noexcept nogil:
    """Whether a word to the consumer comes next, which needs nobody's demand: all events before it are handled."""
    return ff_observe(edge.ring.sent) == edge.ring.r.position


cdef inline int32_t ready(const ff_place *place) noexcept nogil:
    """Kinds of turns that the place could take now."""
    cdef int32_t kinds = 0
    if place.ended or place.suspended:
        return 0
    if place.redo:
        # A turn that was put off comes first, if what it was about is still there.
        kinds = ((INPUT if place.inputs_head != NULL else 0) | (DEMAND if place.pending > 0 or place.buffered > 0 else 0)
                 | (TIMER if place.due > 0 else 0) | (MAIL if place.mail > 0 else 0))
        if kinds & place.redo:
            return place.redo
        kinds = 0
    if place.mail > 0 or (place.finishing and place.buffered == 0
                          and (place.dispatcher == NULL or place.dispatcher.queued == 0)):
        kinds |= MAIL
    if place.due > 0:
        kinds |= TIMER
    if place.held_back or place.holding:
        return kinds
    if place.drainable:
        kinds |= DEMAND
    if place.buffered > 0:
        # Only its buffer: neither input nor new demand is worked on while that is not empty.
        return kinds | (DEMAND if place.pending > 0 and not place.parked else 0)
    if place.finishing:
        return kinds
    if place.inputs_head != NULL and (not place.emits or place.pending > 0 or at_mark(place.inputs_head)):
        kinds |= INPUT
    if place.answers and place.pending > 0 and not place.parked:
        kinds |= DEMAND
    return kinds


cdef inline int64_t begin_sample(const ff_place *place) noexcept nogil:
    """The time, if this turn's callback is to be clocked; else 0."""
    return ff_now() if place.turns & (TURNS_BETWEEN_SAMPLES - 1) == 0 else 0


cdef inline void end_sample(ff_place *place, int64_t began) noexcept nogil:
    """The callback has returned."""
    if began:
        place.callback_ns += ff_now() - began
        place.sampled += 1


cdef inline int32_t next_kind(const ff_place *place) noexcept nogil:
    """The kind of turn that comes next: each in rotation after the last one; 0: the place is not ready."""
    cdef int32_t kinds = ready(place), kind = place.last_kind, _step
    if kinds & (kinds - 1) == 0:
        return kinds
    for _step in range(4):
        kind = kind << 1 if kind and kind < DEMAND else MAIL
        if kinds & kind:
            return kind
    return 0


cdef inline void enqueue(ff_place *place) noexcept nogil:
    """Put the place at the back of the run queue, if it is ready and not there yet."""
    cdef ff_scheduler *scheduler = place.scheduler
    if place.queued or ready(place) == 0:
        return
    place.queued = 1
    place.next = NULL
    if scheduler.tail == NULL:
        scheduler.head = place
    else:
        scheduler.tail.next = place
    scheduler.tail = place


cdef inline ff_place *dequeue(ff_scheduler *scheduler) noexcept nogil:
    cdef ff_place *place = scheduler.head
    if place != NULL:
        scheduler.head = place.next
        if scheduler.head == NULL:
            scheduler.tail = NULL
        place.queued = 0
    return place


cdef inline int64_t asked_without_ring(const ff_edge *edge) noexcept nogil:
    """What is asked for on a subscription on which nothing was sent yet: what the ring will say when it comes."""
    cdef int64_t most = INT64_MAX - edge.start
    if most > edge.max_demand:
        most = edge.max_demand
    return edge.wanted if edge.wanted < most else most


cdef inline bint has_input(const ff_edge *edge) noexcept nogil:
    """Whether events or a mark wait to be read."""
    return edge.ring != NULL and (ff_observe(edge.ring.sent) > edge.ring.r.position
                                  or ff_observe(edge.ring.marks_written) > edge.ring.r.mark + 1)


cdef inline void list_input(ff_edge *edge) noexcept nogil:
    """The subscription has something to read: it gets its turn after those that waited before."""
    cdef ff_place *place = edge.consumer
    if not edge.listed and not edge.closed:
        edge.listed = 1
        edge.next = NULL
        if place.inputs_tail == NULL:
            place.inputs_head = edge
        else:
            place.inputs_tail.next = edge
        place.inputs_tail = edge
    enqueue(place)


cdef inline ff_edge *unlist_input(ff_place *place) noexcept nogil:
    cdef ff_edge *edge = place.inputs_head
    if edge != NULL:
        place.inputs_head = edge.next
        if place.inputs_head == NULL:
            place.inputs_tail = NULL
        edge.listed = 0
    return edge
