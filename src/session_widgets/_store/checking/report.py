"""What a check of a store verified, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from session_widgets.printing import html_table, one_line, plural, text_table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        check: name of the check.
        where: id of the session, path of the imported file, or name of the table.
        what: the fault.
        remedy: what to do.
    """

    check: str
    where: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Verified:
    """One check.

    Attributes:
        check: its name.
        about: what it compares.
        count: number of rows, sessions or files that it looked at.
        findings: how many of them are wrong.
    """

    check: str
    about: str
    count: int
    findings: int


@dataclass(slots=True)
class CheckReport:
    """What `Store.check` did: the checks in order, and the findings.

    Attributes:
        path: of the store.
        checks: what was verified.
        findings: what is wrong; `.df()` has one row each.
        left_out: what could not be verified, and why.
    """

    path: str
    checks: list[Verified] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def add(self, check: str, about: str, count: int, found: Sequence[Finding]) -> None:
        """Add a check with its findings."""
        self.checks.append(Verified(check, about, count, len(found)))
        self.findings += found

    def df(self) -> pd.DataFrame:
        """Return one row a finding as a pandas frame."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.findings], columns=list(Finding.__dataclass_fields__))

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        state = "nothing is wrong" if self.ok else plural(len(self.findings), "finding")
        return f"{one_line(self.path)}: {state}"

    def __repr__(self) -> str:
        table = text_table(("", "check", "verified", "of"), _checks(self))
        found = [f"{each.check}: {one_line(each.where)}: {each.what}. {each.remedy}" for each in self.findings]
        more = [f"and {len(found) - _SHOWN:,} more: .df()"] if len(found) > _SHOWN else []
        return "\n".join(
            [str(self), table, *found[:_SHOWN], *more, *(f"not verified: {each}" for each in self.left_out)]
        )

    def _repr_html_(self) -> str:
        rows = [(each.check, one_line(each.where), each.what, each.remedy) for each in self.findings]
        found = html_table(("check", "where", "what", "remedy"), rows[:_SHOWN]) if rows else ""
        more = f"<p>and {len(rows) - _SHOWN:,} more: <code>.df()</code></p>" if len(rows) > _SHOWN else ""
        left = "".join(f"<p>not verified: {escape(each)}</p>" for each in self.left_out)
        return (
            f"<p>{escape(str(self))}</p>{html_table(('', 'check', 'verified', 'of'), _checks(self))}{found}{more}{left}"
        )


def _checks(report: CheckReport) -> list[tuple[str, str, str, str]]:
    return [("no" if each.findings else "yes", each.check, each.about, f"{each.count:,}") for each in report.checks]
