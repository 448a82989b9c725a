"""A runtime that starts stages all day long does not keep them all."""

import gc
import weakref

import pytest

import fastflow as ff
from fastflow.runtime import runtime as room
from fastflow.testing import settle


class Silent(ff.Producer):
    """Has nothing to give, and goes on."""

    dtype = "int64"


def churn(rt, numbers, n):
    """Start and stop `n` consumers, one after the other; refs to their subscriptions, weak ones."""
    seen = []
    for _ in range(n):
        total = rt.start(ff.Count(), subscribe_to=[(numbers, {"max_demand": 10})])
        settle(rt)
        seen.append(weakref.ref(total))
        total.stop()
    settle(rt)
    return seen


def test_stages_that_have_ended_are_forgotten_in_time(monkeypatch):
    monkeypatch.setattr(room, "KEPT_ENDED", 10)
    rt = ff.Runtime()
    numbers = rt.start(Silent())

    seen = churn(rt, numbers, 200)
    gc.collect()

    assert len(rt.seats) < 50
    assert sum(ref() is not None for ref in seen) < 50


def test_a_stage_with_a_name_and_a_ref_in_hand_are_kept(monkeypatch):
    monkeypatch.setattr(room, "KEPT_ENDED", 10)
    rt = ff.Runtime()
    numbers = rt.start(Silent())
    named = rt.start(ff.Count(), name="named", subscribe_to=[(numbers, {"max_demand": 10})])
    held = rt.start(ff.Count(), subscribe_to=[(numbers, {"max_demand": 10})])
    for ref in (named, held):
        ref.stop()

    churn(rt, numbers, 200)

    assert rt["named"] is named
    assert held.join() == "shutdown"
    assert held.result() == 0


def test_the_line_at_the_end_counts_what_was_forgotten(monkeypatch, caplog):
    monkeypatch.setattr(room, "KEPT_ENDED", 10)
    rt = ff.Runtime()
    numbers = rt.start(Silent())
    churn(rt, numbers, 200)

    with caplog.at_level("INFO", "fastflow.runtime"):
        rt.stop()

    assert "201 stages" in caplog.text


def test_start_many_that_fails_leaves_none_of_them():
    class Third(ff.Consumer):
        """Whose third one can't be set up."""

        made = []

        def setup(self):
            self.made.append(self)
            if len(self.made) == 3:
                raise LookupError("no third one")

        def handle_events(self, events, source):
            """Nothing."""

    rt = ff.Runtime()
    numbers = rt.start(ff.Range(10), dispatcher="broadcast")

    with pytest.raises(LookupError, match="no third one"):
        rt.start_many(Third(), 5, subscribe_to=[numbers])

    settle(rt)
    assert [seat.ref for seat in rt.seats] == [numbers]
    assert rt.subscriptions() == []
    assert numbers.statistics()["asked"] == 0
