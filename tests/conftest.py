"""What every test gets: a look for threads left behind, and seeds that a failure prints.

Nothing here imports fastflow, so that a test of a pure room runs before anything is built.
"""

import os
import random
import sys
import threading
import time
import traceback
import zlib

import pytest
from hypothesis import settings

# No deadline for one example: on a shared machine it measures the neighbours.  A test has its own.
settings.register_profile("dev", deadline=None, print_blob=True)
# The same examples each time: a change is not stopped by a rare failure it has nothing to do with.
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

JOIN_SECONDS = 10.0                     # how long all threads of a test may take to end after it

_SESSION_SEED = int(os.environ.get("FASTFLOW_SEED") or random.SystemRandom().randrange(2**32))


def pytest_report_header():
    return f"fastflow: FASTFLOW_SEED={_SESSION_SEED} repeats the seeds of this run"


@pytest.fixture
def seed(request):
    """An int that differs from run to run and from test to test; printed when the test fails."""
    value = zlib.crc32(request.node.nodeid.encode(), _SESSION_SEED)
    print(f"seed {value}: FASTFLOW_SEED={_SESSION_SEED} repeats it")
    return value


@pytest.fixture(autouse=True)
def no_thread_left_behind():
    """Fail a test after which more threads run than before it.

    A thread about to end is waited for, with a deadline; one that doesn't is named with its stack.
    """
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + JOIN_SECONDS
    left = [
        thread
        for thread in threading.enumerate()
        # Native threads that call Python leave a dummy each: they aren't Python's to join.
        if thread not in before and not isinstance(thread, threading._DummyThread)
    ]
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    alive = [thread for thread in left if thread.is_alive()]
    if alive:
        frames = sys._current_frames()
        stacks = [
            f"{thread!r}\n{''.join(traceback.format_stack(frames.get(thread.ident)))}"
            for thread in alive
        ]
        pytest.fail(
            f"threads that still run {JOIN_SECONDS} s after this test: got {len(alive)}, expected "
            "none; stop the runtime that started them\n" + "\n".join(stacks),
            pytrace=False,
        )
