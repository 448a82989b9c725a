"""Talk to a stage while it works: `call` waits for an answer, `cast` does not.

With `with ff.Runtime()` the stages run behind, and this thread is free.  A request is a turn of the
stage like any other, so it never sees a batch half handled: each answer below is the sum of whole
batches.  The requests of one sender are taken in order, casts and calls alike.

Prints::

    every answer is the sum of a whole number of batches: True
    the end: 2000 batches, sum 1999999000000
    after the reset: (0, 0)
"""

import fastflow as ff


class Total(ff.Consumer):
    """Adds up numbers; tells how far it is, and starts again from 0, on request."""

    state = ("batches", "total")

    def __init__(self):
        self.batches = self.total = 0

    def handle_events(self, events, source):
        self.batches += 1
        self.total += int(events.sum())

    def handle_call(self, request, reply):
        return self.batches, self.total

    def handle_cast(self, request):
        self.batches = self.total = 0


with ff.Runtime() as rt:
    numbers = rt.start(ff.Range(2_000_000))
    batches = rt.start(ff.Batcher(1000), subscribe_to=[numbers])
    # A temporary subscription does not end its consumer, which can still be asked afterwards.
    total = rt.start(Total(), subscribe_to=[(batches, {"cancel": "temporary"})])

    whole, count = True, 0
    while count < 2000:
        count, so_far = total.call("how far?")
        events = count * 1000
        whole = whole and so_far == events * (events - 1) // 2
    print(f"every answer is the sum of a whole number of batches: {whole}")
    print(f"the end: {count} batches, sum {so_far}")

    total.cast("reset")
    print(f"after the reset: {total.call('how far?')}")
