# cython: language_level=3
"""C interface of places: turns in Python."""
cimport cython
from libc.stdint cimport int32_t, int64_t

from fastflow._output cimport Edge, Output
from fastflow._state cimport State
from fastflow._turn cimport ff_edge
from fastflow._view cimport Views, ff_span


@cython.final
cdef class Place(Output):
    cdef public object stage
    cdef public object seed
    # -- bound callbacks --
    cdef object handle_events
    cdef object handle_demand
    cdef object kernel              # native stage: keeps the C side alive
    cdef State state                # what it declares; None: nothing
    cdef public object mail         # deque of messages
    cdef public object due          # deque of due timers
    # -- the turn under way --
    cdef int64_t first
    cdef int64_t count
    cdef bint wants_end
    cdef object generator           # the turn's rng

    cdef int run_turn(self, int32_t kind) except -1
    cdef int input_turn(self) except -1
    cdef int consume_in_python(self, Edge edge, ff_span *span, bint gathered) except -1
    cdef int advance_over(self, ff_edge *c, int64_t n) except -1
    cdef int gathered(self, Edge edge, ff_span *span, int64_t limit) except -1
    cdef int demand_turn(self) except -1
    cdef object answer(self)
    cdef int commit_turn(self, object result, Views given) except -1
    cdef void leave(self) noexcept
    cdef int turn_failed(self, object error, int32_t kind) except -1
    cdef object turn_rng(self)


cdef class StageBase:
    cdef readonly Place _place
    cdef readonly tuple _arguments
    cdef readonly dict _keywords
