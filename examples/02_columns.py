"""Events with several fields: a structured dtype gives batches of columns.

`trades["price"]` is one contiguous NumPy array, at full speed; a mask or a slice of a batch is a
batch again.  Text is as fixed in width as the numbers: `S4` is four bytes.

Prints::

    AAPL  1,667 large trades   62,433,300
    MSFT  1,667 large trades  124,850,000
    NVDA  1,666 large trades  187,175,100
"""

import numpy as np

import fastflow as ff

TRADE = [("symbol", "S4"), ("price", "f8"), ("quantity", "i4")]
SYMBOLS = np.array(["AAPL", "MSFT", "NVDA"], "S4")
PRICES = np.array([100.0, 200.0, 300.0])


class Trades(ff.Producer):
    """Makes up `count` trades; each is the same in every run."""

    dtype = TRADE
    state = ("made",)

    def __init__(self, count):
        self.made, self.count = 0, count

    def handle_demand(self, demand):
        n = np.arange(self.made, min(self.made + demand, self.count))
        self.made += len(n)
        if self.made == self.count:
            self.finish()
        quantity = (n % 500).astype("i4")
        return {"symbol": SYMBOLS[n % 3], "price": PRICES[n % 3], "quantity": quantity}


def large(trades):
    return trades[trades["quantity"] >= 250]


class Turnover(ff.Consumer):
    """Counts trades and adds up price times quantity, for each symbol."""

    accepts = TRADE
    state = ("trades", "money")

    def __init__(self):
        self.trades = np.zeros(3, np.int64)
        self.money = np.zeros(3)

    def handle_events(self, events, source):
        row = np.searchsorted(SYMBOLS, events["symbol"])
        self.trades += np.bincount(row, minlength=3)
        self.money += np.bincount(row, events["price"] * events["quantity"], minlength=3)

    def result(self):
        return zip(SYMBOLS, self.trades, self.money, strict=True)


for symbol, trades, money in ff.run(Trades(10_000), large, Turnover()):
    print(f"{symbol.decode()}  {trades:,} large trades  {money:11,.0f}")
