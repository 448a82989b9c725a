"""Events that are Python objects: lists instead of arrays, the same demand.

Items that are neither arrays nor batches are `object` events, one each: here lines of text.  A step
gets a list of them and returns a list, of any length.

Prints::

    200 GET  /index.html     3
    200 GET  /data.csv       2
    201 POST /upload         1
    404 GET  /missing        1
"""

from collections import Counter

import fastflow as ff

LINES = """\
GET /index.html 200
GET /data.csv 200
# the server was restarted
POST /upload 201
GET /index.html 200
GET /missing 404
GET /data.csv 200
GET /index.html 200
"""


def parse(lines):
    """Turn lines into dicts; comments yield nothing."""
    fields = [line.split() for line in lines if not line.startswith("#")]
    return [{"method": m, "path": p, "status": int(s)} for m, p, s in fields]


class Tally(ff.Consumer):
    accepts = object

    def __init__(self):
        self.requests = Counter()

    def handle_events(self, events, source):
        self.requests.update((e["status"], e["method"], e["path"]) for e in events)

    def result(self):
        return self.requests.most_common()


for (status, method, path), count in ff.run(LINES.splitlines(), parse, Tally()):
    print(f"{status} {method:4} {path:13}{count:4}")
