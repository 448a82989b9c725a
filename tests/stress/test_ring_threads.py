"""A ring between two threads: native loops, the Python face, and closing in a wait.

Small capacities make both sides wait all the time, which is where wake-ups are lost.  Run plain
these tests take seconds; `make tsan` and `make asan` run the same file against instrumented builds
of `_core`.

Nothing here sleeps or spins: a side that can't go on waits in the ring, without the GIL, and every
join has a deadline.  A wake-up that is lost therefore shows as a thread that is still alive when
its time is up.
"""

import gc
import random
import threading

import numpy as np
import pytest

from fastflow import _core
from fastflow._handoff import run_range, run_sum
from fastflow.errors import Closed

pytestmark = pytest.mark.timeout(120)

DEADLINE_S = 60


class Side(threading.Thread):
    """A thread whose outcome, a value or an exception, is fetched with a deadline."""

    def __init__(self, work, *arguments):
        super().__init__(daemon=True)
        self.work, self.arguments = work, arguments
        self.value = self.error = None
        self.start()

    def run(self):
        try:
            self.value = self.work(*self.arguments)
        except BaseException as error:  # noqa: BLE001  handed to whoever fetches the outcome
            self.error = error

    def outcome(self):
        self.join(DEADLINE_S)
        assert not self.is_alive(), f"{self.work} still waits after {DEADLINE_S} s: a lost wake-up"
        if self.error is not None:
            raise self.error
        return self.value


def between_two_threads(write, read):
    """Run both sides at once; returns what `read` returned."""
    reading, writing = Side(read), Side(write)
    writing.outcome()
    return reading.outcome()


def count_and_sum(ring, first, count, write_batch, read_batch):
    """The native loops at both ends of `ring`; returns the reader's sum."""
    writer, reader = ring.writer(), ring.reader()
    return between_two_threads(
        lambda: run_range(writer, first, count, write_batch),
        lambda: run_sum(reader, count, read_batch),
    )


def total(first, count):
    """The sum of `count` numbers from `first` up."""
    return count * first + count * (count - 1) // 2


# -- native loops --


@pytest.mark.parametrize(
    ("capacity", "write_batch", "read_batch", "count"),
    [
        (1, 1, 1, 20_000),                  # every event waits for the one before
        (2, 1, 1, 20_000),
        (2, 2, 1, 20_000),
        (3, 2, 2, 20_000),                  # batches that do not divide the capacity
        (7, 5, 3, 50_000),
        (64, 64, 64, 500_000),
        (100, 33, 64, 500_000),
        (1024, 1024, 16, 1_000_000),
        (1024, 16, 1024, 1_000_000),
        (65_536, 8192, 8192, 50_000_000),
    ],
)
def test_a_native_reader_sums_what_a_native_writer_counts(capacity, write_batch, read_batch, count):
    ring = _core.Ring(8, capacity, shared=True)

    assert count_and_sum(ring, 1, count, write_batch, read_batch) == total(1, count)
    assert ring.sent == ring.acked == count
    assert ring.acked <= ring.sent <= ring.asked <= ring.acked + ring.capacity


def test_random_capacities_and_batches_lose_nothing():
    choose = random.Random(20)
    for _ in range(60):
        capacity = choose.choice([1, 2, 3, 5, 8, 13, 100])
        count = choose.randrange(1, 5000)
        first = choose.randrange(-(10**6), 10**6)
        batches = choose.randrange(1, 20), choose.randrange(1, 20)
        ring = _core.Ring(8, capacity, shared=True)

        got = count_and_sum(ring, first, count, *batches)

        assert got == total(first, count), (capacity, count, first, batches)


def test_several_rings_run_at_once():
    # More threads than cores: a side that spun for ever instead of sleeping would starve the
    # others.
    rings = [_core.Ring(8, 16, shared=True) for _ in range(4)]
    readers = [Side(run_sum, ring.reader(), 20_000, 5) for ring in rings]
    writers = [Side(run_range, ring.writer(), i, 20_000, 7) for i, ring in enumerate(rings)]

    for side in writers:
        side.outcome()

    assert [side.outcome() for side in readers] == [total(i, 20_000) for i in range(4)]


def test_laps_across_2_to_the_32_wake_like_any_other():
    # A sleeper waits on the low half of a cursor, which turns over here.
    ring = _core.Ring(8, 3, shared=True, start=2**32 - 10_000)

    assert count_and_sum(ring, 0, 20_000, 2, 2) == total(0, 20_000)
    assert ring.acked == 2**32 + 10_000


# -- the Python face --


def write_all(writer, count, choose):
    """Publish 0 .. count - 1: random claims, some published in part, and some arrays adopted."""
    sent = 0
    while sent < count:
        assert writer.wait(timeout=DEADLINE_S)
        (column,) = writer.claim(min(choose.randrange(1, 12), count - sent))
        room = len(column) // 8
        column.view(np.int64)[:] = np.arange(sent, sent + room)
        del column
        used = room if choose.random() < 0.7 else choose.randrange(room + 1)
        writer.publish(used)
        sent += used
        if sent < count and choose.random() < 0.1 and writer.wait(timeout=0):
            writer.adopt(np.arange(sent, sent + 1, dtype=np.int64), 1)
            sent += 1
    writer.mark(3, count)


def read_all(reader, count, capacity, choose, kept):
    """Read until the mark, acknowledge in random steps; returns (events, value of the mark)."""
    got = []
    unread_asks = 0                         # what was asked and has not been read yet
    behind = 0                              # what was read and has not been acknowledged yet
    while True:
        if unread_asks == 0:
            unread_asks = choose.randrange(1, 2 * capacity + 1)
            reader.ask(unread_asks)
        k, what = reader.read(choose.randrange(1, 12))
        if k:
            got.append(what[0].view(np.int64).copy())
            if choose.random() < 0.05:
                kept.append((what[0], got[-1]))
            del what
            unread_asks -= k
            behind += k
            if choose.random() < 0.5:
                reader.acknowledge(behind)
                behind = 0
        elif what is not None:
            reader.acknowledge(behind)
            return np.concatenate(got), what[1]
        else:
            reader.acknowledge(behind)      # else both may wait for each other: the ring is full
            behind = 0
            assert reader.wait(timeout=DEADLINE_S)


@pytest.mark.parametrize("capacity", [1, 2, 5, 64])
def test_claims_and_reads_of_random_sizes_lose_nothing(capacity):
    count = 4000
    ring = _core.Ring(8, capacity, shared=True)
    writer, reader = ring.writer(), ring.reader()
    kept = []

    got, mark = between_two_threads(
        lambda: write_all(writer, count, random.Random(capacity)),
        lambda: read_all(reader, count, capacity, random.Random(-capacity), kept),
    )

    assert got.tolist() == list(range(count))
    assert mark == count
    assert all(view.view(np.int64).tolist() == copy.tolist() for view, copy in kept)


def test_columns_that_cross_threads_stay_together():
    ring = _core.Ring((8, 4, 1), 16, shared=True)
    writer, reader = ring.writer(), ring.reader()
    count = 20_000

    def write():
        sent = 0
        while sent < count:
            assert writer.wait(timeout=DEADLINE_S)
            columns = writer.claim(min(9, count - sent))
            k = len(columns[2])
            serial = np.arange(sent, sent + k)
            columns[0].view(np.int64)[:] = serial
            columns[1].view(np.uint32)[:] = serial * 2
            columns[2][:] = serial % 251
            del columns
            writer.publish(k)
            sent += k

    def read():
        got = torn = 0
        while got < count:
            reader.ask(min(16, count - got))
            assert reader.wait(timeout=DEADLINE_S)
            k, columns = reader.read(16)
            serial = columns[0].view(np.int64)
            torn += not (
                (serial == np.arange(got, got + k)).all()
                and (columns[1].view(np.uint32) == serial * 2).all()
                and (columns[2] == serial % 251).all()
            )
            del columns, serial
            reader.acknowledge(k)
            got += k
        return torn

    assert between_two_threads(write, read) == 0


# -- closing --


def test_closing_the_reader_ends_a_waiting_writer():
    for _ in range(50):
        ring = _core.Ring(8, 4, shared=True)
        writer, reader = ring.writer(), ring.reader()
        waiting = Side(writer.wait, DEADLINE_S)

        reader.close()

        with pytest.raises(Closed):
            waiting.outcome()


def test_closing_the_writer_ends_a_waiting_reader():
    for _ in range(50):
        ring = _core.Ring(8, 4, shared=True)
        writer, reader = ring.writer(), ring.reader()
        reader.ask(4)

        def until_closed(reader=reader):
            # Closing may put a mark of its own, which is something to read; after it there is
            # nothing.
            for _ in range(10):
                reader.wait(timeout=DEADLINE_S)
                assert reader.read(4)[0] == 0

        waiting = Side(until_closed)

        writer.close()

        with pytest.raises(Closed):
            waiting.outcome()


def test_closing_the_reader_ends_a_native_writer():
    ring = _core.Ring(8, 16, shared=True)
    writer, reader = ring.writer(), ring.reader()
    writing = Side(run_range, writer, 0, 10**12, 4)

    assert run_sum(reader, 10_000, 4) == total(0, 10_000)
    reader.close()

    assert 10_000 <= writing.outcome() <= 10_000 + ring.capacity    # how many were taken


def test_closing_the_writer_ends_a_native_reader():
    ring = _core.Ring(8, 16, shared=True)
    writer, reader = ring.writer(), ring.reader()
    reading = Side(run_sum, reader, 10**12, 4)

    run_range(writer, 0, 10_000, 4)
    writer.close()

    assert reading.outcome() == total(0, 10_000)
    assert ring.sent == 10_000


def test_a_wait_whose_time_is_up_harms_nothing():
    # Sleeps that end by their timeout leave a threshold behind for a moment; the next wake must
    # still come.
    ring = _core.Ring(8, 2, shared=True)
    writer, reader = ring.writer(), ring.reader()

    def write():
        for i in range(300):
            while not writer.wait(timeout=0.0001):
                pass
            writer.adopt(np.array([i]), 1)

    def read():
        got = []
        for _ in range(300):
            reader.ask(1)
            while not reader.wait(timeout=0.0001):
                pass
            _, columns = reader.read(1)
            got += columns[0].view(np.int64).tolist()
            del columns
            reader.acknowledge(1)
        return got

    assert between_two_threads(write, read) == list(range(300))


def test_asks_from_the_reader_wake_a_writer_that_sleeps():
    ring = _core.Ring(8, 1, shared=True)
    writer, reader = ring.writer(), ring.reader()
    writing = Side(run_range, writer, 0, 500, 1)

    got = []
    while len(got) < 500:
        reader.ask(1)                       # one at a time: before most of them the writer sleeps
        assert reader.wait(timeout=DEADLINE_S)
        _, columns = reader.read(1)
        got += columns[0].view(np.int64).tolist()
        del columns
        reader.acknowledge(1)

    writing.outcome()
    assert got == list(range(500))


# -- segments --


def test_views_of_one_thread_let_go_in_another_return_their_segments():
    before = live_bytes()
    kept = []
    keep_some_batches(kept)
    assert kept

    Side(kept.clear).outcome()

    assert live_bytes() == before


def live_bytes():
    gc.collect()
    return _core.pool_statistics()["live_bytes"]


def keep_some_batches(kept):
    ring = _core.Ring(8, 64, shared=True)
    writer, reader = ring.writer(), ring.reader()
    between_two_threads(
        lambda: write_all(writer, 2000, random.Random(1)),
        lambda: read_all(reader, 2000, 64, random.Random(2), kept),
    )
