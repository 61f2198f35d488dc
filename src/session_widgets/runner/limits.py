"""Every limit of a runner; errors name the one to raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; the config file names them in camelCase (`maxAgents`).

    Attributes:
        max_requests: requests open at once, streams included; bounds open files too.
        max_connections: TCP connections at once, at most half of the files that the process may open.
        max_agents: agent processes running at once.
        max_envelope_bytes: one JSON-RPC message from a client.
        max_line_bytes: one line of an agent's stdout.
        max_agent_requests: open requests of one agent to the client.
        max_silence_ms: after this silence an agent that owes an answer no longer delays the runner's idle exit.
        max_stderr_bytes: tail of an agent's stderr that is kept.
        max_journal_bytes: unacknowledged journal of one connection on disk.
        max_file_bytes: body of one file write or tar upload.
        max_entries: entries of one listing.
        max_snapshot_files: files of a snapshot or a watch.
        max_snapshots: snapshots kept; the oldest is deleted first.
        max_watches: directories watched at once.
        max_concurrent_processes: commands running at once, `run` included.
        max_exited_processes: finished processes whose logs are kept; the oldest is deleted first.
        max_log_bytes_per_process: output kept of one spawned process; the oldest is dropped first.
        max_input_bytes_per_request: stdin in one request or terminal frame.
        max_output_bytes: default of `maxOutputBytes` of `run`, for each of stdout and stderr.
        default_run_timeout_ms: default of `timeoutMs` of `run`.
        max_run_timeout_ms: upper bound of `timeoutMs` of `run`; 0 = none.
    """

    max_requests: int = 512
    max_connections: int = 1024
    max_agents: int = 16
    max_envelope_bytes: int = 64 * MIB
    max_line_bytes: int = 64 * MIB
    max_agent_requests: int = 1024
    max_silence_ms: int = 24 * 60 * 60 * 1000
    max_stderr_bytes: int = 16 << 10
    max_journal_bytes: int = 4096 * MIB
    max_file_bytes: int = 4096 * MIB
    max_entries: int = 100_000
    max_snapshot_files: int = 100_000
    max_snapshots: int = 64
    max_watches: int = 32
    max_concurrent_processes: int = 64
    max_exited_processes: int = 128
    max_log_bytes_per_process: int = 10 * MIB
    max_input_bytes_per_request: int = 64 << 10
    max_output_bytes: int = MIB
    default_run_timeout_ms: int = 30_000
    max_run_timeout_ms: int = 300_000

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Limits:
        """Read camelCase names; raise `ValueError` for an unknown name or a value that is not a count."""
        known = {camel(field.name): field.name for field in fields(cls)}
        for name, number in value.items():
            if name not in known:
                raise ValueError(f"unknown limit {name!r}; known are {', '.join(sorted(known))}")
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise ValueError(f"limit {name} must be a whole number from 0, got {number!r}")
        return cls(**{known[name]: number for name, number in value.items()})


def camel(name: str) -> str:
    """Return the JSON spelling of a Python name."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
