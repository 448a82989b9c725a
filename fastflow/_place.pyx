# cython: language_level=3, binding=True, embedsignature=True
# -- no hot path here: a turn here is a callback in Python; the turns of native stages are in _turn.pyx --
"""Places: turns in Python.

    deliver ──▶ callback ──▶ commit ──────────────────────────────────────────┐
    one batch,   the stage's   1. what it emitted becomes spans of segments    │ may fail: then nothing happened
    demand or    method        2. the declared state is copied                 │
    message                    3. the spans go to consumers, or into the buffer
                               4. the input is acknowledged, more is asked for
                               5. casts, replies and timers of the turn leave

If the callback or one of the first two steps raises, the turn never happened: nothing was published, nothing
acknowledged, and the declared state is put back.  The rest raises only when the system has no memory at all (the memory
limit does not stop it), or when NumPy refuses to convert a value; then the stage fails, and what had already gone out
of that turn stays out.

A turn of a stage costs some tens of nanoseconds beyond its callback, which is why all of this is compiled.  What
happens rarely (subscriptions, the end, failures) is the runtime's business: it is called as `host`.
"""
cimport cython
from libc.stdint cimport INT64_MAX, int32_t, int64_t

from collections import deque
from types import FunctionType

import numpy as np

from fastflow._output import HeldBack
from fastflow._state import refuse_missing
from fastflow.errors import CallbackError, Retry

from fastflow._core cimport FF_WHOLE, ff_mark, ff_observe, ff_segment, ring_advance, ring_read, segment_new, segment_release
from fastflow._dispatch cimport deliver_latest
from fastflow._native cimport Kernel
from fastflow._router cimport Router
from fastflow._sender cimport Edge
from fastflow._spans cimport ff_span
from fastflow._state cimport State
from fastflow._turn cimport (
    BY_PROTOCOL, DEMAND, INPUT, MAIL, TIMER, TURNS_BETWEEN_SAMPLES, acknowledge, begin_sample, end_sample, enqueue, ff_edge,
    ff_place, has_input, hold_back, list_input, list_input_first, ready, unlist_input,
)
from fastflow._view cimport Form, Views, copy_span, span_of_list

cdef extern from "Python.h":
    int PyObject_GenericSetDict(object o, object value, void *context) except -1

cdef enum:
    GATHERED_BYTES = 65536          # small pieces that wait together are copied together up to here


@cython.final
cdef class Place(Router):
    """Where a stage sits: its turns, its buffer, and its committed state."""

    # -- set-up --

    def seat(self, stage, tuple state_names, bint answers):
        """The stage is constructed: its callbacks from now on; `state_names` are its declared attributes."""
        self.stage = stage
        if answers:
            self.handle_demand = stage.handle_demand
            self.c.answers = 1
        self.state = State(state_names) if state_names else None
        if isinstance(stage, StageBase):
            (<StageBase> stage)._place = self

    def seat_kernel(self, Kernel kernel):
        """A native stage: its turns run without the GIL."""
        self.kernel = kernel
        self.c.kernel, self.c.kernel_state = kernel.kernel, kernel.state
        self.c.answers = self.c.emits

    def first_commit(self):
        """After setup(): what the declared state is now is what a failed first turn goes back to."""
        if self.state is not None:
            try:
                self.state.save(self.stage)
            except AttributeError:
                refuse_missing(self.stage, self.state.names)
                raise
            self.state.keep()

    def vacate(self):
        """The stage is gone for good; its result stays with the host."""
        self.c.ended = 1
        self.handle_events = self.handle_demand = None
        self.emits = self.outbox = None
        self.drop_spans()
        self.end_claims()
        self.current = None

    def leave_queue(self):
        """The place is about to be forgotten: the run queue, which holds no reference to it, must not name it any more."""
        cdef ff_place *last = NULL
        cdef ff_place *other = self.c.scheduler.head
        if not self.c.queued:
            return
        while other != &self.c:
            last, other = other, other.next
        if last == NULL:
            self.c.scheduler.head = self.c.next
        else:
            last.next = self.c.next
        if self.c.scheduler.tail == &self.c:
            self.c.scheduler.tail = last
        self.c.queued = 0

    # -- what the runtime asks and says --

    def post(self, message):
        """Mail for the stage."""
        if self.mail is None:
            self.mail = deque()
        self.mail.append(message)
        self.c.mail += 1
        enqueue(&self.c)

    def post_first(self, message):
        if self.mail is None:
            self.mail = deque()
        self.mail.appendleft(message)
        self.c.mail += 1
        enqueue(&self.c)

    def fire(self, timer):
        """A timer is due."""
        if self.due is None:
            self.due = deque()
        self.due.append(timer)
        self.c.due += 1
        enqueue(&self.c)

    def fire_first(self, timer):
        self.due.appendleft(timer)
        self.c.due += 1

    def forget_timer(self, timer):
        """A timer that was due but not yet handled was cancelled."""
        if self.due is not None and timer in self.due:
            self.due.remove(timer)
            self.c.due -= 1

    def put_off(self, str kind):
        """A Retry in a turn that the host took: the same kind again, and nothing else until `resume`."""
        self.c.redo = MAIL if kind == "mail" else TIMER
        self.c.suspended = 1

    def suspend(self):
        """No turn until `resume`: somebody outside of the scheduler has to do something first."""
        self.c.suspended = 1

    def resume(self):
        """The time of a Retry has come, or that of whoever suspended it."""
        self.c.suspended = 0
        enqueue(&self.c)

    def wake(self):
        """Let handle_demand be called again, although it had nothing to give."""
        self.c.parked = 0
        enqueue(&self.c)

    def finish(self):
        """End as soon as everything emitted is delivered."""
        self.c.finishing = 1
        enqueue(&self.c)

    def memory_again(self):
        """Somebody let go of memory: try once more."""
        self.c.held_back = 0
        enqueue(&self.c)

    @property
    def pending(self):
        if self.c.dispatcher != NULL and self.c.dispatcher.kind == BY_PROTOCOL:
            return self.dispatcher._checked_demand(self.name, self.demands())
        return self.c.pending

    @property
    def callback_seconds(self):
        """Seconds in handle_events and handle_demand, estimated from one turn in 64."""
        return self.c.callback_ns * 1e-9 * TURNS_BETWEEN_SAMPLES

    @property
    def sampled_turns(self):
        return self.c.sampled

    @property
    def buffered(self):
        return self.c.buffered

    @property
    def emitted(self):
        return self.c.emitted

    @property
    def handled(self):
        return self.c.handled

    @property
    def turn_count(self):
        return self.c.turns

    @property
    def ended(self):
        return bool(self.c.ended)

    @property
    def finishing(self):
        return bool(self.c.finishing)

    @property
    def suspended(self):
        return bool(self.c.suspended)

    @property
    def is_held_back(self):
        return bool(self.c.held_back)

    @property
    def busy(self):
        return self.in_turn or self.dispatching

    @property
    def native(self):
        return self.c.kernel != NULL

    @property
    def is_ready(self):
        return ready(&self.c) != 0

    # -- turns --

    cdef int run_turn(self, int32_t kind) except -1:
        """One turn of the given kind."""
        self.c.last_kind = kind
        self.c.redo = 0
        self.c.turns += 1
        if kind & (MAIL | TIMER):
            # Whatever a message changes, a producer that had nothing to give may have something now.
            self.c.parked = 0
        if kind == INPUT:
            self.input_turn()
        elif kind == DEMAND:
            self.demand_turn()
        elif kind == TIMER:
            self.c.due -= 1
            self.host.timer_turn(self.due.popleft())
        elif self.c.mail > 0:
            self.c.mail -= 1
            self.host.mail_turn(self.mail.popleft())
        else:
            self.host.end("normal")
        enqueue(&self.c)
        return 0

    cdef int input_turn(self) except -1:
        """Deliver one batch, or one mark."""
        cdef ff_edge *c = unlist_input(&self.c)
        cdef Edge edge = <Edge> c.face
        cdef ff_mark *lap = NULL
        cdef ff_span span
        cdef bint gathered = False
        cdef int64_t limit = c.delivery, began = 0
        cdef Views views
        if c.retry:
            limit = c.retry
        elif c.manual:
            limit = INT64_MAX
        span.n = ring_read(c.ring, limit, &lap, &span.slot)
        if span.n < 0:
            if has_input(c):
                list_input(c)
            reason = edge.end_reason
            if reason is None:
                reason = OverflowError(f"the subscription of {edge.consumer_place.name!r} to {edge.producer_place.name!r} has "
                                       "sent 2**63 - 1 events, the last position there is; subscribe again")
            self.host.end_of_input(edge, reason)
            return 0
        span.segment = lap.segment
        if lap.kind == FF_WHOLE and not c.retry:
            # Whole batches are not cut by max - min either: max_demand was checked when they subscribed.
            span.n = ring_read(c.ring, INT64_MAX, &lap, &span.slot)
        elif span.n < limit and ff_observe(c.ring.sent) > c.ring.r.position + span.n:
            gathered = self.gathered(edge, &span, limit)
        if span.n == 0:
            if gathered:
                segment_release(span.segment)
            return 0                        # what was there has been discarded
        if self.c.kernel != NULL and not c.selects:
            return self.consume_in_python(edge, &span, gathered)
        views = edge.reader_views() if edge.views is None or edge.views.keeper is not self else edge.views
        views.give(span.segment, span.slot, span.n)
        self.doing, self.source, self.first, self.count, self.filtered = INPUT, c, c.ring.r.acked, span.n, 0
        self.in_turn = True
        c.in_hand = 1
        self.c.scheduler.current = &self.c
        began = begin_sample(&self.c)
        try:
            self.commit_turn(self.deliver(edge, views), views)
        except BaseException as error:
            c.in_hand = 0
            self.leave()
            views.take_back()
            if gathered:
                segment_release(span.segment)
            c.retry = span.n
            list_input_first(c)
            if c.latest != NULL:
                deliver_latest(c)
            self.turn_failed(error, INPUT)
            return 0
        end_sample(&self.c, began)
        c.retry = c.in_hand = 0
        views.take_back()
        if gathered:
            segment_release(span.segment)
            self.advance_over(c, span.n)
        else:
            ring_advance(c.ring, span.n)
        if edge.late:
            edge.delivered_late(span.n, self.filtered)
        else:
            acknowledge(c, span.n, self.filtered)
        if c.latest != NULL:
            deliver_latest(c)
        if has_input(c):
            list_input(c)
        if self.current is not None or self.earlier:
            self.end_claims()
        self.leave()
        if self.behind_input is not None:
            self.check_behind_input()
        if self.outbox:
            self.send_outbox()
        return 0

    cdef object deliver(self, Edge edge, Views views):
        """Call handle_events with the batch, or with what of it the consumer wants."""
        if self.handle_events is None:
            self.find_callback()
        if edge.c.selects:
            events = self.wanted(edge, views.batch, self.count)
            if events is None:
                return None
            if self.c.kernel != NULL:
                self.kernel.consume(events)
                return None
            if edge.writable and events is views.batch:
                events = writable_copy(events)
            return self.call(events, edge)
        if edge.writable:
            return self.call(writable_copy(views.batch), edge)
        if self.bound:
            return self.handle_events(views.batch, edge)
        return self.handle_events(self.stage, views.batch, edge)

    cdef object call(self, object events, Edge edge):
        return self.handle_events(events, edge) if self.bound else self.handle_events(self.stage, events, edge)

    def find_callback(self):
        """The class's own function is called with the stage: a bound method for each of a million is a million objects."""
        for cls in type(self.stage).__mro__:
            if "handle_events" in vars(cls):
                function = vars(cls)["handle_events"]
                break
        self.bound = type(function) is not FunctionType
        self.handle_events = self.stage.handle_events if self.bound else function

    cdef object wanted(self, Edge edge, object batch, int64_t n):
        """The events that a selector wants; None: none of them."""
        cdef int64_t count
        try:
            mask = checked_mask(edge.options.selector(batch), n)
        except BaseException as error:
            error.add_note(f"in the selector of the subscription to {edge.producer_place.name!r}, events "
                           f"{self.first} to {self.first + n - 1} of that stream")
            raise
        if type(batch) is list:
            events = [event for event, wanted in zip(batch, mask, strict=True) if wanted]
            count = len(events)
        else:
            count = int(np.count_nonzero(mask))
            events = batch if count == n else batch[mask]
        self.filtered = n - count
        return events if count else None

    cdef int consume_in_python(self, Edge edge, ff_span *span, bint gathered) except -1:
        """A native consumer whose turn came by way of Python, because a mark stood before it."""
        cdef int64_t size = edge.form.layout.size[0] if edge.form.columns else 0
        self.c.kernel.consume(
            self.c.kernel_state, span.segment.column[0] + span.slot * size if size else NULL, span.n)
        if gathered:
            segment_release(span.segment)
        self.advance_over(&edge.c, span.n)
        acknowledge(&edge.c, span.n, 0)
        if has_input(&edge.c):
            list_input(&edge.c)
        return 0

    cdef int advance_over(self, ff_edge *c, int64_t n) except -1:
        """Move past `n` events, whatever laps they lie in."""
        cdef ff_mark *lap = NULL
        cdef int64_t slot = 0, part
        while n > 0:
            part = ring_read(c.ring, n, &lap, &slot)
            if part <= 0:
                break                   # the subscription was closed meanwhile
            ring_advance(c.ring, part)
            n -= part
        return 0

    cdef int gathered(self, Edge edge, ff_span *span, int64_t limit) except -1:
        """Small pieces that wait together are delivered together: copy them into one segment.  0: they are not small."""
        cdef Form form = edge.form
        cdef ff_edge *c = &edge.c
        cdef ff_segment *segment = NULL
        cdef ff_mark *lap = NULL
        cdef int64_t total = 0, part, slot = 0, mark = c.ring.r.mark, position = c.ring.r.position
        cdef int64_t most = limit
        cdef list pieces = [] if form.columns == 0 else None
        if form.columns:
            if span.n * form.layout.event_bytes > GATHERED_BYTES // 2:
                return 0
            if most > GATHERED_BYTES // form.layout.event_bytes + 1:
                most = GATHERED_BYTES // form.layout.event_bytes + 1
            segment = segment_new(form.layout, min(most, ff_observe(c.ring.sent) - position))
            if segment == NULL:
                return 0
        while total < most:
            part = ring_read(c.ring, most - total, &lap, &slot)
            if part <= 0 or lap.kind == FF_WHOLE:
                break
            if form.columns:
                copy_span(form, lap.segment, slot, segment, total, part)
            else:
                pieces.extend((<list> lap.segment.owner)[slot:slot + part])
            ring_advance(c.ring, part)
            total += part
        c.ring.r.mark, c.ring.r.position = mark, position
        if form.columns == 0:
            span_of_list(pieces, span)
        else:
            span.segment, span.slot, span.n = segment, 0, total
        return 1

    cdef int demand_turn(self) except -1:
        """Serve what waits in the buffer, else let the producer answer its demand."""
        cdef int64_t before = self.c.emitted, began = 0
        if self.c.buffered > 0 or self.c.drainable:
            # Out of the buffer nothing is called but a dispatcher written in Python.
            self.doing, self.callback, self.source, self.first, self.count = 0, "dispatch", NULL, self.c.emitted, 0
            try:
                if self.drain() == 0:
                    self.c.parked = 1
            except BaseException as error:
                self.turn_failed(error, DEMAND)
            if self.outbox:
                self.send_outbox()
            return 0
        self.doing, self.source, self.first, self.count = DEMAND, NULL, self.c.emitted, self.c.pending
        began = begin_sample(&self.c)
        self.in_turn = True
        self.c.scheduler.current = &self.c
        self.c.parked = 1                       # an ask in the turn takes this back
        try:
            self.commit_turn(self.answer(), None)
        except BaseException as error:
            self.leave()
            self.c.parked = 0
            self.turn_failed(error, DEMAND)
            return 0
        end_sample(&self.c, began)
        if self.c.emitted != before:
            self.c.parked = 0
        self.end_claims()
        self.leave()
        if self.outbox:
            self.send_outbox()
        return 0

    cdef object answer(self):
        """What the producer gives for its demand; a native one too, when its events are converted on their way."""
        cdef int64_t n = self.c.pending, left
        if self.c.dispatcher.kind == BY_PROTOCOL:
            n = self.pending
            if n == 0:
                return None
        if self.c.kernel == NULL:
            return self.handle_demand(n)
        if self.c.dispatcher.whole and n > self.c.dispatcher.whole:
            n = self.c.dispatcher.whole
        left = self.c.kernel.remaining(self.c.kernel_state)
        if n >= left:
            n = left
            self.wants_end = True
        array = np.empty(n, self.kernel.dtype)
        self.kernel.fill(array)
        return array

    def take(self, str callback, function, tuple args, Edge source=None, bint emits=True):
        """Any other callback as a turn.

        Returns what the callback returned; when it emits, that is taken as events.  Raises what the callback raised,
        after everything is put back.
        """
        cdef ff_place *outer = self.c.scheduler.current
        self.doing, self.callback, self.source, self.first, self.count = 0, callback, NULL, -1, 0
        if source is not None:
            self.source = &source.c
        self.in_turn = True
        self.c.scheduler.current = &self.c
        try:
            result = function(*args)
            if emits:
                self.commit_turn(result, None)
                result = None
            else:
                self.commit_turn(None, None)
        except BaseException:
            self.roll_back()
            raise
        finally:
            self.leave()
            self.c.scheduler.current = outer
        self.end_claims()
        if self.outbox:
            self.send_outbox()
        enqueue(&self.c)
        return result

    def send_outbox(self):
        """Casts, replies and timers of a turn leave when it has committed."""
        box, self.outbox = self.outbox, None
        for function, args in box:
            function(*args)

    cdef void leave(self) noexcept:
        self.in_turn = False
        if self.generator is not None:
            self.generator = None
        self.c.scheduler.current = NULL

    def roll_back(self):
        """The turn never happened."""
        self.emits = self.outbox = None
        self.wants_end = False
        self.drop_spans()
        if self.routes:
            self.routes.clear()
        if self.state is not None:
            self.state.restore(self.stage)
        self.end_claims()

    cdef int turn_failed(self, object error, int32_t kind) except -1:
        """A turn raised: put everything back, then see what that means."""
        self.roll_back()
        if isinstance(error, Retry):
            self.c.redo = kind
            self.c.suspended = 1
            self.host.resume_after(error.after)
        elif isinstance(error, HeldBack):
            self.c.redo = 0
            hold_back(&self.c, error.size)
            self.host.held_back(error)
        elif isinstance(error, KeyboardInterrupt):
            self.c.redo = 0
            raise error
        else:
            source = None if self.source == NULL else <object> self.source.face
            self.host.failed(error, self.callback_name(), source, self.first, self.count)
        return 0

    # -- commit --

    cdef int commit_turn(self, object result, Views given) except -1:
        """Everything that the turn does to others, at once; raises only before anything is done."""
        cdef bint dropped = False, emitted = False
        cdef ff_span span
        route = None
        if self.emits:
            emits, self.emits = self.emits, None
            emits.reverse()
            while emits:
                events = emits.pop()
                if self.collect(events, given, &span):
                    if self.routes is not None:
                        self.routes.append(self.route(&span))
                    self.add_span(&span)
                events = None
        if result is not None:
            if self.c.emits:
                emitted = self.collect(result, given, &span)
                if emitted and self.routes is not None:
                    route = self.route(&span)
            else:
                dropped = True
        if self.state is not None:
            try:
                self.state.save(self.stage)
            except BaseException:
                if emitted:
                    self.add_span(&span)        # to be dropped with the others
                refuse_missing(self.stage, self.state.names)
                raise
            self.state.keep()
        if self.span_count:
            self.send_spans(&span if emitted else NULL, route)
        elif emitted:
            self.dispatch(&span, route)
            if self.infos is not None:
                self.check_infos()
        if self.wants_end:
            self.wants_end = False
            self.c.finishing = 1
        if dropped:
            self.host.dropped_return(self.callback_name())
        return 0

    cdef object turn_rng(self):
        """Random numbers of this turn: equal in every replay of it."""
        if self.generator is None:
            seed = np.random.SeedSequence(
                [self.host.runtime.seed & 0xFFFFFFFFFFFFFFFF, *self.name.encode(), self.c.emitted, self.c.handled])
            self.generator = np.random.Generator(np.random.Philox(seed))
        return self.generator


cdef object checked_mask(object mask, int64_t n):
    """What a selector returned: one truth value for each of `n` events."""
    if type(mask) is list or type(mask) is tuple:
        if len(mask) != n:
            raise CallbackError(f"selector: got {len(mask)} values, expected {n}, one for each event of the batch; "
                                "return a comparison, say batch > 0")
        return mask if n == 0 or type(mask[0]) is bool else np.asarray(mask, dtype=object).astype(bool)
    array = np.asarray(mask)
    if array.dtype != bool or array.shape != (n,):
        got = f"{array.dtype} of shape {array.shape}" if array.ndim else repr(mask)
        raise CallbackError(f"selector: got {got}, expected bools of shape ({n},), one for each "
                            "event of the batch; return a comparison, say batch > 0")
    return array


cdef object writable_copy(object batch):
    """The same events in memory of the consumer's own."""
    if type(batch) is list:
        return list(batch)
    if isinstance(batch, np.ndarray):
        return batch.copy()
    return type(batch)({name: batch[name].copy() for name in batch.columns})


cdef class StageBase:
    """What every stage can do in its callbacks.  `fastflow.stage` builds the public classes on it."""

    def __cinit__(self, *args, **keywords):
        self._arguments, self._keywords = args, keywords
        # Of a compiled base, CPython gives an object its dict at the first attribute, in a form (keys shared with its
        # class) that the interpreter's fast paths for attributes refuse: each `self.x` in a callback took 30 ns longer.
        PyObject_GenericSetDict(self, {}, NULL)

    def claim(self, n):
        """Take `n` writable slots for events, in place where the consumer will read them.

        Parameters
        ----------
        n : int
            Events, from 0 up; more than the pending demand is possible, but not in place.

        Returns
        -------
        ndarray of shape (n,) or Batch
            What is in it is arbitrary.  Return it, or ``out[:k]``, or give it to `emit`.

        Raises
        ------
        CallbackError
            Outside of a callback; for `object` events; before the last claim was emitted or returned.
        DemandError
            If `n` is negative.
        """
        if self._place is None:
            return self._bare_claim(n)
        return self._place.claim_slots(n)

    def emit(self, events):
        """Emit events from any callback; they leave when the turn commits, before what it returns.

        Parameters
        ----------
        events : array_like, Batch, dict of columns, or list
            Events of the stage's schema; None is no events.
        """
        if self._place is None or events is None:
            return
        if not self._place.in_turn:
            raise CallbackError(f"emit of {self._place.name!r}: got a call outside of a callback, expected one inside; "
                                "send the stage a message, and emit in handle_info")
        if not self._place.c.emits:
            raise CallbackError(f"emit of {self._place.name!r}: a consumer emits nothing; make it an ff.ProducerConsumer")
        if self._place.emits is None:
            self._place.emits = []
        self._place.emits.append(events)

    def finish(self):
        """End normally once everything emitted is delivered."""
        if self._place is None:
            return
        if self._place.in_turn:
            self._place.wants_end = True
        else:
            self._place.host.finish_from_outside()

    def wake(self):
        """Have handle_demand called again, although it had nothing to give before."""
        if self._place is None:
            return
        if self._place.in_turn:
            self._place.later(self._place.wake, ())
        else:
            self._place.host.wake_from_outside()

    def after(self, seconds, message):
        """Send yourself a message later.

        Parameters
        ----------
        seconds : float
            From 0 up, on the runtime's clock.
        message : object
            What `handle_info` gets.

        Returns
        -------
        Timer
            ``timer.cancel()`` takes it back.
        """
        if self._place is None:
            raise CallbackError("after: got a stage that is not started, expected a running one; start it first")
        return self._place.host.after(seconds, message)

    @property
    def emitted(self):
        """Events emitted so far, by this stage and those before it in its place."""
        return 0 if self._place is None else self._place.c.emitted

    @property
    def handled(self):
        """Events handled so far, by this stage and those before it in its place."""
        return 0 if self._place is None else self._place.c.handled

    @property
    def pending_demand(self):
        """Events that are asked for and not yet sent."""
        return 0 if self._place is None else self._place.c.pending

    @property
    def rng(self):
        """A `numpy.random.Generator`, seeded by the run's seed, the stage's name and its position in its streams."""
        if self._place is None:
            return np.random.default_rng(0)
        return self._place.turn_rng()
