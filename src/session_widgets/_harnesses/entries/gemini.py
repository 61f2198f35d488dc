"""Gemini CLI, which speaks ACP itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from session_widgets._harnesses.entries.common import COMPILED, GEMINI
from session_widgets._harnesses.harness import Harness


def settings(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """The workspace is trusted: ACP permission requests cover its files."""
    settings: dict[str, object] = {
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    }
    if model:
        settings["model"] = {"name": model}
    return {".gemini/settings.json": json.dumps(settings, indent=1)}


HARNESS = Harness(
    id="gemini",
    title="Gemini CLI",
    description="Google's coding agent; it speaks ACP itself.",
    command=("{node}", "{modules}/@google/gemini-cli/bundle/gemini.js", "--acp"),
    env={
        "GEMINI_CLI_HOME": "{state}",
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_TELEMETRY_ENABLED": "false",
        "PATH": "{path}",
        **COMPILED,
    },
    keys=("GEMINI_API_KEY",),
    env_passthrough=("GOOGLE_GEMINI_BASE_URL",),
    hosts={"GEMINI_API_KEY": GEMINI},
    base_url="GOOGLE_GEMINI_BASE_URL",
    install="install_harness('gemini')",
    version="0.61.0",
    resumes="load",  # but not in the clock minute of its session's start: a new one overwrites it
    node=20,
    installs=True,
    settings=settings,
)
