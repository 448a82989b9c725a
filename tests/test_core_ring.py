"""The ring as the specification has it: three counters, segments, marks, two ends.

    asked   what the reader has requested      acked <= sent <= asked <= acked + capacity,
    sent    what the writer has published      at every instruction
    acked   what the reader has finished

One thread plays both sides here; `tests/stress/` has two, and `test_core_machine.py` compares long
random sequences with a model.  Events are bytes to a ring, so the helpers below write and read
plain int64.
"""

import gc

import numpy as np
import pytest
from helpers_ring import counters, ends, put, take

from fastflow import _core, _handoff
from fastflow.errors import Closed

pytestmark = pytest.mark.timeout(60)

LARGEST = 2**63 - 1


def read_to_the_end(reader):
    """Wait and read until the writer is known to be gone; closing may put marks of its own."""
    for _ in range(10):
        reader.wait(timeout=5)
        assert reader.read(4)[0] == 0


# -- the three counters --


def test_a_fresh_ring_has_asked_sent_and_acked_nothing():
    ring = _core.Ring(8, 16)

    assert counters(ring) == (0, 0, 0)
    assert (ring.wanted, ring.read_position, ring.capacity) == (0, 0, 16)


def test_every_counter_begins_at_start():
    ring = _core.Ring(8, 16, start=2**62)

    assert counters(ring) == (2**62, 2**62, 2**62)
    assert (ring.wanted, ring.read_position) == (2**62, 2**62)


@pytest.mark.parametrize("shared", [False, True])
def test_ask_publish_and_acknowledge_move_one_counter_each(shared):
    ring = _core.Ring(8, 16, shared=shared)
    writer, reader = ends(ring)

    reader.ask(10)
    assert counters(ring) == (10, 0, 0)
    assert put(writer, range(4)) == 4
    assert counters(ring) == (10, 4, 0)
    assert take(reader, 3) == [0, 1, 2]
    assert counters(ring) == (10, 4, 0)
    reader.acknowledge(3)
    assert counters(ring) == (10, 4, 3)


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_asked_beyond_the_capacity_waits_in_wanted(shared):
    ring = _core.Ring(8, 4, shared=shared)
    writer, reader = ends(ring)

    reader.ask(10)
    assert (ring.wanted, ring.asked) == (10, 4)
    put(writer, range(4))
    take(reader, 3)
    reader.acknowledge(3)

    assert (ring.wanted, ring.asked) == (10, 7)


def test_asks_add_up():
    ring = _core.Ring(8, 10_000)
    _, reader = ends(ring)

    for n in range(1, 101):
        reader.ask(n)

    assert ring.wanted == ring.asked == 5050


def test_asking_for_nothing_does_nothing():
    ring = _core.Ring(8, 4)
    _, reader = ends(ring)

    reader.ask(0)

    assert counters(ring) == (0, 0, 0)


@pytest.mark.parametrize(
    ("n", "error"), [(-1, ValueError), (-(2**63), ValueError), (1.5, TypeError), ("3", TypeError)]
)
def test_an_ask_that_is_no_count_is_refused_and_changes_nothing(n, error):
    ring = _core.Ring(8, 4)
    _, reader = ends(ring)
    reader.ask(2)

    with pytest.raises(error):
        reader.ask(n)

    assert (ring.wanted, *counters(ring)) == (2, 2, 0, 0)


def test_two_asks_of_the_largest_number_saturate():
    ring = _core.Ring(8, 4)
    _, reader = ends(ring)

    reader.ask(LARGEST)
    reader.ask(LARGEST)

    assert (ring.wanted, ring.asked) == (LARGEST, 4)


# -- claims --


def test_nothing_can_be_claimed_that_nobody_asked_for():
    writer, _ = ends(_core.Ring(8, 16))

    (column,) = writer.claim(5)

    assert len(column) == 0


def test_a_claim_is_at_most_the_pending_demand():
    writer, reader = ends(_core.Ring(8, 16))
    reader.ask(3)

    (column,) = writer.claim(100)

    assert column.shape == (24,)
    assert column.dtype == np.uint8
    assert column.flags.writeable


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 8, 100])
def test_a_claim_of_the_whole_demand_fits_wherever_the_ring_stands(capacity):
    ring = _core.Ring(8, capacity)
    writer, reader = ends(ring)

    for lap in range(3 * capacity):
        offset = 1 + lap % capacity
        reader.ask(offset)
        assert put(writer, range(offset)) == offset
        assert take(reader, offset) == list(range(offset))
        reader.acknowledge(offset)
        reader.ask(capacity)
        (column,) = writer.claim(capacity)
        assert len(column) == 8 * capacity
        column.view(np.int64)[:] = np.arange(capacity)
        del column
        writer.publish(capacity)
        assert take(reader, capacity) == list(range(capacity))
        reader.acknowledge(capacity)


def test_fewer_than_claimed_can_be_published_and_the_rest_never_happened():
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(10)

    (column,) = writer.claim(10)
    column.view(np.int64)[:] = np.arange(10)
    del column
    writer.publish(4)

    assert counters(ring) == (10, 4, 0)
    assert take(reader, 10) == [0, 1, 2, 3]
    put(writer, [70, 80])
    assert take(reader, 10) == [70, 80]


def test_a_claim_that_is_never_published_never_happened():
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(10)

    (column,) = writer.claim(10)
    column[:] = 255
    del column
    put(writer, [1, 2, 3])

    assert take(reader, 10) == [1, 2, 3]
    assert counters(ring) == (10, 3, 0)


@pytest.mark.parametrize("n", [6, LARGEST, -1])
def test_publishing_more_than_was_claimed_is_refused_and_changes_nothing(n):
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(10)
    writer.claim(5)

    with pytest.raises((ValueError, RuntimeError)):
        writer.publish(n)

    assert counters(ring) == (10, 0, 0)
    assert reader.read(10) == (0, None)


def test_publishing_without_a_claim_is_refused():
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(10)

    with pytest.raises((ValueError, RuntimeError)):
        writer.publish(1)

    assert ring.sent == 0


def test_a_published_claim_cannot_be_published_again():
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(10)
    put(writer, [1, 2])

    with pytest.raises((ValueError, RuntimeError)):
        writer.publish(1)

    assert ring.sent == 2


@pytest.mark.parametrize(("n", "error"), [(-1, ValueError), (2.0, TypeError)])
def test_a_claim_that_is_no_count_is_refused(n, error):
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(10)

    with pytest.raises(error):
        writer.claim(n)

    assert put(writer, [5]) == 1
    assert take(reader, 1) == [5]


# -- columns --


@pytest.mark.parametrize("shared", [False, True])
def test_columns_move_together_and_each_is_contiguous(shared):
    ring = _core.Ring((8, 4, 1), 16, shared=shared)
    writer, reader = ends(ring)
    reader.ask(16)

    claimed = writer.claim(5)
    assert [column.shape for column in claimed] == [(40,), (20,), (5,)]
    claimed[0].view(np.float64)[:] = [0.5, 1.5, 2.5, 3.5, 4.5]
    claimed[1].view(np.int32)[:] = [1, 2, 3, 4, 5]
    claimed[2][:] = list(b"abcde")
    del claimed
    writer.publish(5)

    k, (price, quantity, side) = reader.read(5)
    assert k == 5
    assert price.view(np.float64).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert quantity.view(np.int32).tolist() == [1, 2, 3, 4, 5]
    assert side.tobytes() == b"abcde"
    assert all(column.flags.c_contiguous for column in (price, quantity, side))


@pytest.mark.parametrize("shared", [False, True])
def test_the_columns_of_a_fresh_segment_are_aligned_to_64_bytes(shared):
    writer, reader = ends(_core.Ring((1, 3, 8, 16), 33, shared=shared))
    reader.ask(33)

    addresses = [column.__array_interface__["data"][0] for column in writer.claim(33)]

    assert [address % 64 for address in addresses] == [0, 0, 0, 0]


def test_events_of_a_megabyte_go_through():
    size = 1 << 20
    writer, reader = ends(_core.Ring(size, 2))
    reader.ask(2)

    (column,) = writer.claim(2)
    column[:size] = 1
    column[size:] = 2
    del column
    writer.publish(2)

    _, (column,) = reader.read(2)
    assert (column[:size] == 1).all()
    assert (column[size:] == 2).all()


# -- reading --


def test_an_empty_ring_reads_nothing():
    _, reader = ends(_core.Ring(8, 4))
    reader.ask(4)

    assert reader.read(4) == (0, None)


def test_what_is_read_is_read_only():
    writer, reader = ends(_core.Ring(8, 4))
    reader.ask(4)
    put(writer, [1, 2])

    _, (column,) = reader.read(2)

    with pytest.raises(ValueError, match="read-only"):
        column[0] = 9


def test_reading_again_goes_on_after_what_was_read():
    ring = _core.Ring(8, 8)
    writer, reader = ends(ring)
    reader.ask(8)
    put(writer, range(8))

    assert take(reader, 3) == [0, 1, 2]
    assert ring.read_position == 3
    assert take(reader, 8) == [3, 4, 5, 6, 7]
    assert (ring.read_position, ring.acked) == (8, 0)


def test_rewind_reads_what_was_not_acknowledged_again():
    ring = _core.Ring(8, 8)
    writer, reader = ends(ring)
    reader.ask(8)
    put(writer, range(8))
    take(reader, 6)
    reader.acknowledge(2)

    reader.rewind()

    assert ring.read_position == ring.acked == 2
    assert take(reader, 8) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("n", [4, LARGEST, -1])
def test_acknowledging_more_than_was_read_is_refused_and_changes_nothing(n):
    ring = _core.Ring(8, 8)
    writer, reader = ends(ring)
    reader.ask(8)
    put(writer, range(8))
    take(reader, 3)

    with pytest.raises((ValueError, RuntimeError)):
        reader.acknowledge(n)

    assert counters(ring) == (8, 8, 0)


def test_each_end_is_given_once():
    ring = _core.Ring(8, 4)
    kept = ends(ring)

    with pytest.raises((RuntimeError, ValueError)):
        ring.writer()
    with pytest.raises((RuntimeError, ValueError)):
        ring.reader()
    assert len(kept) == 2


def test_the_ends_outlive_the_ring_object():
    writer, reader = ends(_core.Ring(8, 4))
    gc.collect()
    reader.ask(4)

    put(writer, [1, 2, 3])

    assert take(reader, 4) == [1, 2, 3]


# -- marks --


def test_a_mark_lies_between_the_events_around_it():
    writer, reader = ends(_core.Ring(8, 16))
    reader.ask(16)
    put(writer, [1, 2])
    writer.mark(3, 77)
    put(writer, [3, 4])

    assert take(reader, 16) == [1, 2]
    assert take(reader, 16) == [3, 4]


def test_events_and_marks_come_in_the_order_in_which_they_were_put():
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(16)
    writer.mark(3, -1)
    put(writer, [1, 2])
    writer.mark(3, 10)
    writer.mark(4, 20)
    put(writer, [3])
    writer.mark(3, LARGEST)

    got = []
    while True:
        k, what = reader.read(16)
        if what is None:
            break
        got += what[0].view(np.int64).tolist() if k else [tuple(what)]

    assert got == [(3, -1), 1, 2, (3, 10), (4, 20), 3, (3, LARGEST)]


def test_a_mark_needs_no_demand_and_counts_as_no_event():
    ring = _core.Ring(8, 4)
    writer, reader = ends(ring)

    writer.mark(3, 5)

    assert counters(ring) == (0, 0, 0)
    assert reader.read(4) == (0, (3, 5))
    assert reader.read(4) == (0, None)
    assert counters(ring) == (0, 0, 0)


def test_a_mark_behind_events_that_were_not_acknowledged_is_read_again_after_a_rewind():
    writer, reader = ends(_core.Ring(8, 4))
    reader.ask(4)
    put(writer, [1, 2])
    writer.mark(3, 5)
    assert take(reader, 2) == [1, 2]
    assert reader.read(4) == (0, (3, 5))

    reader.rewind()

    assert take(reader, 2) == [1, 2]
    assert reader.read(4) == (0, (3, 5))


def test_a_thousand_marks_go_past_a_ring_of_one_event():
    ring = _core.Ring(8, 1)
    writer, reader = ends(ring)

    for i in range(1000):
        reader.ask(1)
        put(writer, [i])
        writer.mark(3, i)
        assert take(reader, 1) == [i]
        reader.acknowledge(1)
        assert reader.read(1) == (0, (3, i))


# -- waiting and closing, as far as one thread can --


@pytest.mark.parametrize("shared", [False, True])
def test_a_wait_that_nothing_ends_says_so_in_time(shared):
    writer, reader = ends(_core.Ring(8, 4, shared=shared))

    assert writer.wait(timeout=0) is False
    assert reader.wait(timeout=0) is False
    assert writer.wait(timeout=0.01) is False
    assert reader.wait(timeout=0.01) is False


def test_a_wait_ends_at_once_when_there_is_what_it_waits_for():
    writer, reader = ends(_core.Ring(8, 4))

    reader.ask(1)
    assert writer.wait(timeout=0) is True
    put(writer, [1])
    assert reader.wait(timeout=0) is True
    assert writer.wait(timeout=0) is False


def test_a_mark_ends_the_wait_of_the_reader():
    writer, reader = ends(_core.Ring(8, 4))

    writer.mark(3, 1)

    assert reader.wait(timeout=0) is True


def test_the_writer_learns_that_the_reader_is_gone():
    writer, reader = ends(_core.Ring(8, 4))

    reader.close()

    with pytest.raises(Closed):
        writer.wait(timeout=5)


def test_the_reader_gets_all_that_was_published_before_it_learns_that_the_writer_is_gone():
    writer, reader = ends(_core.Ring(8, 4))
    reader.ask(4)
    put(writer, [1, 2, 3])
    writer.close()

    assert take(reader, 4) == [1, 2, 3]
    reader.acknowledge(3)
    with pytest.raises(Closed):
        read_to_the_end(reader)


def test_closing_twice_is_closing_once():
    writer, reader = ends(_core.Ring(8, 4))

    writer.close()
    writer.close()
    reader.close()
    reader.close()


def test_a_closed_writer_can_publish_no_more():
    ring = _core.Ring(8, 4)
    writer, reader = ends(ring)
    reader.ask(4)
    writer.close()

    with pytest.raises(Closed):
        put(writer, [1])

    assert ring.sent == 0


def test_a_closed_reader_can_ask_no_more():
    ring = _core.Ring(8, 4)
    _, reader = ends(ring)
    reader.close()

    with pytest.raises(Closed):
        reader.ask(1)


# -- sizes that can't be --


@pytest.mark.parametrize(
    ("itemsize", "capacity", "start"),
    [
        pytest.param(8, 0, 0, id="capacity 0"),
        pytest.param(8, -1, 0, id="capacity -1"),
        pytest.param(0, 4, 0, id="itemsize 0"),
        pytest.param(-8, 4, 0, id="itemsize -8"),
        pytest.param((8, 0), 4, 0, id="a column of itemsize 0"),
        pytest.param((), 4, 0, id="no column"),
        pytest.param(8, 4, -1, id="start -1"),
        pytest.param(8, 4, 2**63, id="start 2**63"),
        pytest.param(8, 2**63, 0, id="capacity 2**63"),
        pytest.param(8, 4.0, 0, id="capacity 4.0"),
        pytest.param("8", 4, 0, id="itemsize '8'"),
    ],
)
def test_a_ring_that_cannot_be_is_refused(itemsize, capacity, start):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        _core.Ring(itemsize, capacity, start=start)


@pytest.mark.parametrize("capacity", [2**40, 2**60, 2**62, LARGEST])
def test_a_segment_that_no_machine_has_is_an_error_and_no_crash(capacity):
    def claim_it_all():
        writer, reader = ends(_core.Ring(1 << 20, capacity))
        reader.ask(capacity)
        writer.claim(capacity)

    # At once, or at the first claim, when the segment is taken: either way nothing was published.
    with pytest.raises((ValueError, OverflowError, MemoryError)):
        claim_it_all()


# -- near the end of int64 --


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("start", [2**31 - 3, 2**32 - 3, 2**62, LARGEST - 5000])
def test_laps_across_a_boundary_of_the_counters_are_like_any_other(start, shared):
    ring = _core.Ring(8, 7, shared=shared, start=start)
    writer, reader = ends(ring)

    for lap in range(500):
        reader.ask(5)
        assert put(writer, range(lap, lap + 5)) == 5
        assert take(reader, 5) == list(range(lap, lap + 5))
        reader.acknowledge(5)

    assert counters(ring) == (start + 2500, start + 2500, start + 2500)


def test_wanted_saturates_and_asked_does_not_pass_the_capacity():
    ring = _core.Ring(8, 4, start=LARGEST - 100)
    _, reader = ends(ring)

    reader.ask(1000)

    assert ring.wanted == LARGEST
    assert ring.asked == LARGEST - 96


@pytest.mark.parametrize("shared", [False, True])
def test_a_stream_ends_with_an_overflow_error_when_sent_would_pass_the_largest_number(shared):
    ring = _core.Ring(8, 4, shared=shared, start=LARGEST - 10)
    writer, reader = ends(ring)
    got = []

    def stream():
        for i in range(100):
            reader.ask(1)
            if put(writer, [i]):
                got.extend(take(reader, 1))
                reader.acknowledge(1)

    with pytest.raises(OverflowError):
        stream()

    # The counters stayed in order, and what was sent until then was delivered, once and in order.
    asked, sent, acked = counters(ring)
    assert acked <= sent <= asked <= LARGEST
    assert LARGEST - sent <= ring.capacity
    assert got == list(range(sent - (LARGEST - 10)))


# -- what the benchmarks call --


def test_the_benchmarks_of_the_core_return_seconds():
    assert 0 < _handoff.bench_protocol(1000) < 10
    assert 0 < _handoff.bench_handoff(4096, 4, 100) < 10
