"""Segments: arrays that become one, the chain they hang in, and the pool they come from."""

import gc

import numpy as np
import pytest
from helpers_ring import counters, ends, put, take

from fastflow import _core

pytestmark = pytest.mark.timeout(60)


# -- adoption --


def test_an_adopted_array_is_read_where_it_lies():
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(16)
    array = np.arange(5, dtype=np.int64)

    writer.adopt(array, 5)

    assert counters(ring) == (16, 5, 0)
    k, (column,) = reader.read(16)
    assert k == 5
    assert column.view(np.int64).tolist() == [0, 1, 2, 3, 4]
    assert np.shares_memory(column, array)
    assert not column.flags.writeable


def test_adopted_columns_are_read_where_they_lie():
    writer, reader = ends(_core.Ring((8, 2), 16))
    reader.ask(16)
    arrays = (np.arange(3, dtype=np.float64), np.arange(3, dtype=np.int16))

    writer.adopt(arrays, 3)

    k, columns = reader.read(16)
    assert k == 3
    assert [np.shares_memory(*pair) for pair in zip(columns, arrays, strict=True)] == [True, True]


def test_an_adopted_array_lives_as_long_as_somebody_reads_it():
    writer, reader = ends(_core.Ring(8, 16))
    reader.ask(16)
    writer.adopt(np.arange(16, dtype=np.int64), 16)
    _, (column,) = reader.read(16)
    reader.acknowledge(16)
    reader.ask(16)
    put(writer, [0] * 16)
    gc.collect()

    assert column.view(np.int64).tolist() == list(range(16))


def test_the_ring_never_writes_into_an_adopted_array_that_somebody_holds():
    ring = _core.Ring(8, 4)
    writer, reader = ends(ring)
    array = np.arange(100, dtype=np.int64)
    reader.ask(4)
    writer.adopt(array, 4)

    for lap in range(50):
        reader.acknowledge(len(take(reader, 4)))
        reader.ask(4)
        assert put(writer, [-1 - lap] * 4) == 4

    assert array.tolist() == list(range(100))


def test_adopted_and_claimed_events_stay_in_order():
    writer, reader = ends(_core.Ring(8, 12))
    expected = []
    for i in range(40):
        reader.ask(4)
        values = [10 * i, 10 * i + 1]
        put(writer, values)
        writer.adopt(np.array([10 * i + 2, 10 * i + 3]), 2)
        expected = [*values, 10 * i + 2, 10 * i + 3]

        assert take(reader, 4) == expected
        reader.acknowledge(4)


def test_adopting_more_than_is_asked_is_refused_and_changes_nothing():
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(3)

    with pytest.raises((ValueError, RuntimeError)):
        writer.adopt(np.arange(4), 4)

    assert counters(ring) == (3, 0, 0)


@pytest.mark.parametrize(
    ("arrays", "n"),
    [
        pytest.param(np.arange(2), 3, id="too small"),
        pytest.param(np.arange(6)[::2], 3, id="strided"),
        pytest.param(np.arange(3)[::-1], 3, id="reversed"),
        pytest.param((np.arange(3), np.arange(3)), 3, id="a column too many"),
        pytest.param([1, 2, 3], 3, id="no array"),
        pytest.param(np.arange(3), -1, id="a negative number"),
    ],
)
def test_what_cannot_be_a_segment_is_not_adopted(arrays, n):
    ring = _core.Ring(8, 16)
    writer, reader = ends(ring)
    reader.ask(10)

    with pytest.raises((ValueError, TypeError, RuntimeError)):
        writer.adopt(arrays, n)

    assert counters(ring) == (10, 0, 0)
    assert reader.read(10) == (0, None)


# -- segments and the pool --


def live_bytes():
    gc.collect()
    return _core.pool_statistics()["live_bytes"]


def test_a_ring_takes_no_segment_before_the_first_claim():
    before = live_bytes()

    rings = [_core.Ring(8, 32_768) for _ in range(1000)]
    both = [ends(ring) for ring in rings]
    for _, reader in both:
        reader.ask(32_768)

    # The counters of a thousand rings may be there, one segment of 256 KiB may not.
    assert live_bytes() < before + 32_768 * 8


@pytest.mark.parametrize("shared", [False, True])
def test_laps_of_a_ring_whose_batches_nobody_keeps_take_no_more_memory(shared):
    writer, reader = ends(_core.Ring(8, 1000, shared=shared))

    def lap():
        reader.ask(700)
        put(writer, range(700))
        reader.acknowledge(len(take(reader, 700)))

    for _ in range(5):
        lap()
    before = live_bytes()
    for _ in range(2000):
        lap()

    assert live_bytes() == before


def test_segments_return_to_the_pool_with_the_last_of_ring_and_views():
    before = live_bytes()
    ring = _core.Ring(8, 10_000)
    writer, reader = ends(ring)
    reader.ask(10_000)
    put(writer, range(10_000))
    _, (column,) = reader.read(10_000)
    during = live_bytes()

    del ring, writer, reader
    kept = live_bytes()
    assert column.view(np.int64)[9_999] == 9_999
    del column

    assert during >= before + 80_000
    assert kept >= before + 80_000
    assert live_bytes() == before


@pytest.mark.parametrize("shared", [False, True])
def test_a_view_that_is_kept_stays_as_it_was_for_many_laps(shared):
    writer, reader = ends(_core.Ring(8, 10, shared=shared))
    kept = []

    for lap in range(500):
        reader.ask(7)
        put(writer, range(7 * lap, 7 * lap + 7))
        while True:
            k, columns = reader.read(7)
            if k == 0:
                break
            kept.append(columns[0])
            del columns
            reader.acknowledge(k)

    assert np.concatenate(kept).view(np.int64).tolist() == list(range(3500))
