# cython: language_level=3
"""C interface of declared state."""


cdef class State:
    cdef readonly tuple names
    cdef list saved                 # as of the last commit
    cdef list spare                 # what the next commit writes into

    cdef int save(self, object stage) except -1
    cdef int keep(self) except -1
    cdef int restore(self, object stage) except -1
