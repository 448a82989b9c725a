"""The ring between two threads, both native: batches filled in place, added in place.

    thread 1: fill ──64 or 512 KB, 2 slots──▶ thread 2: sum

What a hand-off costs is the machine's doing, and changes while one looks: the row says how far
apart the two cores were, and only the ratio to the same hand-off in C means anything.
"""

import pytest

from bench import rivals
from bench.harness import Clocked, Rival
from fastflow import _handoff


@pytest.mark.parametrize("block_kb", [64, 512])
def bench_hand_off_between_two_threads(race, block_kb):
    block_bytes, slots = block_kb * 1024, 2
    blocks = race.size(2**31 // block_bytes, 6)
    events = blocks * block_bytes // 8
    total = events * (events - 1) // 2

    race.faster(
        f"native ring between two threads, batches of {block_kb} KB",
        # The sum is checked in there, and only the time comes out.
        lambda: Clocked(_handoff.bench_handoff(block_bytes, slots, blocks), total),
        [
            Rival(
                "the same hand-off in C",
                lambda: Clocked(*rivals.hand_off(block_bytes, slots, blocks)),
                0.9,
            )
        ],
        amount=blocks * block_bytes,
        unit="B",
        cores=2,
    )
