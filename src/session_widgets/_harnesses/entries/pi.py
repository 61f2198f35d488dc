"""Pi, by its ACP adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping

from session_widgets._harnesses.entries.common import GATEWAY, MODALITIES, OPENAI_DEFAULT_MODEL, PROVIDERS
from session_widgets._harnesses.harness import Harness


def settings(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """If the program retries by itself, its adapter ends the turn meanwhile and reports the outcome in a later one."""
    settings: dict[str, object] = {"quietStartup": True, "defaultProjectTrust": "trusted", "retry": {"enabled": False}}
    provider, _, name = (model or "").rpartition("/")
    files = {}
    if base := env.get("OPENAI_BASE_URL"):
        provider, name = GATEWAY, name or OPENAI_DEFAULT_MODEL
        offered = {"id": name, "name": name, "reasoning": False, "input": MODALITIES["input"], "contextWindow": 128_000}
        offered |= {"maxTokens": 8_192, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}
        served = {"baseUrl": base, "api": "openai-completions", "apiKey": "OPENAI_API_KEY", "models": [offered]}
        files["agent/models.json"] = json.dumps({"providers": {GATEWAY: served}}, indent=1)
    if name:
        settings |= {"defaultModel": name} | ({"defaultProvider": provider} if provider else {})
    return {"agent/settings.json": json.dumps(settings, indent=1), **files}


HARNESS = Harness(
    id="pi",
    title="Pi",
    description="A small agent for many model providers, through its ACP adapter. It never requests permission.",
    command=("{node}", "{modules}/pi-acp/dist/index.js"),
    env={
        "PI_CODING_AGENT_DIR": "{state}/agent",
        "PI_OFFLINE": "1",
        "PI_SKIP_VERSION_CHECK": "1",
        "PI_TELEMETRY": "0",
        "HOME": "{state}/home",
        "PI_ACP_PI_COMMAND": "{modules}/.bin/pi",  # on PATH its adapter would start it once more, for its version
        "PATH": "{path}",
    },
    keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"),
    env_passthrough=("OPENAI_BASE_URL",),
    hosts=PROVIDERS,
    base_url="OPENAI_BASE_URL",
    install="install_harness('pi')",
    version="0.0.24",
    resumes="load",
    node=20,
    installs=True,
    settings=settings,
    portable=False,  # its adapter creates an empty session at the old path
    supports_mcp=False,
)
