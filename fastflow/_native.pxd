"""The C face of native stages: what the turn loop, or a module of your own, may cimport."""

from libc.stdint cimport int64_t


cdef extern from "_kernels.h":
    ctypedef struct ff_kernel:
        int64_t (*fill)(void *state, char *out, int64_t n) noexcept nogil
        void (*consume)(void *state, const char *events, int64_t n) noexcept nogil
        int64_t (*remaining)(void *state) noexcept nogil


cdef class Kernel:
    # The loops, NULL where the stage has no such side, and what they work on: plain memory without
    # pointers, on a cache line of its own.  Both live as long as the kernel and never move.
    cdef ff_kernel *kernel
    cdef void *state
    cdef readonly object dtype              # numpy.dtype; None: any schema, and events may be NULL
    cdef readonly Py_ssize_t state_bytes

    cdef ff_kernel loops
    cdef char *memory                       # as allocated; the state is aligned inside it
    cdef int type                           # enum ff_type; -1: none
    cdef bytes tag                          # heads every snapshot
    cdef int hold(self, Py_ssize_t state_bytes) except -1
    cdef int check(self, const char *state) except -1


cdef class FoldKernel(Kernel):
    pass
