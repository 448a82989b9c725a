# cython: language_level=3
"""C interface of places: turns in Python."""
cimport cython
from libc.stdint cimport int32_t, int64_t

from fastflow._router cimport Router
from fastflow._sender cimport Edge
from fastflow._spans cimport ff_span
from fastflow._state cimport State
from fastflow._turn cimport ff_edge
from fastflow._view cimport Views


@cython.final
cdef class Place(Router):
    cdef public object stage
    # -- bound callbacks --
    cdef object handle_events       # the class's function, or the bound method; None: not called yet
    cdef bint bound                 # it is the latter
    cdef object handle_demand
    cdef object kernel              # native stage: keeps the C side alive
    cdef State state                # what it declares; None: nothing
    cdef object mail                # deque of messages; None: there was none yet
    cdef object due                 # deque of due timers; None: there was none yet
    # -- the turn under way --
    cdef int64_t first
    cdef int64_t count
    cdef int64_t filtered           # events of the delivery that the selector does not want
    cdef bint wants_end
    cdef object generator           # the turn's rng

    cdef int run_turn(self, int32_t kind) except -1
    cdef int input_turn(self) except -1
    cdef object deliver(self, Edge edge, Views views)
    cdef object call(self, object events, Edge edge)
    cdef object wanted(self, Edge edge, object batch, int64_t n)
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
