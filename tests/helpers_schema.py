"""Ticks, and the form in which every schema refuses."""

import numpy as np
import pytest

from fastflow.errors import SchemaError
from fastflow.schema import Batch

TICK = [("price", "f8"), ("qty", "i4")]
WHERE = "handle_demand of 'counter'"


def ticks(n=3):
    """Return n ticks: price 0.5, 1.5, ...; qty 0, 10, ..."""
    return Batch(price=np.arange(n) + 0.5, qty=np.arange(n, dtype="i4") * 10)


def refusal(function, *arguments, **keywords):
    """Return the text with which a call is refused, after a look at its form."""
    with pytest.raises(SchemaError) as caught:
        function(*arguments, **keywords)
    text = str(caught.value)
    assert ": got " in text, text
    assert ", expected " in text, text
    assert "; " in text, text
    assert "\n" not in text
    assert "\x1b" not in text
    return text


def same(left, right):
    """Tell whether two arrays hold the same bits, whatever the strides."""
    return (
        left.shape == right.shape
        and left.dtype == right.dtype
        and np.ascontiguousarray(left).tobytes() == np.ascontiguousarray(right).tobytes()
    )
