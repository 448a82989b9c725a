# cython: language_level=3
"""C interface of routers."""
from libc.stdint cimport int32_t

from fastflow._sender cimport Sender
from fastflow._spans cimport ff_span


cdef class Router(Sender):
    cdef object route(self, ff_span *span)
    cdef int put_part(self, int32_t index, ff_span *span) except -1
    cdef int publish_part(self, int32_t index, ff_span *span) except -1
    cdef int check_shares(self, list takers) except -1
