# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: hashes and dispatchers of the user's are called, which needs the GIL --
"""Routers: events to the partitions they belong to, or to whom a dispatcher in Python says.

    a batch ─▶ hash: which partition is each event's ─▶ commit: scatter ──▶ ring of its consumer, if that has asked
               may raise: then nothing happened                        └──▶ queue of the partition

The hash is asked while the turn can still be rolled back; the commit then writes each event where its consumer reads
it, in the order in which they came.  What waits for a partition waits there also when its consumer has gone, for the
next one.

A dispatcher of the user's own is asked about what lies in the stage's buffer, so that an error in it loses nothing.
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from numpy cimport PyArray_DATA, import_array, ndarray

from fastflow.errors import CallbackError

from fastflow._core cimport FF_LAP, ff_ring, ring_claim, ring_publish, segment_hold, segment_release
from fastflow._dispatch cimport count_sent, ring_of, settle_partition
from fastflow._pool cimport segment_anyway
from fastflow._scatter cimport ff_scatter_column
from fastflow._sender cimport Edge, Sender
from fastflow._spans cimport ff_span, spans_at, spans_push, spans_take
from fastflow._turn cimport ff_edge, ff_partition, ff_place
from fastflow._view cimport Views, span_of_list

import_array()


cdef class Router(Sender):
    """A sender that knows where each event belongs."""

    # -- by partition --

    cdef object route(self, ff_span *span):
        """Ask the dispatcher which partition each event belongs to, before anything is committed.

        What it replaces the events with takes the span's place.  The caller's hold is given back when it raises.
        """
        cdef Views views = Views(self.form, False, self)
        cdef ff_span other
        doing, callback = self.doing, self.callback
        self.doing, self.callback = 0, "the hash of the dispatcher"
        try:
            batch = views.give(span.segment, span.slot, span.n)
            if self.form.columns == 0:
                batch = list(batch)         # the hash may change its list; the events are those that were emitted
            replaced, ids, counts = self.dispatcher.route(batch, self.c.emitted)
            if self.emits is not None:
                self.emits = None
                raise CallbackError(f"emit of {self.name!r}: got a call in the hash of its dispatcher, expected one in a callback; "
                                    "let the hash return (events, partitions)")
            if replaced is not None:
                other.n = 0
                try:
                    self.collect(replaced, views, &other)
                except Exception as error:
                    error.add_note(f"in what the hash returned for events {self.c.emitted} to {self.c.emitted + span.n - 1}")
                    raise
                if other.n != span.n:
                    if other.n:
                        segment_release(other.segment)
                    raise CallbackError(f"hash of the dispatcher of {self.name!r}: got {other.n} events back, expected "
                                        f"{span.n}, one for each; return (events, partitions) of the same length")
                segment_release(span.segment)
                span[0] = other
                replaced = None
            batch = None
            views.take_back()
        except BaseException:
            if not span.in_place:
                segment_release(span.segment)
            raise
        self.doing, self.callback = doing, callback
        return ids, counts

    cdef int scatter(self, ff_span *span, object route) except -1:
        """Each event to its partition: into the consumer's ring if there is demand, else into the partition's queue."""
        cdef int32_t partitions = self.c.dispatcher.partitions
        cdef ndarray ids = route[0], counts = route[1]
        cdef const int64_t *count = <const int64_t *> PyArray_DATA(counts)
        cdef ff_span *parts = <ff_span *> malloc(partitions * sizeof(ff_span))
        cdef char **targets = <char **> malloc(partitions * sizeof(char *))
        cdef int64_t size
        cdef int32_t p, column
        try:
            if parts == NULL or targets == NULL:
                raise MemoryError("no memory to scatter events")
            self.c.dispatcher.discarded += count[partitions]
            if self.form.columns == 0:
                self.scatter_objects(<list> span.segment.owner, span.slot, ids)
                return 0
            for p in range(partitions):
                parts[p].n = count[p]
                if parts[p].n:
                    self.put_part(p, &parts[p])
            for column in range(self.form.columns):
                size = self.form.layout.size[column]
                for p in range(partitions):
                    if parts[p].n:
                        targets[p] = parts[p].segment.column[column] + parts[p].slot * size
                ff_scatter_column(
                    span.segment.column[column] + span.slot * size, size, span.n, PyArray_DATA(ids), partitions, targets)
            for p in range(partitions):
                if parts[p].n:
                    self.publish_part(p, &parts[p])
        finally:
            free(parts)
            free(targets)
            segment_release(span.segment)
        return 0

    def scatter_objects(self, list events, int64_t first, ids):
        """The same with Python objects: a list for each partition."""
        cdef ff_span span
        lists = [[] for _ in range(self.c.dispatcher.partitions + 1)]
        # Not by index: who emitted the list may still hold it, and have made it shorter.
        for event, number in zip(events[first:first + len(ids)], ids.tolist(), strict=False):
            lists[number].append(event)
        lists.pop()
        for number, part in enumerate(lists):
            if part:
                span.kind, span.in_place = FF_LAP, 0
                span_of_list(part, &span)
                self.publish_part(number, &span)

    cdef int put_part(self, int32_t index, ff_span *span) except -1:
        """Slots for a partition's events: in its consumer's ring if that has asked for them, else where they can wait."""
        cdef ff_partition *part = &self.c.dispatcher.parts[index]
        cdef ff_edge *edge = part.edge
        cdef ff_ring *ring
        span.kind, span.in_place = FF_LAP, 0
        if (edge != NULL and part.queue.events == 0 and edge.pending >= span.n and not edge.casts
                and not self.c.holding):
            ring = ring_of(edge)
            if ring != NULL:
                span.slot = ring_claim(ring, span.n)
                if span.slot >= 0:
                    span.segment, span.in_place = ring.w.segment, 1
                    return 0
        # A commit that is under way must end, so the memory limit does not stop it.
        span.segment, span.slot = segment_anyway(self.form.layout, span.n), 0
        if span.segment == NULL:
            raise MemoryError(f"no memory for {span.n} events of a partition")
        return 0

    cdef int publish_part(self, int32_t index, ff_span *span) except -1:
        """A partition's events are written: let its consumer have them, or let them wait."""
        cdef ff_partition *part = &self.c.dispatcher.parts[index]
        if span.in_place:
            ring_publish(part.edge.ring, span.n, FF_LAP)
            count_sent(part.edge, span.n)
            return 0
        if spans_push(&part.queue, span) < 0:
            raise MemoryError("no memory for a partition's queue")
        settle_partition(&self.c, index)
        if not self.c.holding:
            self.deliver_part(index)
        if self.c.dispatcher.buffer_limit >= 0:
            self.trim(&part.queue)
            settle_partition(&self.c, index)
        return 0

    cdef int deliver_part(self, int32_t index) except -1:
        """Send what waits for a partition, as far as its consumer has asked."""
        cdef ff_partition *part = &self.c.dispatcher.parts[index]
        cdef ff_span span
        cdef int64_t n
        while part.edge != NULL and part.edge.pending > 0 and part.queue.events > 0:
            span = spans_at(&part.queue, 0)[0]
            n = span.n if span.n < part.edge.pending else part.edge.pending
            segment_hold(span.segment)
            spans_take(&part.queue, n)
            try:
                self.send(<Edge> part.edge.face, span.segment, span.slot, n, span.kind)
            finally:
                segment_release(span.segment)
        return 0

    # -- by protocol --

    def demands(self):
        """What each consumer has asked for and was not sent yet."""
        return {edge: (<Edge> edge).c.pending for edge in self.outputs if (<Edge> edge).c.rank >= 0}

    def shares(self, events, int64_t n):
        """What a dispatcher in Python says about `n` waiting events; what it asks of the runtime is done behind that."""
        cdef ff_place *outer = self.turns.c.current
        self.dispatching = True
        self.turns.c.current = &self.c
        try:
            return self.dispatcher._checked_shares(self.name, events, n, self.demands())
        finally:
            self.dispatching = False
            self.turns.c.current = outer

    cdef int check_shares(self, list takers) except -1:
        """Refuse more than somebody has asked for, now that it is known how many events each share has."""
        cdef dict given = {}
        cdef int32_t i
        for i in range(len(takers)):
            edge = takers[i]
            n = given[edge] = given.get(edge, 0) + self.spans[i].n
            if n > (<Edge> edge).c.pending:
                raise CallbackError(f"dispatch of the dispatcher of {self.name!r}: got {n} events for {edge!r}, expected at most "
                                    f"the {(<Edge> edge).c.pending} that it has asked for; give it fewer")
        return 0

    def serve_protocol(self):
        """Let a dispatcher in Python say who gets what waits; nothing leaves before all it says is checked."""
        cdef ff_span *span
        cdef ff_span part
        cdef Views views
        cdef int64_t moved = 0, taken, shared
        while self.c.dispatcher.buffer.events > 0:
            span = spans_at(&self.c.dispatcher.buffer, 0)
            views = Views(self.form, False, self)
            events = views.give(span.segment, span.slot, span.n)
            if self.form.columns == 0:
                events = list(events)       # the dispatcher may change its list; what waits stays as it is
            taken, shares = self.shares(events, span.n)
            if not taken:
                break
            takers = []
            shared = 0
            try:
                while shares:
                    edge, share = shares.pop()
                    if self.collect(share, views, &part):
                        self.add_span(&part)
                        takers.append(edge)
                        shared += part.n
                    share = None
                self.check_shares(takers)
                for i in reversed(range(len(takers))):
                    self.send(<Edge> takers[i], self.spans[i].segment, self.spans[i].slot, self.spans[i].n, FF_LAP)
            finally:
                self.drop_spans()
            if shared < taken:
                self.c.dispatcher.discarded += taken - shared       # nobody gets these
            events = None
            views.take_back()
            moved += taken
            spans_take(&self.c.dispatcher.buffer, taken)
            self.c.buffered = self.c.dispatcher.buffer.events
        return moved
