"""Interpretation of an agent's usage: tokens of a call, a turn or a session, and a growing total cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json, Usage, UsageScope

COST_LIMIT = Decimal(10) ** 9
"""A cost from this amount on, in any currency, is not kept: the store has nine digits before the point."""
TOKENS = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cached_read_tokens": "cachedReadTokens",
    "cached_write_tokens": "cachedWriteTokens",
    "thought_tokens": "thoughtTokens",
    "total_tokens": "totalTokens",
}
"""Our names, and ACP's."""
LAST_CALL = frozenset({"opencode"})
"""Agents whose prompt response has the tokens of only the last model call; in ACP they are the turn's."""
_ABSURD = 1e18
_CLAUDE = re.compile(r"@agentclientprotocol/claude-agent-acp (\d+)\.(\d+)")


def restarts_with_process(agent: str) -> bool:
    """Whether an agent's total cost restarts at 0 with each process; in ACP it continues for the session.

    Claude Code's SDK counts per process before 0.3.277, which its adapter hands on unchanged: `@zed-industries` always,
    `@agentclientprotocol` before 0.80.

    Args:
        agent: name and version that the agent reported: "OpenCode 1.18.33".
    """
    later = _CLAUDE.match(agent)
    if later is not None:
        return (int(later[1]), int(later[2])) < (0, 80)
    return agent.startswith("@zed-industries/claude-agent-acp ")


def amount_of(cost: Json) -> Decimal | None:
    """Return the amount of an ACP cost; None for an invalid amount."""
    amount = cost.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < _ABSURD:
        return None
    return Decimal(str(amount))


def is_count(value: object) -> bool:
    """Whether a value can be a number of tokens."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


@dataclass(slots=True)
class Tally:
    """The usage of one turn, as reported so far.

    Attributes:
        costs: by currency ("" for none), never added to each other.
        model: named by its counts; takes precedence over the agent's options.
    """

    costs: dict[str, Decimal] = field(default_factory=dict)
    model: str | None = None
    _answer: dict[str, int] = field(default_factory=dict)
    _calls: dict[str, int] = field(default_factory=dict)
    _context: dict[str, int] = field(default_factory=dict)
    _currency: str | None = None
    _last_call: bool = False

    def apply_update(self, update: Json) -> None:
        """Apply a `usage_update`; `spend` adds its cost."""
        self._context.update(_counts({"context_used": update.get("used"), "context_size": update.get("size")}))
        self._currency = as_text(as_object(update.get("cost")).get("currency")) or self._currency
        self.model = as_text(as_object(update.get("_meta")).get("_claude/model")) or self.model

    def spend(self, currency: str, amount: Decimal) -> None:
        """Add to the cost."""
        self.costs[currency] = self.costs.get(currency, Decimal(0)) + amount

    def apply_total(self, cost: Json) -> None:
        """Take the cost so far of a session that began with the turn."""
        if (amount := amount_of(cost)) is not None:
            self.costs[as_text(cost.get("currency")) or ""] = amount

    def apply_call(self, update: Json) -> bool:
        """Add the tokens of one model call from a message chunk (Qwen Code); False if it has none."""
        counts = _tokens(as_object(as_object(update.get("_meta")).get("usage")))
        for name, count in counts.items():
            self._calls[name] = self._calls.get(name, 0) + count
        return bool(counts)

    def apply_answer(self, result: Json, agent: str) -> None:
        """Apply the response to the prompt."""
        quota = as_object(as_object(result.get("_meta")).get("quota"))
        self.apply_tokens(as_object(result.get("usage")) or as_object(quota.get("token_count")))
        self._last_call = agent.partition(" ")[0].lower() in LAST_CALL
        models = {as_text(each.get("model")) for each in as_objects(quota.get("model_usage"))}
        if len(models) == 1:
            self.model = models.pop() or self.model

    def apply_tokens(self, usage: Json) -> None:
        """Apply the counts of the turn."""
        self._answer.update(_tokens(usage))

    def usage(self, status: str, *, spoke: bool, tools: bool) -> Usage:
        """Return the usage so far.

        Args:
            status: of the turn.
            spoke: whether a model answered in it.
            tools: whether it called a tool, which takes more than one model call.
        """
        remarks: list[str] = []
        tokens: dict[str, Any] = self._answer or {k: v for k, v in self._calls.items() if v < 2**63}
        empty = bool(tokens) and spoke and not any(tokens.values())
        scope: UsageScope | None = "call" if self._last_call and self._answer else "turn"
        if not tokens:
            quality, scope = "none" if status != "running" else None, None
            remarks += ["the agent reported no tokens"] if status != "running" else []
        elif empty:
            quality, scope, tokens = "placeholder", None, {}
            remarks.append("the agent reported 0 tokens for a turn in which a model answered")
        elif scope == "call" and tools:
            quality = "partial"
            remarks.append("the tokens are those of the last model call alone")
        else:
            quality = "final" if status == "completed" else "partial"
        cost, currency = self._cost(remarks, empty)
        if cost is None and not self.costs and status != "running":
            remarks.append("the agent reported no cost")
        context = {name: count for name, count in self._context.items() if count or not spoke}
        known: dict[str, Any] = {**tokens, **context, "quality": quality}
        return Usage(**known, scope=scope, cost=cost, currency=currency, remark="; ".join(remarks) or None)

    def counted(self, status: str) -> dict[str, Any]:
        """Return the known fields of a subagent's usage."""
        known = asdict(self.usage(status, spoke=True, tools=False))
        return {name: value for name, value in known.items() if value is not None and name not in {"remark", "quality"}}

    def _cost(self, remarks: list[str], empty: bool) -> tuple[float | None, str | None]:
        """Return the cost with its currency, if it is in a single currency."""
        if len(self.costs) > 1:
            names = " and ".join(sorted(currency or "none" for currency in self.costs))
            remarks.append(f"costs in {names} are not added; v_usage has each")
            return None, None
        currency = next(iter(self.costs), self._currency or "") or None
        cost = next(iter(self.costs.values()), None)
        if cost is not None and cost >= COST_LIMIT:
            remarks.append(f"a cost of {cost:.4g} is more than is kept")
            return None, currency
        if cost == 0 and empty:
            remarks.append("its cost of 0 follows from that")
            return None, currency
        return None if cost is None else float(cost), currency


def by_currency(costs: Mapping[str, Decimal]) -> Iterable[tuple[str | None, float | None]]:
    """Yield each currency, None for none, with its cost, None if it is too large to keep."""
    for currency, cost in sorted(costs.items()):
        yield currency or None, None if cost >= COST_LIMIT else float(cost)


def _tokens(usage: Json) -> dict[str, int]:
    return _counts({name: usage.get(acp, usage.get(name)) for name, acp in TOKENS.items()})


def _counts(counts: Json) -> dict[str, int]:
    return {name: count for name, count in counts.items() if is_count(count)}
