"""A child for each event: jobs that block, some at a time, and tried again when they fail.

`ff.ConsumerSupervisor` starts a thread for each event, here at most three at a time: a new one only
when an old one has ended.  A download that fails is tried again at once; if everything failed, the
supervisor would give up after a few restarts and say what it was.

Prints::

    12 pages, 78000 bytes
    at most 3 at a time: True
    tried again: ['page-5', 'page-9']
"""

import logging
import threading

import fastflow as ff

logging.getLogger("fastflow").setLevel(logging.ERROR)  # a restart is a warning; here it is expected


class Site:
    """Stands for a slow server that drops a connection now and then."""

    def __init__(self, broken):
        self.broken = set(broken)
        self.lock = threading.Lock()
        self.pages, self.again = {}, []
        self.open = self.most = 0

    def get(self, name):
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            if name in self.broken:
                self.broken.remove(name)
                self.again.append(name)
                raise ConnectionError(f"{name}: connection reset")
            return b"x" * 1000 * int(name.removeprefix("page-"))
        finally:
            with self.lock:
                self.open -= 1


site = Site(broken=["page-5", "page-9"])


def download(name):
    page = site.get(name)
    with site.lock:
        site.pages[name] = len(page)


names = [f"page-{i}" for i in range(1, 13)]
ff.run(names, ff.ConsumerSupervisor(download, restart="transient"), max_demand=3, min_demand=1)

print(f"{len(site.pages)} pages, {sum(site.pages.values())} bytes")
print(f"at most 3 at a time: {site.most <= 3}")
print(f"tried again: {sorted(site.again)}")
