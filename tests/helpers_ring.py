"""Both ends of a ring in one thread: events are bytes to it, so these write and read int64."""

import numpy as np


def ends(ring):
    """Both ends of a ring, the writer first."""
    return ring.writer(), ring.reader()


def counters(ring):
    return ring.asked, ring.sent, ring.acked


def put(writer, values):
    """Publish int64 `values` in as many claims as the ring wants; returns how many went."""
    values = np.asarray(values, dtype=np.int64)
    done = 0
    while done < len(values):
        (column,) = writer.claim(len(values) - done)
        room = len(column) // 8
        if room == 0:
            break
        column.view(np.int64)[:] = values[done : done + room]
        del column                          # a claimed array that somebody keeps may be copied
        writer.publish(room)
        done += room
    return done


def take(reader, n):
    """The next up to `n` events as a list of ints, read and not acknowledged."""
    taken = []
    while len(taken) < n:
        k, columns = reader.read(n - len(taken))
        if k == 0:
            break
        taken += columns[0].view(np.int64).tolist()
    return taken
