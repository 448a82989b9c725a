# cython: language_level=3, binding=True, embedsignature=True
"""Native loops over a ring: what the stress tests run in two threads and the benchmarks time.

    thread 1: run_range(writer, 0, n, batch)      thread 2: run_sum(reader, n, batch)

Both run without the GIL and wait for each other as any side of a shared ring may.  They stand here and not in the
tests because they must be as native as the stages; nobody else needs them.
"""
from libc.stdint cimport int64_t, uint64_t

import threading
import time

from fastflow._core import Ring

from fastflow._core cimport (
    FF_CLOSED_BY_READER, FF_CLOSED_BY_WRITER, FF_LAP, Reader, Ring, Writer, ff_flag, ff_mark, ff_now, ff_observe, ff_pause, ff_ring,
    ring_acknowledge, ring_advance, ring_ask, ring_claim, ring_publish, ring_read, ring_rounds, ring_wait_reader, ring_wait_writer,
)

# -- hot path: no Python object is touched from here on --

cdef void fill_loop(int64_t *slots, int64_t first, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        slots[i] = first + i


cdef int64_t sum_loop(const int64_t *slots, int64_t n) noexcept nogil:
    cdef int64_t i
    cdef uint64_t total = 0          # unsigned: wraps without undefined behaviour
    for i in range(n):
        total += <uint64_t> slots[i]
    return <int64_t> total


cdef int64_t range_through(ff_ring *ring, int64_t first, int64_t count, int64_t batch) noexcept nogil:
    """Write `count` numbers in batches; returns how many were taken before the reader closed."""
    cdef int64_t done = 0, n, room, slot
    while done < count:
        room = ring.w.asked - ring.w.sent
        n = batch if batch < count - done else count - done
        if room < n:
            # Our copy says "not enough": only now is the reader's cache line fetched.
            ring.w.asked = ff_observe(ring.asked)
            room = ring.w.asked - ring.w.sent
            if room <= 0:
                if ff_flag(ring.closed) & FF_CLOSED_BY_READER:
                    return done
                ring_wait_writer(ring, -1)
                continue
            n = n if n < room else room
        slot = ring_claim(ring, n)
        if slot < 0:
            return done
        fill_loop(<int64_t *> ring.w.segment.column[0] + slot, first + done, n)
        if ring_publish(ring, n, FF_LAP) < 0:
            ff_pause()
            continue
        done += n
    return done


cdef int64_t sum_through(ff_ring *ring, int64_t count, int64_t batch, int64_t *handled) noexcept nogil:
    """Add up `count` numbers in batches, or all there are when the writer closes before."""
    cdef int64_t n, slot = 0
    cdef uint64_t total = 0
    cdef ff_mark *lap = NULL
    ring_ask(ring, ring.capacity)
    while handled[0] < count:
        n = ring_read(ring, batch if batch < count - handled[0] else count - handled[0], &lap, &slot)
        if n < 0:
            continue
        if n == 0:
            if ff_flag(ring.closed) & FF_CLOSED_BY_WRITER and ff_observe(ring.sent) == ring.r.position:
                break
            ring_wait_reader(ring, -1)
            continue
        total += <uint64_t> sum_loop(<int64_t *> lap.segment.column[0] + slot, n)
        ring_advance(ring, n)
        ring_acknowledge(ring, n)
        ring_ask(ring, n)
        handled[0] += n
    return <int64_t> total
# -- end of the hot path --


def run_range(Writer writer, int64_t first, int64_t count, int64_t batch):
    """Write `count` int64 numbers from `first` up, in batches; returns how many were taken."""
    cdef int64_t done
    with nogil:
        done = range_through(writer.ring, first, count, batch)
    return done


def run_sum(Reader reader, int64_t count, int64_t batch):
    """Add up `count` int64 numbers (modulo 2**64), or all until the writer closes, in batches."""
    cdef int64_t total, handled = 0
    with nogil:
        total = sum_through(reader.ring, count, batch, &handled)
    return total


def bench_protocol(int64_t batches):
    """Seconds for `batches` rounds of claim, publish, read, acknowledge and ask on a ring that could wake."""
    cdef Ring owner = Ring(8, 2, shared=True)
    cdef ff_ring *ring = &owner.ring
    cdef int64_t begin
    with nogil:
        ring_ask(ring, 2)
        begin = ff_now()
        ring_rounds(ring, batches)
        begin = ff_now() - begin
    return begin * 1e-9


def bench_handoff(int64_t block_bytes, int64_t slots, int64_t blocks):
    """Seconds to hand `blocks` blocks of int64 from one thread, that fills, to another, that adds up."""
    cdef int64_t batch = block_bytes // 8
    ring = Ring(8, batch * slots, shared=True)
    writer, reader = ring.writer(), ring.reader()
    total = []
    thread = threading.Thread(target=lambda: total.append(run_sum(reader, batch * blocks, batch)))
    thread.start()
    begin = time.perf_counter()
    run_range(writer, 0, batch * blocks, batch)
    thread.join()
    seconds = time.perf_counter() - begin
    n = batch * blocks
    expected = (n * (n - 1) // 2) % (1 << 64)
    if total[0] % (1 << 64) != expected:
        raise AssertionError(f"sum over the ring: got {total[0]}, expected {expected}")
    return seconds
