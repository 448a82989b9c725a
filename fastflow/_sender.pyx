# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: what a commit does to other places, with Python objects at either end --
"""Senders: from spans to consumers, by whatever dispatcher the stage has.

                    ┌─ demand:    who has asked most, then the next      (in place, or a hold on the segment)
    spans ─▶ send ──┼─ broadcast: all of them                            (a hold for each, no copy)
                    └─ partition, protocol: `fastflow._router`
                         └──▶ what nobody has asked for waits: in the buffer, or in its partition's queue

A *whole* batch (of a stage that says ``whole = n``) is neither cut nor joined: it waits until one consumer's pending
demand is as large as the batch.

A subscription (`Edge`) has no ring until the first event is sent on it: one that waits costs some three hundred bytes.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t

import random
from collections import deque

from fastflow.errors import DemandError

from fastflow._core cimport (
    FF_END, FF_WHOLE, ff_mark, ff_observe, ff_ring, ff_segment, ring_advance, ring_append, ring_clear, ring_mark, ring_publish,
    ring_read, ring_rewind, segment_hold, segment_release,
)
from fastflow._dispatch cimport (
    count_asked, count_sent, count_shared, drop_latest, greediest, join_dispatcher, keep_latest, leave_dispatcher, make_way,
    restamp, ring_of, settle_partition, share_with_all,
)
from fastflow._output cimport Output
from fastflow._pool cimport pool_give, segment_anyway
from fastflow._spans cimport ff_span, ff_spans, spans_at, spans_drop_last, spans_insert, spans_push, spans_take
from fastflow._turn cimport (
    BLOCK, BY_PARTITION, BY_PROTOCOL, CONFLATE, TO_ALL, TO_GREEDIEST, acknowledge, ask, asked_without_ring, enqueue,
    ff_dispatcher, ff_edge, forget_input, list_input, list_input_first,
)
from fastflow._view cimport Form, Views, copy_into, form_of

cdef enum:
    BUFFER_WARNING_BYTES = 64 << 20


cdef class Edge:
    """Base of subscriptions: a ring with a stage at either end."""

    def __cinit__(self, Sender producer, Sender consumer, options):
        self.c.face = <void *> self
        self.c.rank = self.index = -1
        self.producer_place, self.consumer_place, self.options = producer, consumer, options
        self.c.producer, self.c.consumer = &producer.c, &consumer.c
        self.c.max_demand, self.c.min_demand = options.max_demand, options.min_demand
        self.c.delivery = self.c.max_demand - self.c.min_demand
        self.c.partition, self.c.lag = options.partition, options.lag
        self.writable = options.writable
        self.c.selects = options.selector is not None

    def __dealloc__(self):
        drop_latest(&self.c)
        if self.c.ring != NULL:
            ring_clear(self.c.ring)
            pool_give(self.c.ring, sizeof(ff_ring))
            self.c.ring = NULL

    def connect(self, bint manual):
        """Join the two places; nothing is asked yet."""
        cdef Sender producer = self.producer_place
        self.c.manual = manual
        if producer.c.dispatcher.whole > self.c.min_demand:
            # With less open than a whole batch needs neither side would move: ask before that.
            self.c.min_demand = producer.c.dispatcher.whole - 1
        if join_dispatcher(&self.c) < 0:
            raise MemoryError("no memory for a subscription")
        self.index = <int32_t> len(producer.outputs)
        producer.outputs.append(self)
        self.consumer_place.add_input(self)
        count_asked(&self.c, asked_without_ring(&self.c))   # by a dispatcher that heard of it before

    def set_schema(self, schema, bint cast):
        """Fix what one event in the ring is, before the first one."""
        cdef Form emitted = self.producer_place.form
        # Most often it is what the producer emits: no need to look it up for each of a million.
        self.form = emitted if emitted is not None and schema is emitted.schema else form_of(schema)
        self.c.casts = cast
        if cast:
            self.c.producer.fills_in_python = 1
        self.c.layout = self.form.layout
        if self.c.ring != NULL:
            self.form.layout.references += 1
            self.c.ring.layout = self.form.layout

    cdef Views reader_views(self):
        """What the consumer's batches are seen through."""
        cdef Sender producer = self.producer_place
        if self.views is None:
            if self.c.producer.dispatcher.kind != TO_ALL or self.c.casts or not self.form.plain:
                self.views = Views(self.form, False, self.consumer_place)
            else:
                # All readers of a broadcast see the same memory, one after the other.
                if producer.shared_views is None:
                    producer.shared_views = Views(self.form, False, None)
                self.views = producer.shared_views
        self.views.keeper = self.consumer_place
        return self.views

    @property
    def schema(self):
        return None if self.form is None else self.form.schema

    def set_manual(self, bint manual):
        self.c.manual = manual

    def start_asking(self):
        """The first ask of an automatic subscription: max_demand."""
        if not self.c.manual and not self.c.closed and not self.c.ended:
            self.c.open_demand = self.c.max_demand
            ask(&self.c, self.c.max_demand)

    def add_demand(self, n):
        """`n` events more may come (0: nothing happens)."""
        cdef int64_t more = min(n, INT64_MAX)
        if more > 0 and not self.c.closed and not self.c.ended:
            ask(&self.c, more)

    cdef int delivered_late(self, int64_t n, int64_t filtered) except -1:
        """A turn has moved past `n` events, of which the consumer was given all but the `filtered` ones."""
        if self.unacknowledged is None:
            self.unacknowledged = deque()
        if filtered < n:
            self.unacknowledged.append((n, filtered))
        elif self.unacknowledged:
            # Nobody will say that these are handled, so they go with the batch before them.
            before, filtered_before = self.unacknowledged.pop()
            self.unacknowledged.append((before + n, filtered_before + filtered))
        else:
            acknowledge(&self.c, n, filtered)
        return 0

    def acknowledge_late(self):
        """The oldest batch that was delivered and not acknowledged is handled; asks for more by the rules.

        For a subscription whose `late` is set: its consumer hands the batches on, and a turn does not acknowledge them.
        """
        cdef int64_t n, filtered
        if self.c.closed:
            return                              # what was not acknowledged has gone back
        if not self.unacknowledged:
            raise DemandError("acknowledge_late: got no batch that is not acknowledged, expected one; say it once a batch")
        n, filtered = self.unacknowledged.popleft()
        acknowledge(&self.c, n, filtered)

    def put_end(self, reason):
        """Producer: no event comes behind the last one; `reason` says why."""
        cdef ff_ring *ring
        if self.c.ended or self.c.closed:
            return
        self.c.ended = 1
        self.end_reason = reason
        leave_dispatcher(&self.c)
        ring = ring_of(&self.c)
        if ring == NULL or ring_mark(ring, FF_END, 0) < 0:
            raise MemoryError("no memory for the end of a subscription")
        if self.c.consumer.emits and self.c.consumer.pending == 0 and ff_observe(ring.sent) == ring.r.position:
            # No event stands before it, so it need not wait behind those of others for demand.
            list_input_first(&self.c)
            enqueue(self.c.consumer)
        else:
            list_input(&self.c)

    def close(self, bint give_back):
        """Neither side uses it any more.  What was sent and not acknowledged goes back to the producer."""
        cdef Sender producer = self.producer_place, consumer = self.consumer_place
        cdef ff_ring *ring = self.c.ring
        if self.c.closed:
            return
        if self.index < 0:
            self.c.closed = 1                   # it has not joined the two places yet, and will not
            return
        leave_dispatcher(&self.c)
        self.c.retry = 0
        drop_latest(&self.c)
        if ring != NULL and give_back:
            self.give_back()
        # Closed before it leaves the queue, which holds no reference to it: so it can't get in again.
        self.c.closed = 1
        forget_input(&self.c)
        _asked, sent, acked = self.counters
        producer.c.dispatcher.sent_before += sent - self.c.start
        producer.c.dispatcher.acked_before += acked - self.c.start
        producer.remove_output(self)
        consumer.remove_input(self)
        if consumer.c.inputs_head != NULL:
            enqueue(&consumer.c)
        if consumer.behind_input is not None:
            consumer.check_behind_input()
        producer.c.parked = 0               # what came back may be just what somebody has asked for
        enqueue(&producer.c)
        if producer.by_protocol:
            producer.host.consumer_left(self)   # a dispatcher of the user's: it may do, and raise, anything

    def give_back(self):
        """What was not acknowledged: to the front of what waits.

        Of a broadcast others have it, and a producer that has ended takes nothing back: then it is discarded.
        """
        cdef Sender producer = self.producer_place
        cdef ff_ring *ring = self.c.ring
        cdef ff_mark *lap = NULL
        cdef int64_t slot = 0, n
        cdef ff_span span
        if producer.c.dispatcher.kind == TO_ALL or producer.c.ended:
            self.c.discarded += ring.w.sent - ring.r.acked
            if producer.c.dispatcher.kind != TO_ALL:
                producer.c.dispatcher.discarded += ring.w.sent - ring.r.acked
            return
        ring_rewind(ring)
        back = 0
        while True:
            n = ring_read(ring, INT64_MAX, &lap, &slot)
            if n == 0:
                break
            if n > 0:
                span.segment, span.slot, span.n, span.kind, span.in_place = lap.segment, slot, n, lap.kind, 0
                if self.c.casts:
                    span.segment, span.slot = converted(self.form, producer.form, lap.segment, slot, n), 0
                else:
                    segment_hold(lap.segment)
                producer.take_back(self, &span, back)
                back += 1
                ring_advance(ring, n)

    @property
    def closed(self):
        return bool(self.c.closed)

    @property
    def ended(self):
        return bool(self.c.ended)

    @property
    def manual(self):
        return bool(self.c.manual)

    @property
    def counters(self):
        """(asked, sent, acked)."""
        cdef ff_ring *ring = self.c.ring
        if ring == NULL:
            return self.c.start + asked_without_ring(&self.c), self.c.start, self.c.start
        return ff_observe(ring.asked), ff_observe(ring.sent), ff_observe(ring.acked)

    @property
    def waiting(self):
        """Events in flight, and those that wait for its partition."""
        if self.c.closed:
            return 0
        _asked, sent, acked = self.counters
        if self.c.rank >= 0 and self.c.producer.dispatcher.kind == BY_PARTITION:
            return sent - acked + self.c.producer.dispatcher.parts[self.c.partition].queue.events
        return sent - acked + (self.c.latest.n if self.c.latest != NULL else 0)

    @property
    def discarded(self):
        return self.c.discarded

    @property
    def pending(self):
        """Asked and not yet sent."""
        asked, sent, _acked = self.counters
        return asked - sent

    @property
    def partition(self):
        """Number of the partition that it takes."""
        return self.c.partition

    @property
    def capacity(self):
        return self.c.max_demand

    @property
    def min_demand(self):
        return self.c.min_demand

    @property
    def wanted(self):
        if self.c.ring != NULL:
            return self.c.ring.r.wanted
        return self.c.start + min(self.c.wanted, INT64_MAX - self.c.start)

    def start_cursors_at(self, int64_t start):
        """Let the counters begin at `start` (a hook for tests), before anything is asked."""
        self.c.start = start


cdef class Sender(Output):
    """A place's subscriptions, and how what it emits gets to them."""

    def __cinit__(self, *args):
        if self.c.emits:
            self.outputs = []

    def choose(self, dispatcher, int32_t kind, int32_t partitions=0, int64_t queue_size=0, bint shuffle=False):
        """Say by which dispatcher events leave; before the first subscription."""
        self.dispatcher = dispatcher
        self.set_dispatcher(kind, partitions, queue_size)
        self.unshuffled = shuffle
        if kind == BY_PARTITION:
            self.routes = []
        if shuffle or kind in (BY_PARTITION, BY_PROTOCOL):
            self.c.fills_in_python = 1

    # -- subscriptions --

    @property
    def output_edges(self):
        """The subscriptions of its consumers."""
        return [] if self.outputs is None else self.outputs

    @property
    def input_edges(self):
        """Its subscriptions to producers."""
        if self.inputs is None:
            return []
        return self.inputs if type(self.inputs) is list else [self.inputs]

    def add_input(self, Edge edge):
        self.open_inputs += 1
        if self.inputs is None:
            self.inputs = edge              # most stages have one
        elif type(self.inputs) is list:
            self.inputs.append(edge)
        else:
            self.inputs = [self.inputs, edge]

    def remove_input(self, Edge edge):
        self.open_inputs -= 1
        if self.inputs is edge:
            self.inputs = None
        else:
            self.inputs.remove(edge)

    def remove_output(self, Edge edge):
        """The last one takes its place, so that a million can leave in any order; not where the order is a promise."""
        cdef Edge last = self.outputs[len(self.outputs) - 1]
        cdef int32_t i
        if self.c.dispatcher.kind == BY_PROTOCOL:
            del self.outputs[edge.index]
            for i in range(edge.index, <int32_t> len(self.outputs)):
                (<Edge> self.outputs[i]).index = i
            return
        self.outputs[edge.index] = last
        last.index = edge.index
        self.outputs.pop()

    @property
    def by_protocol(self):
        """Whether a dispatcher written in Python says who gets what."""
        return self.c.dispatcher != NULL and self.c.dispatcher.kind == BY_PROTOCOL

    @property
    def has_consumers(self):
        """Whether anybody takes what it emits."""
        return self.c.dispatcher != NULL and self.c.dispatcher.consumers > 0

    @property
    def waiting(self):
        """Events emitted and not yet sent."""
        return self.c.buffered + (self.c.dispatcher.queued if self.c.dispatcher != NULL else 0)

    def keep(self, buffer_size, bint keeps_first, int64_t whole):
        """Say how many events may wait (None: all), which are discarded beyond that, and how large whole batches are."""
        self.c.dispatcher.buffer_limit = -1 if buffer_size is None else buffer_size
        self.c.dispatcher.keeps_first, self.c.dispatcher.whole = keeps_first, whole

    @property
    def whole(self):
        return self.c.dispatcher.whole if self.c.dispatcher != NULL else 0

    @property
    def discarded(self):
        return self.c.dispatcher.discarded if self.c.dispatcher != NULL else 0

    @property
    def totals(self):
        """(sent, acked) over all subscriptions that there ever were."""
        if self.c.dispatcher == NULL:
            return 0, 0
        sent, acked = self.c.dispatcher.sent_before, self.c.dispatcher.acked_before
        for edge in self.outputs or ():
            counters = edge.counters
            sent += counters[1] - (<Edge> edge).c.start
            acked += counters[2] - (<Edge> edge).c.start
        return sent, acked

    @property
    def full_partitions(self):
        """Numbers of the partitions whose queue is full, so that nothing is asked for."""
        cdef int32_t i
        if self.c.dispatcher == NULL:
            return []
        return [i for i in range(self.c.dispatcher.partitions) if self.c.dispatcher.parts[i].full]

    def events_of_partition(self, int32_t partition):
        """Events that wait for a partition."""
        return self.c.dispatcher.parts[partition].queue.events

    def partition_taken(self, int32_t partition):
        """The subscription that takes a partition; None: nobody does."""
        cdef ff_edge *edge = NULL
        if self.c.dispatcher.kind == BY_PARTITION:
            edge = self.c.dispatcher.parts[partition].edge
            return None if edge == NULL else <object> edge.face
        for other in self.outputs:              # a dispatcher of the user's, derived from that of partitions
            if (<Edge> other).c.partition == partition and (<Edge> other).c.rank >= 0:
                return other
        return None

    def hold(self, bint holding):
        """Hold back whatever would leave, or let it go on."""
        self.c.holding = holding
        if not holding:
            self.c.parked = 0
            enqueue(&self.c)

    @property
    def held(self):
        return bool(self.c.holding)

    def shuffle(self):
        """Put the consumers that stand equal into a random order, once."""
        cdef int64_t stamp
        self.unshuffled = False
        edges = [edge for edge in self.outputs if (<Edge> edge).c.rank >= 0]
        random.Random(self.host.shuffle_seed()).shuffle(edges)
        for stamp, edge in enumerate(edges, self.c.dispatcher.stamps + 1):
            restamp(&(<Edge> edge).c, stamp)
        self.c.dispatcher.stamps += len(edges)
        self.c.fills_in_python = any([(<Edge> edge).c.casts for edge in edges])

    # -- the commit --

    cdef int send_spans(self, ff_span *last, object last_route) except -1:
        """All that the turn has emitted leaves; `last` comes behind the others, NULL: there is none."""
        cdef int32_t i
        cdef ff_span span
        for i in range(self.span_count):
            span = self.spans[i]
            self.spans[i].in_place = 1          # its hold passes on; not to be given back a second time
            self.dispatch(&span, None if self.routes is None else self.routes[i])
        self.span_count = 0
        if self.routes:
            self.routes.clear()
        if last != NULL:
            self.dispatch(last, last_route)
        if self.infos is not None:
            self.check_infos()
        return 0

    cdef int dispatch(self, ff_span *span, object route) except -1:
        """Give events to whom they are for; what nobody has asked for waits.  Takes over the span's hold."""
        cdef ff_edge *edge = NULL
        self.c.emitted += span.n
        if route is not None:
            return self.scatter(span, route)
        if span.in_place:
            span.in_place = 0
            edge = &(<Edge> self.current.edge).c
            if self.c.buffered == 0 and edge.pending >= span.n and not edge.closed and not self.c.holding:
                ring_publish(edge.ring, span.n, span.kind)
                count_sent(edge, span.n)
                return 0
            # Something emitted before it has taken the demand: the slots pass on as a span of their own.
            segment_hold(span.segment)
            self.put_by(self.current)
        if self.c.buffered == 0 and not self.c.holding:
            if self.c.dispatcher.kind == TO_GREEDIEST and not self.unshuffled:
                edge = greediest(&self.c)
            if edge != NULL and edge.pending >= span.n and edge.ring != NULL and not edge.casts:
                # Most often: all of it to one, and the span's hold passes to the ring.
                if ring_append(edge.ring, span.segment, span.slot, span.n, span.kind) < 0:
                    raise MemoryError("no memory for a mark")
                count_sent(edge, span.n)
                return 0
            if self.share(span):
                return 0
        return self.wait_in_buffer(span)

    cdef int share(self, ff_span *span) except -1:
        """Send what is asked for, from the front of a span.  1: its hold has passed on with the last of it."""
        cdef int64_t part
        if self.c.dispatcher.kind == TO_GREEDIEST:
            if self.unshuffled:
                self.shuffle()
            return self.share_greedily(span)
        if self.c.dispatcher.kind == TO_ALL:
            part = self.c.pending if self.c.pending < span.n else span.n
            if part == 0 or (span.kind == FF_WHOLE and part < span.n):
                return 0
            self.broadcast(span.segment, span.slot, part, span.kind)
            span.slot += part
            span.n -= part
            if span.n == 0:
                segment_release(span.segment)
                return 1
        return 0                            # by protocol: out of the buffer only, where an error loses nothing

    cdef int share_greedily(self, ff_span *span) except -1:
        cdef ff_edge *edge = greediest(&self.c)
        cdef ff_ring *ring
        cdef int64_t part
        if edge != NULL and edge.pending >= span.n and not edge.casts:
            # All of it to one: the span's hold passes to the ring.
            ring = ring_of(edge)
            if ring == NULL or ring_append(ring, span.segment, span.slot, span.n, span.kind) < 0:
                raise MemoryError("no memory for a mark")
            count_sent(edge, span.n)
            return 1
        while span.n > 0:
            edge = greediest(&self.c)
            if edge == NULL or (span.kind == FF_WHOLE and edge.pending < span.n):
                return 0
            part = span.n if span.n < edge.pending else edge.pending
            self.send(<Edge> edge.face, span.segment, span.slot, part, span.kind)
            span.slot += part
            span.n -= part
        segment_release(span.segment)
        return 1

    cdef int broadcast(self, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) except -1:
        """Publish events on every subscription."""
        cdef ff_edge *edge
        cdef ff_segment *other
        cdef int64_t part, skipped
        cdef int32_t i, left = share_with_all(&self.c, segment, slot, n, kind)
        if left < 0:
            raise MemoryError("no memory for a mark")
        for i in range(self.c.dispatcher.consumers if left else 0):
            edge = self.c.dispatcher.edges[i]
            if not edge.casts:
                continue
            part, skipped = n, 0
            if edge.lag != BLOCK:
                part = make_way(edge, n, kind == FF_WHOLE, &skipped)
            if part == 0 and edge.lag == CONFLATE:
                other = converted(self.form, (<Edge> edge.face).form, segment, slot, n)
                if keep_latest(edge, other, 0, n, kind) < 0:
                    segment_release(other)
            elif part:
                other = converted(self.form, (<Edge> edge.face).form, segment, slot + skipped, part)
                if ring_of(edge) == NULL or ring_append(edge.ring, other, 0, part, kind) < 0:
                    segment_release(other)
                    raise MemoryError("no memory for a mark")
                list_input(edge)
        count_shared(&self.c, n)
        return 0

    cdef int send(self, Edge edge, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) except -1:
        """Publish events of a segment on one subscription."""
        cdef ff_ring *ring = ring_of(&edge.c)
        if edge.c.casts:
            segment, slot = converted(self.form, edge.form, segment, slot, n), 0
        else:
            segment_hold(segment)
        if ring == NULL or ring_append(ring, segment, slot, n, kind) < 0:
            segment_release(segment)
            raise MemoryError("no memory for a mark")
        count_sent(&edge.c, n)
        return 0

    # -- what waits --

    cdef int wait_in_buffer(self, ff_span *span) except -1:
        """Let a span wait for demand; its hold passes to the buffer."""
        if spans_push(&self.c.dispatcher.buffer, span) < 0:
            raise MemoryError("no memory for the buffer")
        if self.c.dispatcher.kind == BY_PROTOCOL:
            self.c.parked = 0
            # It is asked even when nobody is there: it may throw events away.
            self.c.drainable = self.c.dispatcher.consumers == 0
        if self.c.dispatcher.buffer_limit >= 0:
            self.trim(&self.c.dispatcher.buffer)
        self.c.buffered = self.c.dispatcher.buffer.events
        if not self.c.dispatcher.buffer_warned and self.form is not None and (
                self.c.buffered * (self.form.layout.event_bytes or 8) > BUFFER_WARNING_BYTES):
            self.c.dispatcher.buffer_warned = True
            self.host.large_buffer(self.c.buffered)
        return 0

    cdef int take_back(self, Edge edge, ff_span *span, int64_t index) except -1:
        """What a subscription gives back waits again, as number `index` from the front."""
        cdef ff_spans *spans = &self.c.dispatcher.buffer
        if self.c.dispatcher.kind == BY_PARTITION:
            spans = &self.c.dispatcher.parts[edge.c.partition].queue
        if spans_insert(spans, span, index) < 0:
            raise MemoryError("no memory for the buffer")
        if self.c.dispatcher.kind == BY_PARTITION:
            settle_partition(&self.c, edge.c.partition)
        self.c.buffered = self.c.dispatcher.buffer.events
        return 0

    cdef int trim(self, ff_spans *spans) except -1:
        """A bounded buffer discards what is too much, from the end that is not kept."""
        cdef int64_t too_many = spans.events - self.c.dispatcher.buffer_limit, part, lost = 0
        cdef ff_span *span
        while too_many > 0:
            span = spans_at(spans, spans.count - 1 if self.c.dispatcher.keeps_first else 0)
            part = span.n if span.n < too_many else too_many
            if self.c.dispatcher.keeps_first:
                spans_drop_last(spans, part)
            else:
                spans_take(spans, part)
            too_many -= part
            lost += part
        if lost:
            self.c.dispatcher.discarded += lost
            self.later(self.host.discarded_events, (lost,))
            if self.c.dispatcher.keeps_first and self.infos is not None:
                self.forget_newest()
        return 0

    cdef int64_t drain(self) except -1:
        """Serve demand from what waits; returns how many events left."""
        cdef ff_span *span
        cdef ff_edge *edge
        cdef int32_t i
        cdef int64_t part, moved = 0
        if self.c.dispatcher.kind == BY_PARTITION:
            for i in range(self.c.dispatcher.partitions):
                if self.c.dispatcher.parts[i].drainable:
                    self.deliver_part(i)
                    moved += 1
        if self.c.dispatcher.kind == BY_PROTOCOL:
            self.c.drainable = 0
            moved = self.serve_protocol()
        elif self.unshuffled:
            self.shuffle()
        while self.c.dispatcher.buffer.events > 0 and self.c.dispatcher.kind <= TO_ALL:
            span = spans_at(&self.c.dispatcher.buffer, 0)
            edge = NULL
            part = self.c.pending
            if self.c.dispatcher.kind == TO_GREEDIEST:
                edge = greediest(&self.c)
                part = 0 if edge == NULL else edge.pending
            if part > span.n:
                part = span.n
            if part == 0 or (span.kind == FF_WHOLE and part < span.n):
                break
            if edge != NULL:
                self.send(<Edge> edge.face, span.segment, span.slot, part, span.kind)
            else:
                self.broadcast(span.segment, span.slot, part, span.kind)
            spans_take(&self.c.dispatcher.buffer, part)
            moved += part
        self.c.buffered = self.c.dispatcher.buffer.events
        if self.infos is not None:
            self.check_infos()
        return moved

    # -- what a router adds --

    cdef int scatter(self, ff_span *span, object route) except -1:
        """Each event to its partition."""

    cdef int deliver_part(self, int32_t index) except -1:
        """Send what waits for a partition."""

    def serve_protocol(self):
        """Let a dispatcher in Python say who gets what waits."""

    # -- messages in order with the events --

    def info_waits(self, message):
        """Whether a message must wait for what has come in, or for what waits to leave; it is passed on when that has."""
        if self.inputs is None or self.outputs is None:
            return self.outputs is not None and self.wait_behind_events(message)
        waits = []
        for edge in self.input_edges:
            _asked, sent, acked = edge.counters
            if sent > acked:
                waits.append((edge, sent))
        if not waits and self.behind_input is None:
            return self.wait_behind_events(message)
        if self.behind_input is None:
            self.behind_input = []
        self.behind_input.append((waits, message))
        return True

    def wait_behind_events(self, message):
        """The same for what was emitted."""
        if self.infos is None and self.waiting == 0:
            return False
        self.put_behind_events(message)
        return True

    def put_behind_events(self, message):
        """Let a message wait for all that waits now, and for the messages before it."""
        cdef ff_dispatcher *dispatcher = self.c.dispatcher
        cdef int32_t i
        targets = []
        if dispatcher.buffer.events:
            targets.append([-1, dispatcher.buffer.taken + dispatcher.buffer.events])
        for i in range(dispatcher.partitions):
            if dispatcher.parts[i].queue.events:
                targets.append([i, dispatcher.parts[i].queue.taken + dispatcher.parts[i].queue.events])
        if self.infos is None:
            self.infos = []
        self.infos.append((targets, message))
        self.check_infos()

    cdef ff_spans *spans_of(self, int32_t index):
        return &self.c.dispatcher.buffer if index < 0 else &self.c.dispatcher.parts[index].queue

    cdef bint has_left(self, list targets) except -1:
        """Whether all that waited then has left."""
        cdef int32_t index
        for index, target in targets:
            if self.spans_of(index).taken < target:
                return False
        return True

    def check_infos(self):
        """Have the first message handled, if its events have left; the others follow one by one."""
        if self.infos and not self.info_is_due and self.has_left(self.infos[0][0]):
            self.info_is_due = True
            self.host.info_is_due()

    def due_info(self):
        """The message that is to be handled now."""
        return self.infos[0][1]

    def info_was_handled(self):
        """The first message is done with."""
        self.info_is_due = False
        self.infos.pop(0)
        if self.infos:
            self.check_infos()
        else:
            self.infos = None

    def forget_newest(self):
        """The newest events were discarded: a message that came behind them comes behind what is left."""
        cdef int32_t index
        for targets, _message in self.infos:
            for pair in targets:
                index = pair[0]
                pair[1] = min(pair[1], self.spans_of(index).taken + self.spans_of(index).events)

    def check_behind_input(self):
        """Pass on the messages whose input was handled: to behind what was emitted."""
        while self.behind_input:
            waits, message = self.behind_input[0]
            if any(not edge.closed and edge.counters[2] < position for edge, position in waits):
                return
            self.behind_input.pop(0)
            self.put_behind_events(message)
        self.behind_input = None


cdef ff_segment *converted(Form form, Form target, ff_segment *segment, int64_t slot, int64_t n) except NULL:
    """Events of one schema as those of another, in a segment of their own with one hold.

    The memory limit does not stop it: a commit that is under way must end.
    """
    cdef ff_segment *other = segment_anyway(target.layout, n)
    cdef Views views = Views(form, False, None)
    if other == NULL:
        raise MemoryError(f"no memory to convert {n} events to {target.schema.describe()}")
    batch = views.give(segment, slot, n)
    try:
        copy_into(target, [batch] if target.plain else [batch[name] for name in target.names], other, 0, n)
    except BaseException:
        segment_release(other)
        raise
    return other
