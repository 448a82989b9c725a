"""The rivals in C: compiled at first use, called without the GIL.

    _rivals.c ──cc──▶ build/bench/rivals-<hash>.so ──ctypes──▶ blocked_sum, hand_off, partition, ping_pong

The library is named after the hash of its source and flags, so it is built again when either
changes, and two processes that build it at once put the same file in the same place.
"""

import ctypes
import functools
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

SOURCE = pathlib.Path(__file__).with_name("_rivals.c")
CACHE = SOURCE.parent.parent / "build" / "bench"
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=off", "-pthread")

# The codes that the functions in C return, in order.
_COMPLAINTS = (
    None,
    OverflowError("the sum of the events does not fit 64 bits; take fewer or smaller events"),
    MemoryError("no memory for the rival's buffer; take a smaller block or fewer slots"),
    RuntimeError("the system refused one more thread; see `ulimit -u`"),
)


def compiler():
    """Command of the C compiler: ``$CC``, else the first of cc, gcc, clang.

    Returns
    -------
    list of str
        The command and its own arguments.
    """
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise FileNotFoundError(
        "no C compiler: looked for $CC, cc, gcc and clang; install one, or set CC"
    )


@functools.cache
def _library():
    command = [*compiler(), *FLAGS]
    name = hashlib.sha256(repr(command).encode() + SOURCE.read_bytes()).hexdigest()[:16]
    built = CACHE / f"rivals-{name}.so"
    if not built.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            fresh = pathlib.Path(scratch) / built.name
            subprocess.run([*command, "-o", fresh, SOURCE], check=True)
            fresh.replace(built)
    return ctypes.CDLL(str(built))


def _call(name, *arguments):
    complaint = _COMPLAINTS[getattr(_library(), name)(*arguments)]
    if complaint is not None:
        raise complaint


def blocked_sum(stop, block, start=0):
    """Sum of ``range(start, stop)``, filled and added in blocks, in one thread without a ring.

    Parameters
    ----------
    stop, start : int
        Bounds of the range, `stop` excluded.
    block : int
        Events in a block.

    Returns
    -------
    int
        The exact sum; OverflowError if it does not fit 64 bits.
    """
    total = ctypes.c_int64()
    events = ctypes.c_int64(stop - start)
    _call(
        "rival_blocked_sum",
        ctypes.c_int64(start),
        events,
        ctypes.c_int64(block),
        ctypes.byref(total),
    )
    return total.value


def hand_off(block_bytes, slots, blocks):
    """Pass blocks of int64 from one thread to another, filled and added in place.

    Parameters
    ----------
    block_bytes : int
        Size of a block, a multiple of 8.
    slots : int
        Blocks that the ring holds.
    blocks : int
        Blocks to pass on.

    Returns
    -------
    seconds : float
        From the moment that both threads stood ready to the last sum.
    total : int
        Sum of all events, which are counted from 0.
    """
    seconds, total = ctypes.c_double(), ctypes.c_int64()
    sizes = [ctypes.c_int64(size) for size in (block_bytes // 8, slots, blocks)]
    _call("rival_hand_off", *sizes, ctypes.byref(seconds), ctypes.byref(total))
    return seconds.value, total.value


def partition(events, out, block, partitions):
    """Bring events into partitions: a hash, the counts, and a copy, block by block in one thread.

    Parameters
    ----------
    events : ndarray of int64, shape (n,), C-contiguous
        What to hash, with splitmix64, and to copy.
    out : ndarray of int64, shape (n,), C-contiguous
        Block by block, the events of partition 0 in their order, then those of 1, and so on.
    block : int
        Events in a block.
    partitions : int
        At most 255.

    Returns
    -------
    list of int
        How many events each partition has.
    """
    if not 1 <= partitions <= 255:
        raise ValueError(f"partitions: got {partitions}, expected 1 to 255, so that an id is a byte")
    counts = (ctypes.c_int64 * partitions)()
    sizes = [ctypes.c_int64(size) for size in (len(events), block, partitions)]
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in (events, out)]
    _call("rival_partition", addresses[0], *sizes, addresses[1], counts)
    return list(counts)


def ping_pong(trips=20_000):
    """Nanoseconds for a cache line to go to another thread and come back.

    Parameters
    ----------
    trips : int
        Round trips to take the mean of.

    Returns
    -------
    float
        Nanoseconds for each round trip: 70 to 180 between cores that share a cache, 300 to 550
        between cores that do not, more when the threads do not get a core each.
    """
    seconds = ctypes.c_double()
    _call("rival_ping_pong", ctypes.c_int64(trips), ctypes.byref(seconds))
    return seconds.value / trips * 1e9
