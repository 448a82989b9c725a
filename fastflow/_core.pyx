# cython: language_level=3, binding=True, embedsignature=True
"""The ring: events go from one writer to one reader through memory, counted by three cursors.

    asked   events the reader has ever requested      written by the reader
    sent    events ever published                     written by the writer
    acked   events whose handling is committed        written by the reader

    acked <= sent <= asked <= acked + capacity        always, at every instruction

    ── acked ─────────── sent ─────────── asked ─────────── acked + capacity
         │   in flight    │  pending demand │
         └ the reader's   └ the writer may fill exactly this

A writer claims slots within the pending demand, fills them in place and publishes; a reader reads, and
acknowledges when it is done.  Here with 100 int64 events::

    ring = Ring(8, capacity=100)
    writer, reader = ring.writer(), ring.reader()
    reader.ask(100)
    (slots,) = writer.claim(100)            # bytes; the ring knows sizes, never dtypes
    slots.view("int64")[:] = range(100)
    writer.publish(100)
    n, (events,) = reader.read(100)
    reader.acknowledge(n)

**Segments.**  The slots lie in a chain of segments.  As long as nobody else looks at a segment, the ring goes
round in it; when a reader keeps a batch, when a callback returns an array of its own (it is adopted: the array
becomes a segment) or when a claim does not fit, the chain goes on in another one.  *Marks* lie between events:
a change of segment, the end, a word to the reader.

**One thread or two.**  Within one scheduler the cursors are packed words.  With ``shared=True`` each has a cache
line of its own, and either side may wait, without the GIL: it tries, spins for about as long as a wake-up takes,
then says at which cursor it wants to be woken (a word that it alone writes) and sleeps.

Nothing here knows schemas, stages or demand rules: for those see `fastflow.schema` and `fastflow._turn`.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.string cimport memset

cimport numpy as cnp

import os

from fastflow._pool import kept_batches, pool_statistics, set_memory_limit
from fastflow.errors import Closed, DemandError, OptionError

__all__ = ["Reader", "Ring", "Writer", "kept_batches", "pool_statistics", "set_memory_limit"]

cnp.import_array()

cdef enum:
    LINE = 128                      # bytes between words of different sides: two cache lines, fetched in pairs
    SHARED_MARKS = 64               # a shared ring's marks can't grow under the reader's eyes
    SPINS = 2000                    # pauses: about 25 microseconds, what one wake-up of a sleeper costs

# More spinners than cores would only keep the others from running.
cdef int spins_before_sleep = SPINS if (os.cpu_count() or 1) > 1 else 0

# -- hot path: no Python object is touched from here on --

# -- the ring: marks --

cdef void retire(ff_ring *ring) noexcept nogil:
    """Writer: give back the holds of the marks that are behind the reader."""
    cdef int64_t front = ff_observe(ring.marks_front)
    cdef ff_mark *mark
    while ring.w.retired < front:
        mark = mark_at(ring, ring.w.retired)
        ring.w.retired += 1
        if mark.held:
            mark.held = 0
            segment_release(mark.segment)


cdef bint grow_marks(ff_ring *ring, int64_t written) noexcept nogil:
    """Room for one mark more.  False: a shared ring is full of marks, or memory is short."""
    cdef int64_t old = ring.marks_mask + 1, size, i
    cdef ff_mark *marks
    if ring.marks == NULL:
        size = SHARED_MARKS if ring.lines != NULL else 4
        old = 0
    elif ring.lines != NULL:
        return False
    else:
        size = old * 2
    marks = <ff_mark *> pool_anyway(size * <int64_t> sizeof(ff_mark))
    if marks == NULL:
        return False
    if old:
        for i in range(ring.w.retired, written):
            marks[i & (size - 1)] = ring.marks[i & (old - 1)]
        pool_give(ring.marks, old * <int64_t> sizeof(ff_mark))
    ring.marks = marks
    ring.marks_mask = size - 1
    return True


cdef inline bint room_for_mark(ff_ring *ring) noexcept nogil:
    """Writer: see to it that one mark more can be put."""
    cdef int64_t written = ff_own(ring.marks_written)
    if ring.marks != NULL and written - ring.w.retired <= ring.marks_mask:
        return True
    retire(ring)
    if ring.marks != NULL and written - ring.w.retired <= ring.marks_mask:
        return True
    return grow_marks(ring, written)


cdef ff_mark *push_mark(ff_ring *ring, int32_t kind, ff_segment *segment, int64_t slot) noexcept nogil:
    """Writer: a mark behind the last event.  The reader sees it at once; NULL: no room."""
    cdef int64_t written = ff_own(ring.marks_written)
    cdef ff_mark *mark
    if not room_for_mark(ring):
        return NULL
    mark = mark_at(ring, written)
    mark.first = ring.w.sent
    mark.segment = segment
    mark.slot = slot
    mark.kind = kind
    mark.held = 0
    ff_publish(ring.marks_written, written + 1)
    return mark


cdef inline ff_mark *last_mark(const ff_ring *ring) noexcept nogil:
    cdef int64_t written = ff_own(ring.marks_written)
    return NULL if written == ring.w.retired else mark_at(ring, written - 1)


cdef inline bint goes_on(const ff_ring *ring, const ff_mark *last, const ff_segment *segment, int64_t slot) noexcept nogil:
    """Whether slot `slot` of `segment` is where the lap of the last mark would go on."""
    return (last != NULL and last.kind == FF_LAP and last.segment == segment
            and last.slot + (ring.w.sent - last.first) == slot)


# -- the ring: the writer's end --

cdef inline void wake_reader(ff_ring *ring) noexcept nogil:
    ff_flag_add(ring.reader_bell, 1)
    ff_wake(ring.reader_bell)


cdef inline void wake_writer(ff_ring *ring) noexcept nogil:
    ff_flag_add(ring.writer_bell, 1)
    ff_wake(ring.writer_bell)


cdef inline void move_sent(ff_ring *ring, int64_t n) noexcept nogil:
    cdef int64_t at
    ring.w.sent += n
    if ring.lines == NULL:
        ff_publish(ring.sent, ring.w.sent)
        return
    ff_publish_waking(ring.sent, ring.w.sent)
    at = ff_observe_waking(ring.reader_at)
    # One wake for each sleep: the reader keeps its word until it is up, and many publishes may pass meanwhile.
    if at < ring.w.sent and at != ring.w.woken:
        ring.w.woken = at
        wake_reader(ring)


cdef int64_t oldest_slot(ff_ring *ring) noexcept nogil:
    """Slot of the oldest event in the writer's own segment that is not acknowledged; -1: there is none."""
    cdef int64_t acked = ff_observe(ring.acked), written = ff_own(ring.marks_written)
    cdef int64_t i, end
    cdef ff_mark *mark
    for i in range(ring.w.retired, written):
        mark = mark_at(ring, i)
        if mark.segment != ring.w.segment or not is_lap(mark):
            continue
        end = mark_at(ring, i + 1).first if i + 1 < written else ring.w.sent
        if end > acked and end > mark.first:
            return mark.slot + (acked - mark.first if acked > mark.first else 0)
    return -1


cdef void leave_segment(ff_ring *ring) noexcept nogil:
    """Writer: go on elsewhere.  The hold passes to the last mark that lies in the segment."""
    cdef int64_t i = ff_own(ring.marks_written) - 1
    cdef ff_segment *segment = ring.w.segment
    ring.w.segment = NULL
    if segment == NULL:
        return
    while i >= ring.w.retired:
        if mark_at(ring, i).segment == segment and is_lap(mark_at(ring, i)) and not mark_at(ring, i).held:
            mark_at(ring, i).held = 1
            return
        i -= 1
    segment_release(segment)


cdef inline bint alone(const ff_segment *segment) noexcept nogil:
    """Whether no view that somebody kept and no other ring stands against overwriting."""
    return segment.kept == 0 and (ff_count(&segment.holds) & (LEASED - 1)) == 1


cdef bint wrap(ff_ring *ring, int64_t n) noexcept nogil:
    """Writer: find `n` free slots in the same segment."""
    cdef int64_t oldest
    cdef bint wrapped = ring.w.limit < ring.w.segment.slots
    if n > ring.w.segment.slots or not alone(ring.w.segment):
        return False
    retire(ring)                        # so that only the marks from the reader's on are looked through
    oldest = oldest_slot(ring)
    if oldest < 0:
        ring.w.slot = 0
        ring.w.limit = ring.w.segment.slots
        return True
    if wrapped:
        # Behind the reader in this lap: free up to where it reads, or to the end when it has wrapped too.
        ring.w.limit = oldest if oldest >= ring.w.slot else ring.w.segment.slots
        if ring.w.slot + n <= ring.w.limit:
            return True
        if ring.w.limit < ring.w.segment.slots:
            return False
    if n > oldest:
        return False
    ring.w.slot = 0
    ring.w.limit = oldest
    return True


cdef int64_t ring_claim(ff_ring *ring, int64_t n) noexcept nogil:
    """First of `n` free slots in ``ring.w.segment``; -1 when memory is short.

    The caller has seen that `n` is within the pending demand.
    """
    cdef ff_segment *segment = ring.w.segment
    cdef int64_t slots
    if segment != NULL and (ring.lines != NULL or room_for_mark(ring)):
        if ring.lines == NULL and ring.r.acked == ring.w.sent and ring.w.slot and alone(segment):
            # All is handled: the slots just read are the ones that still lie in the nearest cache.
            ring.w.slot = 0
            ring.w.limit = segment.slots
        if ring.w.slot + n <= ring.w.limit or wrap(ring, n):
            return ring.w.slot
    if ring.lines != NULL:
        retire(ring)
    elif not room_for_mark(ring):
        return -1
    slots = ring.capacity if ring.capacity < ring.layout.most_slots else ring.layout.most_slots
    segment = segment_new(ring.layout, n if n > slots else slots)
    if segment == NULL:
        return -1
    leave_segment(ring)
    ring.w.segment = segment
    ring.w.slot = 0
    ring.w.limit = segment.slots
    return 0


cdef int ring_publish(ff_ring *ring, int64_t n, int32_t kind) noexcept nogil:
    """The first `n` claimed slots are events now.  0: done; -1: no room for a mark, nothing was done."""
    cdef ff_mark *last = last_mark(ring)
    if kind != FF_LAP or not goes_on(ring, last, ring.w.segment, ring.w.slot):
        if (ring.lines == NULL and kind == FF_LAP and last != NULL and last.kind == FF_LAP and not last.held
                and ring.r.acked == ring.w.sent and last.first <= ring.r.acked):
            # Nobody reads behind this mark any more, so it can be used again.
            last.first = ring.w.sent
            last.segment = ring.w.segment
            last.slot = ring.w.slot
        elif push_mark(ring, kind, ring.w.segment, ring.w.slot) == NULL:
            return -1
    ring.w.slot += n
    move_sent(ring, n)
    return 0


cdef void ring_abandon(ff_ring *ring) noexcept nogil:
    """Writer: somebody keeps the claimed slots: never hand them out again."""
    ring.w.segment.kept = 1
    ring.w.slot = ring.w.limit = ring.w.segment.slots


cdef int ring_append(ff_ring *ring, ff_segment *segment, int64_t slot, int64_t n, int32_t kind) noexcept nogil:
    """Publish `n` events of a segment that was filled elsewhere; the caller's hold passes to the ring.

    0: done; -1: no room for a mark, nothing was done.
    """
    cdef ff_mark *mark = last_mark(ring)
    if kind == FF_LAP and goes_on(ring, mark, segment, slot) and mark.held:
        segment_release(segment)
    else:
        mark = push_mark(ring, kind, segment, slot)
        if mark == NULL:
            return -1
        mark.held = 1
    move_sent(ring, n)
    return 0


cdef int ring_mark(ff_ring *ring, int32_t kind, int64_t value) noexcept nogil:
    """Put a word to the reader behind the last event.  -1: no room."""
    if push_mark(ring, kind, NULL, value) == NULL:
        return -1
    if ring.lines != NULL:
        wake_reader(ring)
    return 0


# -- the ring: the reader's end --

cdef void ring_acknowledge(ff_ring *ring, int64_t n) noexcept nogil:
    """Reader: `n` events more are handled for good; their slots may be overwritten."""
    cdef ff_mark *mark
    cdef int64_t front = ring.r.front
    ring.r.acked += n
    while front < ring.r.mark and (front < 0 or mark_at(ring, front + 1).first <= ring.r.acked):
        front += 1
    if front != ring.r.front:
        ring.r.front = front
        ff_publish(ring.marks_front, front)
    ff_publish(ring.acked, ring.r.acked)
    if ring.lines == NULL and front >= 0:
        if ring.w.retired < front:
            retire(ring)
        # The last segment need not wait for the next one: an adopted array is let go as soon as it is handled.
        mark = mark_at(ring, front)
        if mark.held and ring.r.acked == ring.w.sent and front + 1 == ff_own(ring.marks_written):
            mark.held = 0
            segment_release(mark.segment)
            mark.segment = NULL


cdef int64_t ring_through(
        ff_ring *ring, int64_t n,
        int64_t (*fill)(void *, char *, int64_t) noexcept nogil, void *fill_state,
        void (*consume)(void *, const char *, int64_t) noexcept nogil, void *consume_state) noexcept nogil:
    """One batch of `n` events from a native writer to a native reader of the same thread: claim to acknowledge.

    The caller has seen that `n` is within the pending demand, and that the ring is empty.  -1: memory is short.
    """
    cdef int64_t slot = ring_claim(ring, n)
    cdef int64_t size = ring.layout.size[0]
    cdef ff_mark *lap = NULL
    if slot < 0:
        return -1
    fill(fill_state, ring.w.segment.column[0] + slot * size, n)
    ring_publish(ring, n, FF_LAP)
    ring_read(ring, n, &lap, &slot)
    consume(consume_state, lap.segment.column[0] + slot * size, n)
    ring_advance(ring, n)
    ring_acknowledge(ring, n)
    return n


cdef void ring_rounds(ff_ring *ring, int64_t rounds) noexcept nogil:
    """Batches of one event through the ring, by both of its ends in turn: the cost of the protocol alone."""
    cdef ff_mark *lap = NULL
    cdef int64_t slot = 0, _round
    for _round in range(rounds):
        ring.w.asked = ff_observe(ring.asked)
        ring_claim(ring, 1)
        ring_publish(ring, 1, FF_LAP)
        ring_read(ring, 1, &lap, &slot)
        ring_advance(ring, 1)
        ring_acknowledge(ring, 1)
        ring_ask(ring, 1)


cdef void ring_rewind(ff_ring *ring) noexcept nogil:
    """Reader: what is not acknowledged is read again."""
    ring.r.position = ring.r.acked
    ring.r.mark = ring.r.front


cdef int64_t ring_top_up(ff_ring *ring) noexcept nogil:
    """Reader: let `asked` be as much of what is wanted as the capacity allows; returns what that added."""
    cdef int64_t target, added, at
    target = ring.r.acked + ring.capacity if ring.r.acked <= INT64_MAX - ring.capacity else INT64_MAX
    if ring.r.wanted < target:
        target = ring.r.wanted
    added = target - ring.r.asked
    if added <= 0:
        return 0
    ring.r.asked = target
    if ring.lines == NULL:
        ff_publish(ring.asked, target)
        return added
    ff_publish_waking(ring.asked, target)
    at = ff_observe_waking(ring.writer_at)
    if at < target and at != ring.r.woken:
        ring.r.woken = at
        wake_writer(ring)
    return added


cdef int64_t ring_ask(ff_ring *ring, int64_t n) noexcept nogil:
    """Reader: `n` events more may come, as soon as the capacity allows; returns what was asked for now."""
    ring.r.wanted = ring.r.wanted + n if ring.r.wanted <= INT64_MAX - n else INT64_MAX
    return ring_top_up(ring)


# -- the ring: waiting --

cdef inline bint writer_has_room(ff_ring *ring) noexcept nogil:
    ring.w.asked = ff_observe_waking(ring.asked)
    return ring.w.asked > ring.w.sent or ff_flag(ring.closed) & FF_CLOSED_BY_READER


cdef inline bint reader_has_events(ff_ring *ring) noexcept nogil:
    ring.r.sent = ff_observe_waking(ring.sent)
    # A lap is marked before its events are published, so a change of segment alone is nothing to read.
    return (ring.r.sent > ring.r.position or ff_flag(ring.closed) & FF_CLOSED_BY_WRITER
            or (ff_observe_waking(ring.marks_written) > ring.r.mark + 1 and not is_lap(mark_at(ring, ring.r.mark + 1))))


cdef inline bint may_go_on(ff_ring *ring, bint writer) noexcept nogil:
    return writer_has_room(ring) if writer else reader_has_events(ring)


cdef bint wait_for_other(ff_ring *ring, bint writer, int64_t timeout) noexcept nogil:
    """Either side: try, spin, then sleep until the other one has moved.  False: `timeout` nanoseconds passed."""
    cdef ff_cursor *at = ring.writer_at if writer else ring.reader_at
    cdef int32_t *bell = ring.writer_bell if writer else ring.reader_bell
    cdef int64_t here = ring.w.sent if writer else ring.r.position
    cdef int64_t end = INT64_MAX if timeout < 0 else ff_now() + timeout
    cdef int64_t left = -1
    cdef int32_t rung
    cdef int _spin
    for _spin in range(spins_before_sleep):
        if may_go_on(ring, writer):
            return True
        ff_pause()
    while True:
        rung = ff_flag(bell)
        # Say at which cursor to be woken, then look once more: whoever moves it now sees the word.
        ff_publish_waking(at, here)
        if may_go_on(ring, writer):
            ff_publish(at, FF_NOBODY)
            return True
        if end != INT64_MAX:
            left = end - ff_now()
            if left <= 0:
                ff_publish(at, FF_NOBODY)
                return False
        ff_sleep_while(bell, rung, left)


cdef bint ring_wait_writer(ff_ring *ring, int64_t timeout) noexcept nogil:
    """Writer: wait for demand, or for the reader's end; a negative timeout waits for ever."""
    return wait_for_other(ring, True, timeout)


cdef bint ring_wait_reader(ff_ring *ring, int64_t timeout) noexcept nogil:
    """Reader: wait for events, a mark or the writer's end; a negative timeout waits for ever."""
    return wait_for_other(ring, False, timeout)


cdef void ring_close(ff_ring *ring, int32_t side) noexcept nogil:
    """One side will not move any more; the other one, if it waits, is woken and sees it."""
    ff_flag_or(ring.closed, side)
    if side == FF_CLOSED_BY_WRITER:
        wake_reader(ring)
    else:
        wake_writer(ring)


# -- the ring: from nothing and back --

cdef int ring_init(ff_ring *ring, ff_layout *layout, int64_t capacity, bint shared, int64_t start) noexcept nogil:
    """An empty ring whose cursors stand at `start`.  -1: memory is short."""
    cdef char *lines = NULL
    memset(ring, 0, sizeof(ff_ring))
    ring.asked, ring.acked, ring.sent = &ring.packed[0], &ring.packed[1], &ring.packed[2]
    ring.reader_at, ring.writer_at = &ring.packed[3], &ring.packed[4]
    ring.marks_written, ring.marks_front = &ring.packed[5], &ring.packed[6]
    ring.reader_bell, ring.writer_bell, ring.closed = &ring.packed_words[0], &ring.packed_words[1], &ring.packed_words[2]
    if shared:
        lines = <char *> pool_anyway(10 * LINE)
        if lines == NULL:
            return -1
        memset(lines, 0, 10 * LINE)
        ring.lines = lines
        ring.sent, ring.marks_written = <ff_cursor *> lines, <ff_cursor *> (lines + LINE)
        ring.asked, ring.acked = <ff_cursor *> (lines + 2 * LINE), <ff_cursor *> (lines + 3 * LINE)
        ring.marks_front = <ff_cursor *> (lines + 4 * LINE)
        ring.reader_at, ring.writer_at = <ff_cursor *> (lines + 5 * LINE), <ff_cursor *> (lines + 6 * LINE)
        ring.reader_bell, ring.writer_bell = <int32_t *> (lines + 7 * LINE), <int32_t *> (lines + 8 * LINE)
        ring.closed = <int32_t *> (lines + 9 * LINE)
    if layout != NULL:              # else it is set before the first claim, when the schema is known
        layout.references += 1
        ring.layout = layout
    ring.capacity = capacity
    ring.asked.value = ring.acked.value = ring.sent.value = start
    ring.reader_at.value = ring.writer_at.value = FF_NOBODY
    ring.w.sent = ring.w.asked = start
    ring.w.woken = ring.r.woken = -1
    ring.r.acked = ring.r.asked = ring.r.wanted = ring.r.position = ring.r.sent = start
    ring.r.mark = ring.r.front = -1
    return 0


cdef void ring_clear(ff_ring *ring) noexcept nogil:
    """Give everything back: both sides are gone."""
    if ring.asked == NULL:
        return
    leave_segment(ring)
    ff_publish(ring.marks_front, ff_own(ring.marks_written))
    retire(ring)
    if ring.marks != NULL:
        pool_give(ring.marks, (ring.marks_mask + 1) * <int64_t> sizeof(ff_mark))
    if ring.lines != NULL:
        pool_give(ring.lines, 10 * LINE)
    if ring.layout != NULL:
        layout_release(ring.layout)
    memset(ring, 0, sizeof(ff_ring))
# -- end of the hot path --


cdef tuple byte_views(ff_ring *ring, ff_segment *segment, int64_t slot, int64_t n, bint writable):
    """Fresh arrays of bytes, one a column, that keep the segment alive."""
    cdef Lease lease = lease_of(segment)
    cdef cnp.npy_intp[1] shape
    cdef cnp.ndarray view
    cdef int32_t i
    views = []
    for i in range(ring.layout.columns):
        shape[0] = n * ring.layout.size[i]
        view = cnp.PyArray_SimpleNewFromData(1, shape, cnp.NPY_UINT8, segment.column[i] + slot * ring.layout.size[i])
        if not writable:
            cnp.PyArray_CLEARFLAGS(view, cnp.NPY_ARRAY_WRITEABLE)
        cnp.set_array_base(view, lease)
        views.append(view)
    return tuple(views)


cdef int64_t checked_count(object n, str what) except -1:
    """A number of events from Python: a whole number from 0 up."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise OptionError(f"{what}: got {n!r}, expected a whole number of events; give an int")
    n = n.__index__()
    if n < 0:
        raise DemandError(f"{what}: got {n}, expected 0 or more; give a number of events")
    return min(n, INT64_MAX)


cdef int64_t nanoseconds(object timeout) except? -2:
    if timeout is None:
        return -1
    if not timeout >= 0:
        raise ValueError(f"timeout: got {timeout!r}, expected seconds from 0 up, or None to wait for ever")
    return <int64_t> min(timeout * 1e9, 9e18)


cdef class Ring:
    """Three cursors and a chain of segments between one writer and one reader.

    Parameters
    ----------
    itemsize : int or tuple of int
        Bytes of one event in each column.
    capacity : int
        Events in flight at the most.
    shared : bool, default False
        Whether writer and reader are in different threads.
    start : int, default 0
        Where the cursors begin (a hook for tests: near 2**63).

    Examples
    --------
    >>> from fastflow._core import Ring
    >>> ring = Ring(8, capacity=4)
    >>> writer, reader = ring.writer(), ring.reader()
    >>> reader.ask(3)
    >>> (slots,) = writer.claim(10)
    >>> len(slots) // 8
    3
    """

    def __cinit__(self, itemsize, capacity, bint shared=False, start=0):
        sizes = itemsize if isinstance(itemsize, tuple) else (itemsize,)
        if not sizes:
            raise DemandError("itemsize: got no column, expected at least one; give the bytes of one event in each")
        for size in sizes:
            if checked_count(size, "itemsize") == 0:
                raise DemandError("itemsize: got 0, expected at least 1 byte an event")
        if checked_count(capacity, "capacity") == 0:
            raise DemandError("capacity: got 0, expected at least 1 event")
        if capacity > 1 << 40:
            raise DemandError(f"capacity: got {capacity}, expected at most 2**40 events; ask for fewer at a time")
        if checked_count(start, "start") != start:
            raise DemandError(f"start: got {start}, expected at most 2**63 - 1")
        cdef ff_layout *layout = layout_new(sizes)
        cdef int failed = ring_init(&self.ring, layout, capacity, shared, start)
        layout_release(layout)
        if failed:
            raise MemoryError("no memory for a ring")

    def __dealloc__(self):
        ring_clear(&self.ring)

    @property
    def asked(self):
        return ff_observe(self.ring.asked)

    @property
    def sent(self):
        return ff_observe(self.ring.sent)

    @property
    def acked(self):
        return ff_observe(self.ring.acked)

    @property
    def wanted(self):
        return self.ring.r.wanted

    @property
    def read_position(self):
        return self.ring.r.position

    @property
    def capacity(self):
        return self.ring.capacity

    def writer(self):
        """The writer's end; there is one."""
        if self.has_writer:
            raise RuntimeError("writer of a ring: got a second request, expected one; a ring has one writer")
        self.has_writer = True
        cdef Writer end = Writer.__new__(Writer)
        end.owner, end.ring = self, &self.ring
        return end

    def reader(self):
        """The reader's end; there is one."""
        if self.has_reader:
            raise RuntimeError("reader of a ring: got a second request, expected one; a ring has one reader")
        self.has_reader = True
        cdef Reader end = Reader.__new__(Reader)
        end.owner, end.ring = self, &self.ring
        return end


cdef class Writer:
    """The end of a ring that fills it."""

    def claim(self, n):
        """Up to `n` free slots, as one writable array of bytes for each column.

        They lie together; how many there are says the length.  Fewer than `n` when less is asked for.
        """
        cdef ff_ring *ring = self.ring
        cdef int64_t room, slot, k = checked_count(n, "claim")
        if ff_flag(ring.closed):
            raise Closed("claim: got a closed ring, expected an open one; make a new ring")
        ring.w.asked = ff_observe(ring.asked)
        room = ring.w.asked - ring.w.sent
        if ring.w.sent == INT64_MAX and k > 0:
            raise OverflowError("claim: this ring has sent 2**63 - 1 events, the last position there is; make a new ring")
        k = k if k < room else room
        if ring.w.segment != NULL and ring.w.segment.lease == NULL:
            ring.w.segment.kept = 0
        slot = ring_claim(ring, k)
        if slot < 0:
            raise MemoryError(f"claim: no memory for {max(k, ring.capacity)} events; let go of batches that you keep")
        ring.w.segment.kept = 1
        self.claimed = k
        return byte_views(ring, ring.w.segment, slot, k, True)

    def publish(self, n):
        """The first `n` slots of the last claim are events now."""
        cdef int64_t k = checked_count(n, "publish")
        cdef ff_ring *ring = self.ring
        if k > self.claimed:
            raise DemandError(f"publish: got {n}, expected at most the {self.claimed} slots of the last claim; claim first")
        if k == 0:
            return
        self.claimed = 0
        if ring_publish(ring, k, FF_LAP) < 0:
            raise MemoryError("publish: no room for another mark; wait until the reader has acknowledged")

    def adopt(self, arrays, n):
        """Publish `n` events that lie in arrays of your own (one a column), without a copy."""
        cdef ff_ring *ring = self.ring
        cdef int64_t k = checked_count(n, "adopt")
        cdef ff_segment *segment
        cdef cnp.ndarray array
        owners = arrays if isinstance(arrays, tuple) else (arrays,)
        if len(owners) != ring.layout.columns:
            raise ValueError(f"adopt: got {len(owners)} arrays, expected one for each of {ring.layout.columns} columns")
        for i, array in enumerate(owners):
            if not array.flags.c_contiguous or array.nbytes < k * ring.layout.size[i]:
                raise ValueError(f"adopt: column {i} has {array.nbytes} bytes, expected at least "
                                 f"{k * ring.layout.size[i]}, contiguous; copy it first")
        ring.w.asked = ff_observe(ring.asked)
        if k > ring.w.asked - ring.w.sent:
            raise DemandError(f"adopt: got {k} events, expected at most the pending demand "
                              f"{ring.w.asked - ring.w.sent}; wait for more")
        segment = segment_adopt(owners, ring.layout.columns, k)
        if segment == NULL:
            raise MemoryError("adopt: no memory for a segment")
        for i, array in enumerate(owners):
            segment.column[i] = <char *> cnp.PyArray_DATA(array)
        if ring_append(ring, segment, 0, k, FF_LAP) < 0:
            segment_release(segment)
            raise MemoryError("adopt: no room for another mark; wait until the reader has acknowledged")

    def mark(self, int kind, int64_t value):
        """Put a word to the reader behind the last event."""
        if kind in (FF_LAP, FF_WHOLE):
            raise ValueError(f"mark: got kind {kind}, expected a kind that is no change of segment; 1 is the end")
        if ring_mark(self.ring, kind, value) < 0:
            raise MemoryError("mark: no room for another mark; wait until the reader has acknowledged")

    def wait(self, timeout=None):
        """Wait, without the GIL, until something is asked for; False when `timeout` seconds passed."""
        cdef int64_t limit = nanoseconds(timeout)
        cdef ff_ring *ring = self.ring
        cdef bint came
        with nogil:
            came = ring_wait_writer(ring, limit)
        if came and ff_observe(ring.asked) == ring.w.sent and ff_flag(ring.closed) & FF_CLOSED_BY_READER:
            raise Closed("wait: the reader is gone, expected it to ask; stop writing")
        return came

    def close(self):
        """No event will come any more."""
        ring_close(self.ring, FF_CLOSED_BY_WRITER)


cdef class Reader:
    """The end of a ring that empties it."""

    @property
    def read_position(self):
        return self.ring.r.position

    def ask(self, n):
        """Say that `n` events more may come."""
        cdef int64_t k = checked_count(n, "ask")
        if ff_flag(self.ring.closed) & FF_CLOSED_BY_READER:
            raise Closed("ask: got a closed reader, expected an open one; make a new ring")
        ring_ask(self.ring, k)

    def read(self, n):
        """The next events that lie together, up to `n`: (how many, one read-only array of bytes a column).

        ``(0, None)`` when nothing is there, ``(0, (kind, value))`` when a mark comes first.
        """
        cdef ff_mark *lap = NULL
        cdef int64_t slot = 0, k = checked_count(n, "read")
        k = ring_read(self.ring, k, &lap, &slot)
        if k < 0:
            return 0, (lap.kind, lap.slot)
        if k == 0:
            return 0, None
        views = byte_views(self.ring, lap.segment, slot, k, False)
        lap.segment.kept = 1
        ring_advance(self.ring, k)
        return k, views

    def acknowledge(self, n):
        """`n` events more are handled; nobody will ask for them again."""
        cdef int64_t k = checked_count(n, "acknowledge")
        if k > self.ring.r.position - self.ring.r.acked:
            raise DemandError(f"acknowledge: got {n}, expected at most the {self.ring.r.position - self.ring.r.acked} "
                              "events read and not yet acknowledged; read first")
        ring_acknowledge(self.ring, k)
        ring_top_up(self.ring)

    def rewind(self):
        """Read again from the last acknowledged event on."""
        ring_rewind(self.ring)

    def wait(self, timeout=None):
        """Wait, without the GIL, until something is there; False when `timeout` seconds passed."""
        cdef int64_t limit = nanoseconds(timeout)
        cdef ff_ring *ring = self.ring
        cdef bint came
        with nogil:
            came = ring_wait_reader(ring, limit)
        if (came and ff_flag(ring.closed) & FF_CLOSED_BY_WRITER and ff_observe(ring.sent) == ring.r.position
                and ff_observe(ring.marks_written) == ring.r.mark + 1):
            raise Closed("wait: the writer is gone and nothing is left, expected events; stop reading")
        return came

    def close(self):
        """Nothing will be read any more."""
        ring_close(self.ring, FF_CLOSED_BY_READER)
