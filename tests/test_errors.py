"""Errors: one tree, each also the built-in that fits, and texts that say what to do."""

from __future__ import annotations

import copy
import pickle

import pytest

import fastflow as ff
from fastflow import errors

BUILTIN = {
    "OptionError": TypeError,
    "SchemaError": TypeError,
    "DemandError": ValueError,
    "StateError": ValueError,
    "GraphError": ValueError,
    "NameTaken": ValueError,
    "CallbackError": RuntimeError,
    "NotDriven": RuntimeError,
    "Closed": RuntimeError,
    "GaveUp": RuntimeError,
    "Stalled": RuntimeError,
    "WaitTimeout": TimeoutError,
    "Killed": RuntimeError,
    "MissingExtra": ImportError,
}


@pytest.mark.parametrize(("name", "builtin"), BUILTIN.items())
def test_each_error_is_a_fastflow_error_and_the_builtin_that_fits(name, builtin):
    error = getattr(errors, name)

    assert issubclass(error, errors.FastflowError)
    assert issubclass(error, builtin)
    with pytest.raises(builtin, match="what to do"):
        raise error("what to do")


def test_every_public_name_exists_and_says_what_it_is():
    for name in errors.__all__:
        assert getattr(errors, name).__doc__


def test_every_error_of_the_room_is_listed():
    found = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.FastflowError)
    }

    assert found == {"FastflowError", *BUILTIN}
    assert found < set(errors.__all__)


@pytest.mark.parametrize("name", BUILTIN)
def test_errors_can_be_copied_and_pickled(name):
    error = getattr(errors, name)("got 1, expected 2")

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == "got 1, expected 2"


def test_retry_is_no_failure_of_ours():
    assert ff.Retry is errors.Retry
    assert issubclass(ff.Retry, Exception)
    assert not issubclass(ff.Retry, errors.FastflowError)


@pytest.mark.parametrize(("given", "seconds"), [((), 0.0), ((1.5,), 1.5), ((2,), 2.0), ((0,), 0.0)])
def test_retry_carries_its_seconds(given, seconds):
    assert ff.Retry(*given).after == seconds
    assert ff.Retry(after=seconds).after == seconds


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), True, "soon", None])
def test_retry_after_no_seconds_is_refused(bad):
    with pytest.raises((TypeError, ValueError), match="after"):
        ff.Retry(after=bad)


def test_a_retry_can_be_pickled():
    assert pickle.loads(pickle.dumps(ff.Retry(1.5))).after == 1.5


@pytest.mark.parametrize(
    ("got", "near"),
    [
        ("max_demnad", "max_demand"),
        ("min_deman", "min_demand"),
        ("cancle", "cancel"),
        ("Max_Demand", "max_demand"),
    ],
)
def test_the_nearest_word_is_named(got, near):
    text = errors.nearest("option", got, ["max_demand", "min_demand", "cancel"])

    assert repr(got) in text
    assert repr(near) in text


def test_without_a_near_word_the_valid_ones_are_named():
    text = errors.nearest("option", "zzz", ["cancel", "tag"])

    assert "did you mean" not in text
    assert "'zzz'" in text
    assert "cancel" in text
    assert "tag" in text
