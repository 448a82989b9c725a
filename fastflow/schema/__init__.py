"""Schemas: what one event is, and the columns in which events lie.

    dtype                               one event           a batch, in a callback
    "int64"                             a number            the ndarray itself
    ("f4", (128,))                      a vector            the ndarray, of shape (n, 128)
    [("price", "f8"), ("qty", "i4")]    a row of fields     Batch: one contiguous array a column
    object                              any Python object   a list

    price  |1.5|2.5|3.5|..              batch["price"]      one column
    qty    | 10| 20| 30|..              batch[1]            one event: Row(price=2.5, qty=20)

A schema is a fixed-width NumPy dtype.  A structured dtype is laid out by columns: each begins on a
64-byte line, so NumPy runs over it at full speed, and nothing between two fields is ever copied or
shown.  Byte order is always the machine's own; big-endian arrays are swapped on their way in.

>>> from fastflow.schema import Batch, Schema
>>> ticks = Schema.of([("price", "f8"), ("qty", "i4")])
>>> ticks.describe(), ticks.itemsize
('(price float64, qty int32)', 12)
>>> price, qty = ticks.arrays({"qty": [10, 20], "price": [1.5, 2.5]}, "example")
>>> batch = Batch(price=price, qty=qty)
>>> batch[batch["price"] > 2]
Batch of 1 event (price float64, qty int32)
   price  qty
0    2.5   20

What is given must be what was declared: nothing is cast in silence.  Two exceptions lose nothing:
byte order, and text or bytes shorter than the declared width.

Nothing here knows of rings, stages or threads.  For text of any length, or records that grow, use
`object` events instead: they cost a reference and an object each, where a column costs its bytes.
"""

from fastflow.schema._batch import Batch, Row
from fastflow.schema._schema import Schema, concat, same_or_refuse

__all__ = ["Batch", "Row", "Schema", "concat", "same_or_refuse"]
