"""A million consumers of one producer: what each costs while it waits, and one batch to all of them.

    Teller ──broadcast──▶ 1,000,000 × Heard

Each look is a process of its own.  What counts as memory is what the process has resident, beyond
its size before; the stage objects alone, made by the same class's constructor in another process,
are taken off.
"""

import json
import os
import pathlib
import subprocess
import sys

import fastflow as ff
from bench.harness import Figure

# Where the package that is imported here lies: the other process must not find another build of it.
HOME = pathlib.Path(ff.__file__).parent.parent

PROGRAM = """
import gc
import json
import os
import pathlib
import sys
import time

import numpy as np

import fastflow as ff

BATCH = 1_000


class Teller(ff.Producer):
    dtype = "int64"

    def handle_demand(self, demand):
        pass

    def handle_cast(self, request):
        return np.arange(BATCH)


class Heard(ff.Consumer):
    def __init__(self):
        self.heard = 0

    def handle_events(self, events, source):
        self.heard += len(events)


def resident():
    pages = pathlib.Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


what, n = sys.argv[1], int(sys.argv[2])
rt = ff.Runtime()
teller = rt.start(Teller(), dispatcher="broadcast")
gc.collect()
before, began = resident(), time.perf_counter()
if what == "objects":
    gc.disable()
    stages = [Heard() for _ in range(n)]
    told = {"bytes": resident() - before}
else:
    refs = rt.start_many(Heard(), n, subscribe_to=[(teller, {"max_demand": BATCH})])
    told = {"start_s": time.perf_counter() - began, "bytes": resident() - before}
    ff.testing.settle(rt)
    teller.cast("one batch")
    began = time.perf_counter()
    ff.testing.settle(rt)
    told["batch_s"] = time.perf_counter() - began
    assert {ff.testing.stage_of(ref).heard for ref in refs[:: n // 10]} == {BATCH}
print(json.dumps(told), flush=True)
os._exit(0)                             # nobody needs to see a million stages end
"""


def look(what, n):
    """What the program found out, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, what, str(n)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(HOME)},
    )
    return json.loads(ran.stdout)


def bench_a_million_consumers(race):
    n = race.size(1_000_000, 1_000)

    def measure():
        objects, stages = look("objects", n), look("stages", n)
        return stages["start_s"], (stages["bytes"] - objects["bytes"]) / n, stages["batch_s"]

    race.figures(
        [
            Figure("1,000,000 consumers started and subscribed to one producer", "s", 6),
            Figure(
                "each of them, while it waits, beyond its Python object "
                "(GenStage, not in this run: 4,250 B)",
                "B",
                1_024,
            ),
            Figure("one batch of 1,000 events to all of them", "s", 2),
        ],
        measure,
    )
