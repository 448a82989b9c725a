# cython: language_level=3, binding=True, embedsignature=True
"""The pool: memory for events, in segments that are reused and never overwritten under a view.

    pool ──▶ segment ──▶ Lease ──▶ views (ndarrays)
       ▲        │ holds: rings, marks, buffers
       └────────┘ when nobody holds it and no view is left

A fresh block of 512 KB costs some 380 microseconds (the system maps and clears its pages), a pooled one 9, so
blocks that are given back wait in free lists, up to 64 MiB in all.  A segment is a block with columns in it, or
an array or list that somebody made (adopted).  Views have a `Lease` as their base: while one lives, the segment
stays as it is, whatever the ring that it came from does next, and after the ring is gone.

A block is refused when less than an eighth of the memory limit (control group, RLIMIT_AS, physical memory) would
be left; demand is then held back until somebody lets go of the batches that they keep.
"""
cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t

cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil

cdef extern from *:
    """
    /* One byte behind a block: what `make asan` must catch.  Built only when the overrun is planted. */
    static int ff_plant_overrun(char *block, int64_t size)
    {
    #ifdef FF_PLANT_OVERRUN
        volatile char *past = block + size;
        *past = 1;
        return 1;
    #else
        (void)block; (void)size;
        return 0;
    #endif
    }
    #if defined(__SANITIZE_ADDRESS__)
    #define FF_SANITIZED 1
    #else
    #define FF_SANITIZED 0
    #endif
    """
    int ff_plant_overrun(char *block, int64_t size) nogil
    int FF_SANITIZED

cdef enum:
    CLASSES = 64 * 8                # of block sizes: eight to each power of two, so at most 12.5 % is wasted
    MOST_SEGMENT_BYTES = 64 << 20   # of a ring whose capacity is enormous
    MEMORY_LOOK = 16 << 20          # bytes newly taken from the system between two looks at what is left

# Holds of a segment are counted in the low half of a word; one more of this means "a Lease exists, so views may".
LEASED = <int64_t> 1 << 40

# -- pool --

cdef struct FreeBlock:
    FreeBlock *next

cdef struct Pool:
    int32_t lock
    int32_t exhausted
    int64_t live                    # bytes handed out
    int64_t free                    # bytes kept for reuse
    int64_t keep                    # bytes kept at the most
    int64_t unlooked                # bytes taken from the system since memory was last looked at
    int64_t test_limit              # hook for tests: bytes; 0: the machine's own limit
    int64_t segments                # alive

cdef Pool pool
cdef FreeBlock *free_blocks[CLASSES]
# Blocks that wait for reuse would hide from AddressSanitizer that somebody still looks at them.
pool.keep = 0 if FF_SANITIZED else 64 << 20


def pool_statistics():
    """What the pool of segments holds.

    Returns
    -------
    dict
        ``live_bytes`` handed out, ``free_bytes`` kept for reuse, ``segments`` alive.
    """
    return {"live_bytes": pool.live, "free_bytes": pool.free, "segments": pool.segments}


def set_memory_limit(limit=None):
    """Pretend that segments may take `limit` bytes in all (a hook for tests; None: what the machine allows)."""
    pool.test_limit = 0 if limit is None else limit
    pool.exhausted = 0
    pool.unlooked = MEMORY_LOOK


def memory_is_short(size=1):
    """Whether fewer than an eighth of the memory limit would be left after taking `size` bytes more."""
    return pool_exhausted(size)


# -- hot path: no Python object is touched from here on --

cdef inline int size_class(int64_t size, int64_t *rounded) noexcept nogil:
    """Number of the free list for blocks of `size` bytes, and the size that they really have."""
    cdef int power = 63 - __builtin_clzll(<unsigned long long> size)
    cdef int64_t step
    if power < 6:
        rounded[0] = 64
        return 6 * 8
    step = <int64_t> 1 << (power - 3)
    rounded[0] = (size + step - 1) & ~(step - 1)
    power = 63 - __builtin_clzll(<unsigned long long> rounded[0])
    return power * 8 + <int> ((rounded[0] >> (power - 3)) & 7)


cdef bint pool_exhausted(int64_t size) noexcept nogil:
    """Whether less than an eighth of the memory limit would be left."""
    cdef int64_t left = 0, limit = 0
    if pool.test_limit:
        return pool.live + size > pool.test_limit - pool.test_limit // 8
    if pool.unlooked + size >= MEMORY_LOOK or pool.exhausted:
        # A look costs some microseconds (it reads /proc), a fresh block of this size a hundred times that.
        pool.unlooked = 0
        ff_memory_left(&left, &limit)
        pool.exhausted = left - size < limit // 8
    return pool.exhausted


cdef void *take_block(int64_t size, bint anyway) noexcept nogil:
    cdef int64_t rounded = 0
    cdef FreeBlock *block
    cdef int which
    if size <= 0 or size > <int64_t> 1 << 46:
        return NULL
    which = size_class(size, &rounded)
    if pool.test_limit and not anyway and pool_exhausted(rounded):
        return NULL
    ff_lock(&pool.lock)
    block = free_blocks[which]
    if block != NULL:
        free_blocks[which] = block.next
        pool.free -= rounded
        pool.live += rounded
    ff_unlock(&pool.lock)
    if block != NULL:
        return block
    if not anyway and pool_exhausted(rounded):
        return NULL
    block = <FreeBlock *> ff_memory_take(rounded)
    if block != NULL:
        ff_lock(&pool.lock)
        pool.live += rounded
        pool.unlooked += rounded
        ff_unlock(&pool.lock)
    return block


cdef void *pool_take(int64_t size) noexcept nogil:
    """A block of at least `size` bytes, 64-byte aligned, or NULL: memory is short."""
    return take_block(size, False)


cdef void *pool_anyway(int64_t size) noexcept nogil:
    """The same without regard to the memory limit: for what a commit under way can't do without."""
    return take_block(size, True)


cdef void pool_give(void *block, int64_t size) noexcept nogil:
    """Take a block back, to reuse it or to give it to the system."""
    cdef int64_t rounded = 0
    cdef int which = size_class(size, &rounded)
    cdef bint kept
    ff_lock(&pool.lock)
    pool.live -= rounded
    pool.exhausted = 0
    kept = pool.free + rounded <= pool.keep
    if kept:
        (<FreeBlock *> block).next = free_blocks[which]
        free_blocks[which] = <FreeBlock *> block
        pool.free += rounded
    ff_unlock(&pool.lock)
    if not kept:
        ff_memory_give(block)


cdef void layout_release(ff_layout *layout) noexcept nogil:
    if ff_count_down(&layout.references, 1) == 0:
        pool_give(layout, sizeof(ff_layout) + 8 * layout.columns)


cdef inline int64_t line_up(int64_t size) noexcept nogil:
    return (size + FF_ALIGNMENT - 1) & ~(<int64_t> FF_ALIGNMENT - 1)


@cython.cdivision(True)              # its one divisor is seen to be positive before
cdef ff_segment *make_segment(const ff_layout *layout, int64_t slots, bint anyway) noexcept nogil:
    cdef int64_t size = line_up(sizeof(ff_segment) + 8 * layout.columns)
    cdef int64_t at = size
    cdef int32_t i
    cdef ff_segment *segment
    if layout.event_bytes > 0 and slots > (<int64_t> 1 << 45) // layout.event_bytes:
        return NULL
    for i in range(layout.columns):
        size += line_up(layout.size[i] * slots)
    segment = <ff_segment *> take_block(size, anyway)
    if segment == NULL:
        return NULL
    segment.slots = slots
    segment.holds = 1
    segment.kept = 0
    segment.columns = layout.columns
    segment.block_bytes = size
    segment.owner = NULL
    segment.lease = NULL
    for i in range(layout.columns):
        segment.column[i] = <char *> segment + at
        at += line_up(layout.size[i] * slots)
    ff_count_up(&pool.segments, 1)
    return segment


cdef ff_segment *segment_new(const ff_layout *layout, int64_t slots) noexcept nogil:
    """A pooled segment of `slots` events with one hold, the caller's; NULL when memory is short."""
    return make_segment(layout, slots, False)


cdef ff_segment *segment_anyway(const ff_layout *layout, int64_t slots) noexcept nogil:
    """The same without regard to the memory limit."""
    return make_segment(layout, slots, True)


cdef void segment_hold(ff_segment *segment) noexcept nogil:
    ff_count_up(&segment.holds, 1)


cdef void segment_release(ff_segment *segment) noexcept nogil:
    if ff_count_down(&segment.holds, 1) == 0:
        segment_free(segment)


cdef void segment_free(ff_segment *segment) noexcept nogil:
    """Nobody uses it: the block back to the pool, the owner back to Python."""
    if segment.owner != NULL:
        drop_owner(segment)
    ff_count_up(&pool.segments, -1)
    pool_give(segment, segment.block_bytes)
# -- end of the hot path --


cdef void drop_owner(ff_segment *segment) noexcept nogil:
    with gil:
        Py_DECREF(<object> segment.owner)
        segment.owner = NULL


cdef ff_layout *layout_new(tuple sizes) except NULL:
    """Layout of events with columns of `sizes` bytes; one reference, the caller's."""
    cdef ff_layout *layout = <ff_layout *> pool_anyway(sizeof(ff_layout) + 8 * len(sizes))
    if layout == NULL:
        raise MemoryError("no memory for a layout")
    layout.references = 1
    layout.columns = <int32_t> len(sizes)
    layout.event_bytes = 0
    for i, size in enumerate(sizes):
        layout.size[i] = size
        layout.event_bytes += <int64_t> size
    layout.most_slots = MOST_SEGMENT_BYTES // max(1, layout.event_bytes) + 1
    return layout


cdef ff_segment *segment_adopt(object owner, int32_t columns, int64_t slots) noexcept:
    """A segment over memory that `owner` keeps alive; one hold, the caller's, who sets the columns."""
    cdef int64_t size = line_up(sizeof(ff_segment) + 8 * columns)
    cdef ff_segment *segment = <ff_segment *> pool_anyway(size)
    if segment == NULL:
        return NULL
    segment.slots = slots
    segment.holds = 1
    segment.kept = 0
    segment.columns = columns
    segment.block_bytes = size
    Py_INCREF(owner)
    segment.owner = <void *> owner
    segment.lease = NULL
    ff_count_up(&pool.segments, 1)
    return segment


# What stages keep of the batches they were given: id of the lease -> (stage, bytes).
cdef dict kept_leases = {}


def kept_batches():
    """Who keeps batches beyond their turn.

    Returns
    -------
    dict of str to int
        Bytes of the batches that are still held, by stage.
    """
    totals = {}
    for who, size in list(kept_leases.values()):
        totals[who] = totals.get(who, 0) + size
    return totals


cdef class Lease:
    def __dealloc__(self):
        if self.keeper is not None:
            kept_leases.pop(<size_t> <void *> self, None)
        if self.segment != NULL:
            self.segment.lease = NULL
            # Without views nothing stands against overwriting, if only rings hold it.
            self.segment.kept = 0
            if ff_count_down(&self.segment.holds, LEASED) == 0:
                segment_free(self.segment)


cdef Lease lease_of(ff_segment *segment):
    """The base for views into a segment; it lives as long as they do."""
    cdef Lease lease
    if segment.lease != NULL:
        return <Lease> segment.lease
    lease = Lease.__new__(Lease)
    lease.segment = segment
    segment.lease = <void *> lease
    ff_count_up(&segment.holds, LEASED)
    return lease


cdef void note_keeper(Lease lease, str who, int64_t size) noexcept:
    lease.keeper = who
    lease.kept_bytes += size
    kept_leases[<size_t> <void *> lease] = (who, lease.kept_bytes)


def _plant_overrun():
    """Write one byte behind a block, when built to do so: the sanitizer must see it."""
    cdef char *block = <char *> ff_memory_take(64)
    cdef int planted = ff_plant_overrun(block, 64)
    ff_memory_give(block)
    return bool(planted)
