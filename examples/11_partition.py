"""Each event where its key belongs: a table of balances, split over three stages.

`PartitionDispatcher(3, hash="account")` sends all events of one account to one consumer, in their
order, by a hash that is the same in every run and on every machine.  So each `Balances` has the only
state there is of its accounts.

Prints::

    accounts: 100, in more than one partition: 0
    partition 0: 25 accounts, 25,000 transfers
    partition 1: 33 accounts, 33,000 transfers
    partition 2: 42 accounts, 42,000 transfers
    all balances: 4,950,000
"""

import numpy as np

import fastflow as ff


def transfers():
    """Yield batches of made-up transfers: a hundred accounts, a thousand transfers each."""
    for day in range(100):
        accounts = np.arange(1000) * 7 % 100
        yield ff.Batch(account=accounts, amount=accounts - 50 * (day % 2) + 25)


class Balances(ff.Consumer):
    def __init__(self):
        self.balances = np.zeros(100, "i8")
        self.seen = np.zeros(100, "i8")

    def handle_events(self, events, source):
        np.add.at(self.balances, events["account"], events["amount"])
        np.add.at(self.seen, events["account"], 1)

    def result(self):
        return self.seen, self.balances


rt = ff.Runtime()
source = rt.start(ff.FromIterable(transfers), dispatcher=ff.PartitionDispatcher(3, hash="account"))
parts = [rt.start(Balances(), subscribe_to=[(source, {"partition": number})]) for number in range(3)]
rt.run()

seen = np.array([part.result()[0] for part in parts])
takers = (seen > 0).sum(axis=0)
print(f"accounts: {len(takers)}, in more than one partition: {(takers > 1).sum()}")
for number, counts in enumerate(seen):
    print(f"partition {number}: {(counts > 0).sum()} accounts, {counts.sum():,} transfers")
print(f"all balances: {sum(part.result()[1].sum() for part in parts):,}")
