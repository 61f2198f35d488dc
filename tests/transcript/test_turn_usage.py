"""Tokens and cost of a turn."""

from __future__ import annotations

from decimal import Decimal

from tests.transcript.script import Script


def test_tokens_that_come_with_a_piece_of_the_answer(s: Script) -> None:
    before = s.fold.revision(1)
    s.say("a", _meta={"usage": {"inputTokens": 3}})
    with_call = s.fold.revision(1)
    assert with_call > before
    s.say("b", _meta={"other": 1})
    s.say("c")
    assert s.fold.revision(1) == with_call
    s.say("d", _meta={"usage": {"inputTokens": 4}})
    assert s.fold.revision(1) > with_call
    assert s.fold.turn(1).usage.input_tokens == 7


def test_a_turn_costs_what_was_spent_in_it(s: Script) -> None:
    s.update("usage_update", cost={"amount": 0.5, "currency": "USD"})
    s.update("usage_update", cost={"amount": 0.75, "currency": "USD"})
    s.update("usage_update", cost={"amount": 2})
    assert s.fold.costs(1) == {"USD": Decimal("0.75"), "": Decimal(2)}
    s.update("usage_update", turn=None, cost={"amount": 1, "currency": "USD"})
    assert s.fold.costs(1) == {"USD": Decimal("0.75"), "": Decimal(2)}
    assert s.fold.state.outside == (("demo", "USD", Decimal("0.25")),)
    assert s.changes == []


def test_zero_tokens_of_a_silent_turn_are_none(s: Script) -> None:
    s.answer(result={"usage": {"inputTokens": 0}})
    s.end("cancelled")
    assert (s.fold.turn(1).usage.input_tokens, s.fold.turn(1).usage.quality) == (0, "partial")
