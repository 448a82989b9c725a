# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: arrays and lists are handed to Python and taken back, which needs the GIL --
"""Outputs: the way of events out of a callback.

    claim ──▶ slots, filled in place ──┐
    return, emit ──▶ arrays, lists ────┴─▶ spans ─▶ the commit gives them to consumers (`fastflow._sender`)

What a turn emits becomes *spans* of segments, without a copy where that is safe (`fastflow._view` says when), and only
the commit dispatches them.  What is claimed lies in the consumer's ring if it fits there: published, it is where it
must be.
"""
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t

import gc

from fastflow.errors import CallbackError, DemandError, OptionError, SchemaError

from fastflow._core cimport (
    FF_LAP, FF_WHOLE, ff_ring, ff_segment, ring_abandon, ring_claim, segment_hold, segment_new, segment_release,
)
from fastflow._dispatch cimport dispatcher_free, dispatcher_new, greediest, ring_of
from fastflow._pool cimport pool_anyway, pool_give
from fastflow._spans cimport ff_span
from fastflow._turn cimport DEMAND, INPUT, TO_GREEDIEST, ff_edge
from fastflow._view cimport (
    Form, Views, copy_span, form_of, prefix_of_claim, span_of_arrays, span_of_list, span_of_plain, span_of_view,
)

cdef extern from *:
    int Py_REFCNT(PyObject *o) nogil


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


cdef class Claim:
    """Slots that were handed out to a callback, until its turn is over."""


cdef class Output:
    """The emitting half of a place."""

    def __cinit__(self, Turns turns, bint emits):
        self.turns = turns
        self.c.scheduler = &turns.c
        self.c.face = <void *> self
        self.c.emits = emits
        if emits:
            self.set_dispatcher(TO_GREEDIEST, 0, 0)

    def __dealloc__(self):
        self.drop_spans()
        pool_free(self.spans, self.span_room)
        dispatcher_free(self.c.dispatcher)

    def set_dispatcher(self, int32_t kind, int32_t partitions, int64_t queue_size):
        """Say who chooses among the consumers, before there are any."""
        dispatcher_free(self.c.dispatcher)
        self.c.dispatcher = dispatcher_new(kind, partitions, queue_size)
        if self.c.dispatcher == NULL:
            raise MemoryError("no memory for a dispatcher")

    def later(self, function, tuple args):
        """Have something done when the turn under way commits, or not at all."""
        if self.outbox is None:
            self.outbox = []
        self.outbox.append((function, args))

    @property
    def name(self):
        return self.host.name

    def set_schema(self, schema):
        """Fix what one emitted event is."""
        self.form = form_of(schema)

    @property
    def schema(self):
        return None if self.form is None else self.form.schema

    # -- claims --

    cdef object claim_slots(self, object count):
        """`count` writable slots: in the ring of the consumer that asked most, if they fit there."""
        cdef int64_t n, slot = -1
        cdef ff_edge *edge = NULL
        cdef ff_ring *ring
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
        if self.c.dispatcher.kind == TO_GREEDIEST and not self.c.buffered and not self.c.holding and not self.emits:
            edge = greediest(&self.c)
        if edge == NULL or edge.pending < n or edge.casts or self.unshuffled:
            return self.claim_apart(n)
        ring = ring_of(edge)
        if ring != NULL:
            slot = ring_claim(ring, n)
        if slot < 0:
            gc.collect()                # an exception that was caught by name keeps its batch in a cycle
            ring = ring_of(edge)
            if ring != NULL:
                slot = ring_claim(ring, n)
            if slot < 0:
                raise self.held_back_claim(n)
        if claim is None:
            claim = self.current = Claim.__new__(Claim)
            claim.views = Views(self.form, True, None)
        claim.edge = <object> edge.face
        claim.ring = ring
        claim.segment = ring.w.segment
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
        cdef Claim claim = self.current
        cdef ff_segment *segment
        if n == 0:
            return self.form.schema.empty(0)
        segment = segment_new(self.form.layout, n)
        if segment == NULL:
            gc.collect()
            segment = segment_new(self.form.layout, n)
            if segment == NULL:
                raise self.held_back_claim(n)
        if claim is None:
            claim = self.current = Claim.__new__(Claim)
            claim.views = Views(self.form, True, None)
        claim.ring = NULL
        claim.segment = segment
        claim.active = claim.out = True
        return claim.views.give(segment, 0, n)

    def held_back_claim(self, n):
        """The error of a claim for which there is no memory."""
        error = HeldBack(f"claim of {self.name!r}: less than an eighth of the memory limit is left, expected room for "
                         f"{n} events; let go of batches that stages keep")
        widest = self.c.dispatcher.edges[0].max_demand if self.c.dispatcher.consumers else 0
        error.size = max(n, widest) * self.form.layout.event_bytes
        return error

    cdef bint was_emitted(self, Claim claim) except -1:
        """Whether the callback has given the claimed slots to emit() already."""
        cdef int64_t n = 0
        for events in self.emits or ():
            if prefix_of_claim(self.form, <PyObject *> events, claim.views, &n):
                return True
        return False

    cdef int put_by(self, Claim claim) except -1:
        """Another claim in the same turn: what was claimed in place becomes slots like any other."""
        if claim.ring != NULL:
            segment_hold(claim.segment)
            claim.ring.w.slot += claim.views.n
            claim.ring = NULL
            claim.edge = None
        if self.earlier is None:
            self.earlier = []
        self.earlier.append(claim)
        self.current = None
        return 0

    cdef void end_claims(self) noexcept:
        """The turn is over: what was claimed is published, or free again, unless somebody keeps it."""
        if self.current is not None and self.current.active:
            end_claim(self.current)
            if self.current.views.arrays is None:
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
        span.kind = FF_WHOLE if self.c.dispatcher.whole else FF_LAP
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
        if self.c.dispatcher.whole and span.n > self.c.dispatcher.whole:
            segment_release(span.segment)
            self.refuse_whole(span.n)
        return 1

    def refuse_whole(self, n):
        """A batch that is larger than the stage has said."""
        raise CallbackError(f"{self.where()}: got a batch of {n} events, expected at most whole = {self.c.dispatcher.whole}; "
                            "cut it, or raise `whole`")

    cdef int collect_claim(self, Claim claim, object events, int64_t n, ff_span *span) except -1:
        """The first `n` claimed slots are emitted: in place, or as a copy if somebody else can still write to them."""
        cdef ff_segment *copy
        cdef Form form = self.form
        cdef Views views = claim.views
        cdef bint held
        if self.c.dispatcher.whole and n > self.c.dispatcher.whole:
            self.refuse_whole(n)
        if events is views.batch:
            held = views.held(1, 0)
        else:
            held = Py_REFCNT(<PyObject *> events) > 1 or views.held(0, 1) or (not form.plain and slices_held(form, events))
        claim.out = False
        span.kind = FF_WHOLE if self.c.dispatcher.whole else FF_LAP
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
            if claim.ring != NULL:
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


cdef void end_claim(Claim claim) noexcept:
    """Let go of claimed slots."""
    cdef Views views = claim.views
    claim.active = claim.out = False
    views.out = False
    if views.arrays is not None:
        if views.held(0, 0):
            if claim.ring != NULL and claim.ring.w.segment == claim.segment:
                ring_abandon(claim.ring)
            views.abandon()
        elif claim.ring == NULL or not views.unchanged():
            views.detach()
    if claim.ring == NULL and claim.segment != NULL:
        segment_release(claim.segment)
    claim.edge = None
    claim.ring = NULL
    claim.segment = NULL


cdef void pool_free(ff_span *spans, int64_t room) noexcept:
    if spans != NULL:
        pool_give(spans, room * <int64_t> sizeof(ff_span))


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
