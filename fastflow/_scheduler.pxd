# cython: language_level=3
"""C interface of schedulers."""
cimport cython
from libc.stdint cimport int32_t, int64_t

from fastflow._output cimport Turns
from fastflow._place cimport Place


cdef class Timer:
    cdef readonly double due                # seconds on the runtime's clock
    cdef readonly Place place
    cdef readonly object message
    cdef readonly bint cancelled
    cdef readonly bint resumes              # no message: the end of a Retry's pause


cdef class Reply:
    cdef int32_t answered
    cdef int32_t fetched
    cdef object value
    cdef object error


@cython.final
cdef class Scheduler(Turns):
    cdef readonly object mailbox            # deque of (function, arguments), filled by any thread
    cdef readonly list timers               # heap of (due, number, Timer)
    cdef int64_t timer_numbers
    cdef public object clock
    cdef int32_t asleep
    cdef bint collected                     # the garbage collector has run since memory is short
    cdef int32_t turns_held                 # paused blocks that are open: mail is read, no turn is taken
    cdef public bint pausing                # leave the loop before the next turn
    cdef public bint interrupted            # Ctrl-C between two turns

    cdef int empty_mailbox(self) except -1
    cdef int fire_timers(self) except -1
    cdef int64_t loop(self, int64_t most) except -1
