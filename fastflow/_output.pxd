# cython: language_level=3
"""C interface of outputs and subscriptions."""
from libc.stdint cimport int32_t, int64_t

from fastflow._core cimport ff_segment
from fastflow._turn cimport ff_edge, ff_place, ff_scheduler
from fastflow._view cimport Form, Views, ff_span


cdef class Turns:
    """The run queue, shared by the places of one scheduler."""
    cdef ff_scheduler c
    cdef public object all_places   # () -> the Places, for those that wait for memory


cdef class Edge:
    """A subscription; `fastflow.runtime.Subscription` is its public face."""
    cdef ff_edge c
    cdef readonly Output producer_place
    cdef readonly Output consumer_place
    cdef Form form                  # of the events in the ring; None until the producer's first output says it
    cdef Views views                # the consumer's
    cdef readonly bint cast         # what the producer emits is converted on its way in
    cdef public object tag
    cdef public bint writable       # the consumer gets copies, which it may write to
    cdef public str cancel_mode
    cdef public object end_reason   # why the producer's side ended


cdef class Claim:
    cdef Views views
    cdef Edge edge                  # in place in the ring of this subscription; None: in a segment of their own
    cdef ff_segment *segment        # of its own: with one hold
    cdef bint active                # handed out in the turn under way
    cdef bint out                   # ... and neither emitted nor returned yet


cdef class Output:
    cdef ff_place c
    cdef Turns turns
    cdef public object host         # the runtime's part of the place: mail, failures, the end
    cdef public str name
    cdef readonly Form form         # of what it emits; None until the first output says it
    cdef public int64_t whole       # its batches have at most so many events and are delivered whole; 0: as demand has it
    cdef public object buffer_size  # events; None: keeps everything
    cdef public str buffer_keep
    cdef public list outputs        # Edges to its consumers
    cdef public list inputs         # Edges to its producers
    cdef public int32_t open_inputs
    # -- the turn under way --
    cdef bint in_turn
    cdef int32_t doing              # which callback, if it is one of the two frequent ones
    cdef str callback               # ... else its name
    cdef ff_edge *source            # whose events they are
    cdef list emits                 # what emit() was given
    cdef public list outbox         # (function, arguments) to call when the turn commits
    cdef ff_span *spans             # what the turn emits
    cdef int32_t span_count
    cdef int32_t span_room
    cdef Claim current              # the last claim; its arrays are used again
    cdef list earlier               # the claims before it in this turn
    # -- what waits for demand --
    cdef ff_span *buffer            # a circle of `buffer_room`
    cdef int64_t buffer_room
    cdef int64_t buffer_first
    cdef int64_t buffer_spans
    cdef readonly int64_t discarded
    cdef bint buffer_warned

    cdef object claim_slots(self, object count)
    cdef object claim_apart(self, int64_t n)
    cdef bint was_emitted(self, Claim claim) except -1
    cdef int put_by(self, Claim claim) except -1
    cdef void end_claims(self) noexcept
    cdef int collect(self, object events, Views given, ff_span *span) except -1
    cdef int collect_claim(self, Claim claim, object events, int64_t n, ff_span *span) except -1
    cdef int add_span(self, ff_span *span) except -1
    cdef void drop_spans(self) noexcept
    cdef str where(self)
    cdef str callback_name(self)
    cdef int dispatch(self, ff_span *span) except -1
    cdef int send(self, Edge edge, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) except -1
    cdef int push_buffer(self, ff_span *span, bint front) except -1
    cdef int insert_buffer(self, ff_span *span, int64_t index) except -1
    cdef int trim_buffer(self) except -1
    cdef int64_t drain_buffer(self) except -1
