"""Timers: a source that has nothing to give just now looks again later.

A producer that answers its demand with nothing is left alone until something happens: more demand,
a message, a timer.  So it sets one.  The demand is not forgotten meanwhile: `handle_demand` then
gets all that is still asked for.  While every stage waits, the program uses no CPU.

Prints::

    20.5 degrees, found at look 2
    21.0 degrees, found at look 4
    21.5 degrees, found at look 6
    22.0 degrees, found at look 8
"""

import fastflow as ff


class Sensor:
    """Stands for a device: it has a reading every second time one looks."""

    def __init__(self):
        self.looks = 0

    def read(self):
        self.looks += 1
        return 20 + self.looks / 4 if self.looks % 2 == 0 else None


class Poll(ff.Producer):
    """Emits `count` readings of a sensor, one at a time, as they come."""

    dtype = [("degrees", "f8"), ("look", "i8")]

    def __init__(self, count):
        self.left = count

    def setup(self):
        self.sensor = Sensor()  # devices are opened here, in the place where the stage runs

    def handle_demand(self, demand):
        degrees = self.sensor.read()
        if degrees is None:
            self.after(0.01, "look again")
            return None
        self.left -= 1
        if self.left == 0:
            self.finish()
        return {"degrees": [degrees], "look": [self.sensor.looks]}

    def handle_info(self, message):
        """Do nothing: that the timer came is enough to have the demand served again."""


def show(readings):
    for degrees, look in zip(readings["degrees"], readings["look"], strict=True):
        print(f"{degrees} degrees, found at look {look}")


ff.run(Poll(4), show)
