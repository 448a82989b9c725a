# cython: language_level=3
"""C interface of senders: subscriptions, and the way of spans to them."""
from libc.stdint cimport int32_t, int64_t

from fastflow._core cimport ff_segment
from fastflow._output cimport Output
from fastflow._spans cimport ff_span, ff_spans
from fastflow._turn cimport ff_edge
from fastflow._view cimport Form, Views


cdef class Edge:
    """A subscription; `fastflow.runtime.Subscription` is its public face."""
    cdef ff_edge c
    cdef readonly Sender producer_place
    cdef readonly Sender consumer_place
    cdef Form form                  # of the events in the ring; None until the producer's first output says it
    cdef Views views                # the consumer's; None until the first delivery
    cdef public object options      # checked options, which many subscriptions may share
    cdef public object end_reason   # why the producer's side ended
    cdef bint writable              # the consumer gets copies, which it may write to
    cdef public bint late           # a turn does not acknowledge its batch: the consumer does, later
    cdef object unacknowledged      # if late: (events, filtered) of each batch that was delivered; None: no such batch
    cdef int32_t index              # among the producer's outputs

    cdef Views reader_views(self)
    cdef int delivered_late(self, int64_t n, int64_t filtered) except -1


cdef class Sender(Output):
    cdef readonly object dispatcher     # as Python sees it
    cdef list outputs               # Edges to its consumers; None: it emits nothing
    cdef object inputs              # Edges to its producers: None, one, or a list of them
    cdef public int32_t open_inputs
    cdef Views shared_views         # what all readers of a broadcast see
    cdef list routes                # of the turn's spans: partition numbers; None: not by partition
    cdef list infos                 # messages that come behind what waits; None: there are none
    cdef bint info_is_due           # the first of them stands in the mail
    cdef list behind_input          # messages that come behind what has come in; None: there are none
    cdef bint dispatching           # a dispatcher in Python is asked who gets what

    cdef int send_spans(self, ff_span *last, object last_route) except -1
    cdef int dispatch(self, ff_span *span, object route) except -1
    cdef int share(self, ff_span *span) except -1
    cdef int share_greedily(self, ff_span *span) except -1
    cdef int broadcast(self, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) except -1
    cdef int send(self, Edge edge, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) except -1
    cdef int take_back(self, Edge edge, ff_span *span, int64_t index) except -1
    cdef int wait_in_buffer(self, ff_span *span) except -1
    cdef int trim(self, ff_spans *spans) except -1
    cdef int64_t drain(self) except -1
    cdef int scatter(self, ff_span *span, object route) except -1
    cdef int deliver_part(self, int32_t index) except -1
    cdef bint has_left(self, list targets) except -1
    cdef ff_spans *spans_of(self, int32_t index)
