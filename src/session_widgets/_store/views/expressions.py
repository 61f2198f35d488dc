"""SQL that several views use."""

from __future__ import annotations

SECONDS = "date_diff('millisecond', started_at, ended_at) / 1000.0"
OLDEST = "row(p.created_at, -p.last_seq, p.session_id)"
"""Orders sessions of the same id: that of the original first, and of copies the longest."""
RUN_SECONDS = f"case when waited_s is not null then round(greatest({SECONDS} - waited_s, 0), 3) end"


def one_of(column: str) -> str:
    """Return SQL for the one value of a column in a group, or "mixed" if there are several."""
    return f"if(count(distinct {column}) > 1, 'mixed', any_value({column})) as {column}"
