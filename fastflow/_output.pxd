# cython: language_level=3
"""C interface of outputs: claims, and what a turn emits."""
from libc.stdint cimport int32_t, int64_t

from fastflow._core cimport ff_ring, ff_segment
from fastflow._spans cimport ff_span
from fastflow._turn cimport ff_edge, ff_place, ff_scheduler
from fastflow._view cimport Form, Views


cdef class Turns:
    """The run queue, shared by the places of one scheduler."""
    cdef ff_scheduler c
    cdef public object all_places   # () -> the Places, for those that wait for memory


cdef class Claim:
    cdef Views views
    cdef ff_ring *ring              # in place in this ring; NULL: in a segment of their own
    cdef object edge                # keeps the ring alive
    cdef ff_segment *segment        # of its own: with one hold
    cdef bint active                # handed out in the turn under way
    cdef bint out                   # ... and neither emitted nor returned yet


cdef class Output:
    cdef ff_place c
    cdef Turns turns
    cdef public object host         # the runtime's part of the place: mail, failures, the end
    cdef public int64_t number      # among the unnamed stages of its class
    cdef readonly Form form         # of what it emits; None until the first output says it
    # -- the turn under way --
    cdef bint in_turn
    cdef public bint unshuffled     # the order of its consumers is still to be shuffled
    cdef int32_t doing              # which callback, if it is one of the two frequent ones
    cdef str callback               # ... else its name
    cdef ff_edge *source            # whose events they are
    cdef list emits                 # what emit() was given; None: nothing yet
    cdef list outbox                # (function, arguments) to call when the turn commits; None: nothing yet
    cdef ff_span *spans             # what the turn emits
    cdef int32_t span_count
    cdef int32_t span_room
    cdef Claim current              # the last claim; its arrays are used again
    cdef list earlier               # the claims before it in this turn; None: there was none yet

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
