"""Codex, by its ACP adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping

from session_widgets._harnesses.entries.common import GATEWAY, OPENAI, OPENAI_DEFAULT_MODEL, PLATFORMS
from session_widgets._harnesses.harness import Harness


def settings(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """Its own sandbox would need bubblewrap: ACP permission requests replace it."""
    lines = [
        f"model = {json.dumps(model or OPENAI_DEFAULT_MODEL)}",
        "check_for_update_on_startup = false",
        'sandbox_mode = "danger-full-access"',
        'approval_policy = "untrusted"',
    ]
    if base := env.get("OPENAI_BASE_URL"):
        lines += [
            f'model_provider = "{GATEWAY}"',
            f"[model_providers.{GATEWAY}]",
            f'name = "{GATEWAY}"',
            f"base_url = {json.dumps(base)}",
            'wire_api = "responses"',
            'env_key = "OPENAI_API_KEY"',
        ]
    lines += ["[analytics]", "enabled = false"]
    lines += ["[features]", "shell_snapshot = false"]  # it would write the environment, with the key, into its state
    lines += ["[shell_environment_policy]", 'exclude = ["OPENAI_API_KEY", "CODEX_API_KEY"]']
    return {"config.toml": "\n".join(lines) + "\n"}


HARNESS = Harness(
    id="codex",
    title="Codex",
    description="OpenAI's coding agent, through its ACP adapter.",
    command=("{modules}/{native}/bin/codex-acp",),
    env={"CODEX_HOME": "{state}", "PATH": "{path}"},
    keys=("OPENAI_API_KEY", "CODEX_API_KEY"),
    env_passthrough=("OPENAI_BASE_URL",),
    hosts={"OPENAI_API_KEY": OPENAI, "CODEX_API_KEY": OPENAI},
    base_url="OPENAI_BASE_URL",
    install="install_harness('codex')",
    version="0.16.0",
    resumes="resume",
    platform_packages={platform: f"@zed-industries/codex-acp-{platform}" for platform in PLATFORMS},
    installs=True,
    settings=settings,
    memory_file="sessions/{day}/rollout-{time}-{id}.jsonl",
    memory_format="codex",
    restart_after_cancel=True,  # otherwise a cancelled command keeps running in it
)
