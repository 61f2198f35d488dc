"""What a second of a sandbox costs: a dated table of what vendors publish, and the SQL of the user's own rates."""

from __future__ import annotations

from session_widgets._store.queries import Connection
from session_widgets._store.rows import Row

CPU, MEMORY, DISK = "cpu", "memory", "disk"
COLUMNS = ("provider", "resource", "per_second", "default_amount", "currency", "price_date", "source")
PUBLISHED: tuple[tuple[str, str, str, str | None, str, str], ...] = (
    # https://e2b.dev/docs/faq/calculate-sandbox-price: disk is included; our template has 2 vCPU and 1 GiB
    ("e2b", CPU, "0.000014", "2", "2026-08-06", "e2b.dev/pricing"),
    ("e2b", MEMORY, "0.0000045", "1", "2026-08-06", "e2b.dev/pricing"),
    # https://www.daytona.io/pricing; sizes: https://www.daytona.io/docs/en/sandboxes. Its first 5 GiB of disk are free
    ("daytona", CPU, "0.000014", "1", "2026-11-17", "daytona.io/pricing"),
    ("daytona", MEMORY, "0.0000045", "1", "2026-11-17", "daytona.io/pricing"),
    ("daytona", DISK, "0.00000003", "3", "2026-05-25", "daytona.io/pricing"),
    ("daytona", "H100", "0.001097", None, "2026-05-25", "daytona.io/pricing"),
    ("daytona", "RTX-PRO-6000", "0.000842", None, "2026-05-25", "daytona.io/pricing"),
    # https://modal.com/pricing, sandboxes, without a region. Modal bills the larger of what is reserved and of what is
    # used (https://modal.com/docs/guide/sandbox-resources): there is no amount unless `cpus` and `memory` limit both.
    ("modal", CPU, "0.00003942", None, "2026-10-08", "modal.com/pricing"),
    ("modal", MEMORY, "0.00000667", None, "2026-10-08", "modal.com/pricing"),
    ("modal", "T4", "0.000164", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "L4", "0.000222", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "A10", "0.000306", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "A10G", "0.000306", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "L40S", "0.000542", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "A100-40GB", "0.000583", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "A100-80GB", "0.000694", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "RTX-PRO-6000", "0.000842", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "H100", "0.001097", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "H200", "0.001261", None, "2026-07-01", "modal.com/pricing"),
    ("modal", "B200", "0.001736", None, "2026-07-01", "modal.com/pricing"),
)
"""Provider, resource, USD a second of one CPU, GiB or GPU, what a box has unless the user says, date, source.

The view `v_sandbox_rates` has them: after a change of this table append `_superseded` to `migrations.MIGRATIONS`.
"""


def create(connection: Connection) -> None:
    """Create the table of the user's rates."""
    connection.execute("""
        create table if not exists store.sandbox_rates (
            provider varchar not null, resource varchar not null, per_second decimal(24, 12) not null,
            default_amount decimal(24, 12), currency varchar not null, price_date date, source varchar not null)""")


def replace(connection: Connection, new: list[Row]) -> None:
    """Put rates in the place of the user's."""
    connection.execute("delete from store.sandbox_rates")
    marks = ", ".join("?" for _ in COLUMNS)
    if values := [[row[name] for name in COLUMNS] for row in new]:
        query = f"insert into store.sandbox_rates ({', '.join(COLUMNS)}) values ({marks})"  # noqa: S608
        connection.executemany(query, values)
