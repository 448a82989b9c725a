# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: arrays and lists are handed to Python and taken back, which needs the GIL --
"""Outputs: the way of events out of a stage, and the subscriptions they leave by.

    claim ──▶ slots, filled in place ──┐                      ┌──▶ ring of the consumer that asked most
    return, emit ──▶ arrays, lists ────┴─▶ spans ─▶ dispatch ─┤
                                                              └──▶ buffer, when nobody has asked

What a turn emits becomes *spans* of segments, without a copy where that is safe (`fastflow._view` says when), and only
the commit dispatches them.  What is claimed lies in the consumer's ring if it fits there: published, it is where it
must be.  Several consumers of one array get parts of one segment, and nothing is copied then either.

A *whole* batch (of a stage that says ``whole = n``) is neither cut nor joined: it waits until one consumer's pending
demand is as large as the batch.
"""
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.stdlib cimport free

import gc

from fastflow.errors import CallbackError, DemandError, OptionError, SchemaError

from fastflow._core cimport (
    FF_END, FF_LAP, FF_WHOLE, ff_mark, ff_observe, ff_segment, ring_abandon, ring_advance, ring_append, ring_claim, ring_clear, ring_init,
    ring_mark, ring_publish, ring_read, ring_rewind, segment_hold, segment_new, segment_release,
)
from fastflow._pool cimport pool_anyway, pool_give, segment_anyway
from fastflow._turn cimport (
    DEMAND, INPUT, ask, count_sent, enqueue, ff_edge, forget_input, greediest, join_dispatcher, leave_dispatcher, list_input,
)
from fastflow._view cimport (
    Form, Views, copy_into, copy_span, ff_span, form_of, prefix_of_claim, span_of_arrays, span_of_list, span_of_plain,
    span_of_view,
)

cdef extern from *:
    int Py_REFCNT(PyObject *o) nogil

cdef enum:
    BUFFER_WARNING_BYTES = 64 << 20


class HeldBack(MemoryError):
    """No memory for events until somebody lets go of the batches that they keep; the turn is taken again then."""

    size = 1 << 18                  # bytes that were wanted, at least


cdef class Turns:
    @property
    def current(self):
        """The Place whose turn is under way."""
        return None if self.c.current == NULL else <object> self.c.current.face

    @property
    def places_held_back(self):
        return self.c.held_back


cdef class Edge:
    """Base of subscriptions: a ring with a stage at either end."""

    def __cinit__(self, *args, **keywords):
        self.c.face = <void *> self
        self.c.rank = -1

    def __dealloc__(self):
        ring_clear(&self.c.ring)

    def connect(self, Output producer, Output consumer, int64_t max_demand, int64_t min_demand, bint manual):
        """Join the two places; nothing is asked yet."""
        if ring_init(&self.c.ring, NULL, max_demand, False, 0) < 0:
            raise MemoryError("no memory for a subscription")
        self.producer_place, self.consumer_place = producer, consumer
        self.c.producer, self.c.consumer = &producer.c, &consumer.c
        self.c.max_demand, self.c.min_demand, self.c.manual = max_demand, min_demand, manual
        self.c.delivery = max_demand - min_demand
        if producer.whole > min_demand:
            # With less open than a whole batch needs neither side would move: ask before that.
            self.c.min_demand = producer.whole - 1
        producer.outputs.append(self)
        consumer.inputs.append(self)
        consumer.open_inputs += 1
        if join_dispatcher(&self.c) < 0:
            raise MemoryError("no memory for a subscription")

    def set_schema(self, schema, bint cast):
        """Fix what one event in the ring is, before the first one."""
        self.form = form_of(schema)
        self.cast = cast
        if cast:
            self.c.producer.fills_in_python = 1
        self.form.layout.references += 1
        self.c.ring.layout = self.form.layout
        self.views = Views(self.form, False, self.consumer_place.name)

    @property
    def schema(self):
        return None if self.form is None else self.form.schema

    def set_manual(self, bint manual):
        self.c.manual = manual

    def start_asking(self):
        """The first ask of an automatic subscription: max_demand."""
        if not self.c.manual:
            self.c.open_demand = self.c.max_demand
            ask(&self.c, self.c.max_demand)

    def add_demand(self, n):
        """`n` events more may come (0: nothing happens)."""
        cdef int64_t more = min(n, INT64_MAX)
        if more > 0 and not self.c.closed and not self.c.ended:
            ask(&self.c, more)

    def put_end(self, reason):
        """Producer: no event comes behind the last one; `reason` says why."""
        if self.c.ended or self.c.closed:
            return
        self.c.ended = 1
        self.end_reason = reason
        leave_dispatcher(&self.c)
        if ring_mark(&self.c.ring, FF_END, 0) < 0:
            raise MemoryError("no memory for the end of a subscription")
        list_input(&self.c)

    def close(self, bint give_back):
        """Neither side uses it any more.  What was sent and not acknowledged goes back to the producer's buffer."""
        cdef Output producer = self.producer_place, consumer = self.consumer_place
        cdef ff_mark *lap = NULL
        cdef int64_t slot = 0, n
        cdef ff_span span
        if self.c.closed:
            return
        forget_input(&self.c)
        leave_dispatcher(&self.c)
        self.c.retry = 0
        if give_back and not producer.c.ended:
            ring_rewind(&self.c.ring)
            back = 0
            while True:
                n = ring_read(&self.c.ring, INT64_MAX, &lap, &slot)
                if n == 0:
                    break
                if n > 0:
                    span.segment, span.slot, span.n, span.kind, span.in_place = lap.segment, slot, n, lap.kind, 0
                    if self.cast:
                        span.segment, span.slot = converted(self.form, producer.form, lap.segment, slot, n), 0
                    else:
                        segment_hold(lap.segment)
                    producer.insert_buffer(&span, back)
                    back += 1
                    ring_advance(&self.c.ring, n)
        self.c.closed = 1
        producer.outputs.remove(self)
        consumer.inputs.remove(self)
        consumer.open_inputs -= 1
        if consumer.c.inputs_head != NULL:
            enqueue(&consumer.c)
        producer.c.parked = 0               # what came back may be just what somebody has asked for
        enqueue(&producer.c)

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
        return ff_observe(self.c.ring.asked), ff_observe(self.c.ring.sent), ff_observe(self.c.ring.acked)

    @property
    def capacity(self):
        return self.c.max_demand

    @property
    def min_demand(self):
        return self.c.min_demand

    @property
    def wanted(self):
        return self.c.ring.r.wanted

    def start_cursors_at(self, int64_t start):
        """Let the counters begin at `start` (a hook for tests), before anything is asked."""
        cdef Form form = self.form
        cdef int64_t capacity = self.c.ring.capacity
        ring_clear(&self.c.ring)
        ring_init(&self.c.ring, NULL if form is None else form.layout, capacity, False, start)


cdef class Claim:
    """Slots that were handed out to a callback, until its turn is over."""


cdef class Output:
    """The emitting half of a place."""

    def __cinit__(self, Turns turns, str name, bint emits):
        self.turns, self.name = turns, name
        self.c.scheduler = &turns.c
        self.c.face = <void *> self
        self.c.emits = emits
        self.outputs, self.inputs, self.emits, self.outbox, self.earlier = [], [], [], [], []
        self.buffer_keep = "last"

    def __dealloc__(self):
        cdef int64_t i
        self.drop_spans()
        pool_free(self.spans, self.span_room)
        for i in range(self.buffer_spans):
            segment_release(self.buffer[(self.buffer_first + i) % self.buffer_room].segment)
        pool_free(self.buffer, self.buffer_room)
        free(self.c.heap)

    def set_schema(self, schema):
        """Fix what one emitted event is."""
        self.form = form_of(schema)

    @property
    def schema(self):
        return None if self.form is None else self.form.schema

    # -- claims --

    cdef object claim_slots(self, object count):
        """`count` writable slots: in the ring of the consumer that asked most, if they fit there."""
        cdef int64_t n, slot
        cdef ff_edge *edge
        cdef Claim claim = self.current
        if type(count) is not int:
            if isinstance(count, bool) or not hasattr(count, "__index__"):
                raise OptionError(f"claim of {self.name!r}: got {count!r}, expected a whole number of events; give an int")
            count = count.__index__()
        if count < 0 or count > 1 << 45:
            raise DemandError(f"claim of {self.name!r}: got {count}, expected a number of events from 0 up; claim fewer")
        n = count
        if not self.in_turn or self.form is None or self.form.columns == 0:
            self.refuse_claim()
        if claim is not None and claim.active:
            if claim.out and not self.was_emitted(claim):
                raise CallbackError(f"claim of {self.name!r}: got a second claim before the first was emitted or returned, "
                                    "expected one at a time; emit the first, or claim once for both")
            self.put_by(claim)
            return self.claim_apart(n)
        if n == 0:
            return self.form.schema.empty(0)
        edge = greediest(&self.c)
        if edge == NULL or edge.pending < n or self.c.buffered or self.emits or (<Edge> edge.face).cast:
            return self.claim_apart(n)
        slot = ring_claim(&edge.ring, n)
        if slot < 0:
            gc.collect()                # an exception that was caught by name keeps its batch in a cycle
            slot = ring_claim(&edge.ring, n)
            if slot < 0:
                raise self.held_back_claim(n)
        if claim is None:
            claim = self.current = Claim.__new__(Claim)
            claim.views = Views(self.form, True, self.name)
        claim.edge = <Edge> edge.face
        claim.segment = edge.ring.w.segment
        claim.active = claim.out = True
        return claim.views.give(claim.segment, slot, n)

    def refuse_claim(self):
        """Why nothing can be claimed here."""
        if not self.in_turn:
            raise CallbackError(f"claim of {self.name!r}: got a call outside of a callback, expected one inside; "
                                "claim slots in the callback that emits them")
        if not self.c.emits:
            raise CallbackError(f"claim of {self.name!r}: got a call in a consumer, expected one in a stage that emits; "
                                "make it an ff.ProducerConsumer")
        if self.form is None:
            raise SchemaError(f"claim of {self.name!r}: got no dtype, expected to know what one event is; "
                              "set the class attribute dtype, say dtype = 'float64'")
        raise CallbackError(f"claim of {self.name!r}: got a claim of Python objects, expected events of fixed width, "
                            "since objects have no slots; return a list")

    cdef object claim_apart(self, int64_t n):
        """Slots in a segment of their own: more than anybody asked for, or not the first ones of the turn."""
        cdef Claim claim
        cdef ff_segment *segment
        if n == 0:
            return self.form.schema.empty(0)
        segment = segment_new(self.form.layout, n)
        if segment == NULL:
            gc.collect()
            segment = segment_new(self.form.layout, n)
            if segment == NULL:
                raise self.held_back_claim(n)
        claim = self.current = Claim.__new__(Claim)
        claim.views = Views(self.form, True, self.name)
        claim.segment = segment
        claim.active = claim.out = True
        return claim.views.give(segment, 0, n)

    def held_back_claim(self, n):
        """The error of a claim for which there is no memory."""
        error = HeldBack(f"claim of {self.name!r}: less than an eighth of the memory limit is left, expected room for "
                         f"{n} events; let go of batches that stages keep")
        error.size = max(n, self.c.heap[0].ring.capacity if self.c.consumers else 0) * self.form.layout.event_bytes
        return error

    cdef bint was_emitted(self, Claim claim) except -1:
        """Whether the callback has given the claimed slots to emit() already."""
        cdef int64_t n = 0
        for events in self.emits:
            if prefix_of_claim(self.form, <PyObject *> events, claim.views, &n):
                return True
        return False

    cdef int put_by(self, Claim claim) except -1:
        """Another claim in the same turn: what was claimed in place becomes slots like any other."""
        if claim.edge is not None:
            segment_hold(claim.segment)
            claim.edge.c.ring.w.slot += claim.views.n
            claim.edge = None
        self.earlier.append(claim)
        self.current = None
        return 0

    cdef void end_claims(self) noexcept:
        """The turn is over: what was claimed is published, or free again, unless somebody keeps it."""
        if self.current is not None and self.current.active:
            end_claim(self.current)
            if self.current.views.arrays is None or self.current.views.lease is None:
                self.current = None
        if self.earlier:
            for claim in self.earlier:
                end_claim(<Claim> claim)
            self.earlier.clear()

    # -- from what a turn emits to spans --

    cdef int collect(self, object events, Views given, ff_span *span) except -1:
        """What was emitted, as a span.  0: it is nothing.  The caller holds one reference."""
        cdef int64_t n = 0
        cdef int found
        cdef Form form = self.form
        if form is None:
            self.host.first_output(events)
            form = self.form
        span.kind = FF_WHOLE if self.whole else FF_LAP
        span.in_place = 0
        if self.current is not None and self.current.out and prefix_of_claim(form, <PyObject *> events, self.current.views, &n):
            return self.collect_claim(self.current, events, n, span)
        if self.earlier:
            for claim in self.earlier:
                if (<Claim> claim).out and prefix_of_claim(form, <PyObject *> events, (<Claim> claim).views, &n):
                    return self.collect_claim(<Claim> claim, events, n, span)
        if form.columns == 0:
            # `events` itself is never assigned to: its reference count must tell what the caller holds, and no more.
            passed_on = given is not None and events is given.batch
            shared = Py_REFCNT(<PyObject *> events) > 1 and not passed_on
            objects = events if type(events) is list else form.schema.arrays(events, self.where())[0]
            if not objects:
                return 0
            # What somebody else can still change is copied, as an array would be.
            span_of_list(list(objects) if shared else objects, span)
        else:
            found = span_of_view(form, <PyObject *> events, given, span)
            if found == 2:
                return 0
            try:
                if found == 0:
                    found = span_of_plain(form, <PyObject *> events, span)
                    if found == 0 or (found == 2 and not span_of_arrays(form, events, self.where(), span)):
                        return 0
            except MemoryError:
                error = HeldBack(f"{self.where()}: no memory to take over its events")
                error.size = count_of(events) * form.layout.event_bytes
                raise error
        if self.whole and span.n > self.whole:
            segment_release(span.segment)
            self.refuse_whole(span.n)
        return 1

    def refuse_whole(self, n):
        """A batch that is larger than the stage has said."""
        raise CallbackError(f"{self.where()}: got a batch of {n} events, expected at most whole = {self.whole}; "
                            "cut it, or raise `whole`")

    cdef int collect_claim(self, Claim claim, object events, int64_t n, ff_span *span) except -1:
        """The first `n` claimed slots are emitted: in place, or as a copy if somebody else can still write to them."""
        cdef ff_segment *copy
        cdef Form form = self.form
        cdef Views views = claim.views
        cdef bint held
        if self.whole and n > self.whole:
            self.refuse_whole(n)
        if events is views.batch:
            held = views.held(1, 0)
        else:
            held = Py_REFCNT(<PyObject *> events) > 1 or views.held(0, 1) or (not form.plain and slices_held(form, events))
        claim.out = False
        span.kind = FF_WHOLE if self.whole else FF_LAP
        span.n, span.slot, span.in_place = n, views.slot, 0
        if n == 0:
            return 0
        if held:
            copy = segment_new(form.layout, n)
            if copy == NULL:
                error = HeldBack(f"{self.where()}: no memory for a copy of a claimed array that somebody else holds")
                error.size = n * form.layout.event_bytes
                raise error
            copy_span(form, claim.segment, views.slot, copy, 0, n)
            span.segment, span.slot = copy, 0
        else:
            span.segment = claim.segment
            if claim.edge is not None:
                span.in_place = 1       # published in its ring, if that is still what comes first
            else:
                segment_hold(span.segment)
        return 1

    cdef int add_span(self, ff_span *span) except -1:
        cdef ff_span *spans
        cdef int32_t i, room
        if self.span_count == self.span_room:
            room = self.span_room * 2 if self.span_room else 4
            spans = <ff_span *> pool_anyway(room * <int64_t> sizeof(ff_span))
            if spans == NULL:
                raise MemoryError("no memory for a turn's output")
            for i in range(self.span_count):
                spans[i] = self.spans[i]
            pool_free(self.spans, self.span_room)
            self.spans, self.span_room = spans, room
        self.spans[self.span_count] = span[0]
        self.span_count += 1
        return 0

    cdef void drop_spans(self) noexcept:
        cdef int32_t i
        for i in range(self.span_count):
            if not self.spans[i].in_place:
                segment_release(self.spans[i].segment)
        self.span_count = 0

    cdef str where(self):
        return f"{self.callback_name()} of {self.name!r}"

    cdef str callback_name(self):
        return "handle_events" if self.doing == INPUT else "handle_demand" if self.doing == DEMAND else self.callback

    # -- dispatch and buffer --

    cdef int dispatch(self, ff_span *span) except -1:
        """Give events to whoever asked most; what nobody asked for waits.  Takes over the span's hold."""
        cdef ff_edge *edge
        cdef int64_t part
        self.c.emitted += span.n
        if span.in_place:
            span.in_place = 0
            edge = &self.current.edge.c
            if self.c.buffered == 0 and edge.pending >= span.n and not edge.closed:
                ring_publish(&edge.ring, span.n, span.kind)
                count_sent(edge, span.n)
                return 0
            # Something emitted before it has taken the demand: the slots pass on as a span of their own.
            segment_hold(span.segment)
            self.put_by(self.current)
        if self.c.buffered == 0:
            edge = greediest(&self.c)
            if edge != NULL and edge.pending >= span.n and not (<Edge> edge.face).cast:
                # All of it to one: the span's hold passes to the ring.
                if ring_append(&edge.ring, span.segment, span.slot, span.n, span.kind) < 0:
                    raise MemoryError("no memory for a mark")
                count_sent(edge, span.n)
                return 0
            while span.n > 0:
                edge = greediest(&self.c)
                if edge == NULL or (span.kind == FF_WHOLE and edge.pending < span.n):
                    break
                part = span.n if span.n < edge.pending else edge.pending
                self.send(<Edge> edge.face, span.segment, span.slot, part, span.kind)
                span.slot += part
                span.n -= part
        if span.n == 0:
            segment_release(span.segment)
        else:
            self.push_buffer(span, False)
            if self.buffer_size is not None:
                self.trim_buffer()
        return 0

    cdef int send(self, Edge edge, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) except -1:
        """Publish events of a segment on a subscription."""
        if edge.cast:
            segment, slot = converted(self.form, edge.form, segment, slot, n), 0
        else:
            segment_hold(segment)
        if ring_append(&edge.c.ring, segment, slot, n, kind) < 0:
            segment_release(segment)
            raise MemoryError("no memory for a mark")
        count_sent(&edge.c, n)
        return 0

    cdef int push_buffer(self, ff_span *span, bint front) except -1:
        """Let a span wait; its hold passes to the buffer."""
        cdef ff_span *buffer
        cdef int64_t room, i
        if self.buffer_spans == self.buffer_room:
            room = self.buffer_room * 2 if self.buffer_room else 8
            buffer = <ff_span *> pool_anyway(room * <int64_t> sizeof(ff_span))
            if buffer == NULL:
                raise MemoryError("no memory for the buffer")
            for i in range(self.buffer_spans):
                buffer[i] = self.buffer[(self.buffer_first + i) % self.buffer_room]
            pool_free(self.buffer, self.buffer_room)
            self.buffer, self.buffer_room, self.buffer_first = buffer, room, 0
        if front:
            self.buffer_first = (self.buffer_first + self.buffer_room - 1) % self.buffer_room
            self.buffer[self.buffer_first] = span[0]
        else:
            self.buffer[(self.buffer_first + self.buffer_spans) % self.buffer_room] = span[0]
        self.buffer_spans += 1
        self.c.buffered += span.n
        if not self.buffer_warned and self.form is not None and (
                self.c.buffered * (self.form.layout.event_bytes or 8) > BUFFER_WARNING_BYTES):
            self.buffer_warned = True
            self.host.large_buffer(self.c.buffered)
        return 0

    cdef int insert_buffer(self, ff_span *span, int64_t index) except -1:
        """Let a span that came back wait as number `index` from the front."""
        cdef int64_t i
        cdef ff_span moved
        self.push_buffer(span, True)
        for i in range(index):
            moved = self.buffer[(self.buffer_first + i) % self.buffer_room]
            self.buffer[(self.buffer_first + i) % self.buffer_room] = self.buffer[(self.buffer_first + i + 1) % self.buffer_room]
            self.buffer[(self.buffer_first + i + 1) % self.buffer_room] = moved
        return 0

    cdef int trim_buffer(self) except -1:
        """A bounded buffer discards what is too much, from the end that `buffer_keep` does not keep."""
        cdef int64_t too_many = self.c.buffered - <int64_t> self.buffer_size, part, lost = 0
        cdef ff_span *span
        while too_many > 0:
            if self.buffer_keep == "first":
                span = &self.buffer[(self.buffer_first + self.buffer_spans - 1) % self.buffer_room]
                part = span.n if span.n < too_many else too_many
            else:
                span = &self.buffer[self.buffer_first]
                part = span.n if span.n < too_many else too_many
                span.slot += part
            span.n -= part
            if span.n == 0:
                segment_release(span.segment)
                self.buffer_spans -= 1
                if self.buffer_keep != "first":
                    self.buffer_first = (self.buffer_first + 1) % self.buffer_room
            self.c.buffered -= part
            too_many -= part
            lost += part
        if lost:
            self.discarded += lost
            self.outbox.append((self.host.discarded_events, (lost,)))
        return 0

    cdef int64_t drain_buffer(self) except -1:
        """Serve demand from the buffer; returns how many events left it."""
        cdef ff_span *span
        cdef ff_edge *edge
        cdef int64_t part, moved = 0
        while self.c.buffered > 0:
            span = &self.buffer[self.buffer_first]
            edge = greediest(&self.c)
            if edge == NULL or (span.kind == FF_WHOLE and edge.pending < span.n):
                break
            part = span.n if span.n < edge.pending else edge.pending
            self.send(<Edge> edge.face, span.segment, span.slot, part, span.kind)
            span.slot += part
            span.n -= part
            self.c.buffered -= part
            moved += part
            if span.n == 0:
                segment_release(span.segment)
                self.buffer_first = (self.buffer_first + 1) % self.buffer_room
                self.buffer_spans -= 1
        return moved


cdef void end_claim(Claim claim) noexcept:
    """Let go of claimed slots."""
    cdef Views views = claim.views
    claim.active = claim.out = False
    views.out = False
    if views.arrays is not None:
        if views.held(0, 0):
            if claim.edge is not None and claim.edge.c.ring.w.segment == claim.segment:
                ring_abandon(&claim.edge.c.ring)
            views.abandon()
        elif claim.edge is None or not views.unchanged():
            views.detach()
    if claim.edge is None and claim.segment != NULL:
        segment_release(claim.segment)
    claim.edge = None
    claim.segment = NULL


cdef void pool_free(ff_span *spans, int64_t room) noexcept:
    if spans != NULL:
        pool_give(spans, room * <int64_t> sizeof(ff_span))


cdef ff_segment *converted(Form form, Form target, ff_segment *segment, int64_t slot, int64_t n) except NULL:
    """Events of one schema as those of another, in a segment of their own with one hold.

    The memory limit does not stop it: a commit that is under way must end.
    """
    cdef ff_segment *other = segment_anyway(target.layout, n)
    cdef Views views = Views(form, False, "")
    if other == NULL:
        raise MemoryError(f"no memory to convert {n} events to {target.schema.describe()}")
    batch = views.give(segment, slot, n)
    copy_into(target, [batch] if target.plain else [batch[name] for name in target.names], other, 0, n)
    return other


cdef int64_t count_of(object events) except -1:
    """How many events a callback returned, in whatever form."""
    if isinstance(events, dict):
        return max([len(column) for column in events.values()], default=0)
    return len(events)


cdef bint slices_held(Form form, object events):
    """Whether a column of a returned part of a claimed batch is held by somebody else too."""
    for name in form.names:
        column = events[name]
        # The batch that was returned, and `column`.
        if Py_REFCNT(<PyObject *> column) > 2:
            return True
        column = None
    return False
