"""OpenCode, which speaks ACP itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from session_widgets._harnesses.entries.common import GATEWAY, MODALITIES, OPENAI_DEFAULT_MODEL, PROVIDERS
from session_widgets._harnesses.harness import Harness

INSTALLED = {"packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}}
LOCKS = {"package-lock.json": INSTALLED, "node_modules/.package-lock.json": INSTALLED}
"""Without them it downloads 16 MB at each start: a package for plugins in its settings folder, where there are none."""


def settings(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """Every edit and command requests permission: the session's policy decides, not the program's."""
    settings: dict[str, object] = {
        "autoupdate": False,
        "share": "disabled",
        "permission": {"edit": "ask", "bash": "ask", "webfetch": "ask"},
    }
    if base := env.get("OPENAI_BASE_URL"):
        name = (model or OPENAI_DEFAULT_MODEL).rpartition("/")[2]
        settings["model"] = settings["small_model"] = f"{GATEWAY}/{name}"
        settings["provider"] = {
            GATEWAY: {
                "npm": "@ai-sdk/openai-compatible",
                "name": GATEWAY,
                "options": {"baseURL": base, "apiKey": "{env:OPENAI_API_KEY}"},
                "models": {name: {"name": name, "tool_call": True, "attachment": True, "modalities": MODALITIES}},
            }
        }
    elif model:
        settings["model"] = model
    files = {"opencode.json": settings, **LOCKS}
    return {f"config/opencode/{name}": json.dumps(content, indent=1) for name, content in files.items()}


HARNESS = Harness(
    id="opencode",
    title="OpenCode",
    description="The open coding agent for many model providers; it speaks ACP itself.",
    command=("{modules}/{native}/bin/opencode", "acp"),
    env={
        "XDG_DATA_HOME": "{state}/data",
        "XDG_CONFIG_HOME": "{state}/config",
        "XDG_STATE_HOME": "{state}/state",
        "XDG_CACHE_HOME": "{cache}",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "PATH": "{path}",
    },
    keys=("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"),
    env_passthrough=("OPENAI_BASE_URL", "OPENCODE_MODELS_PATH"),
    hosts=PROVIDERS,
    base_url="OPENAI_BASE_URL",
    install="install_harness('opencode')",
    version="1.18.33",
    resumes="resume",
    platform_packages={"linux-x64": "opencode-linux-x64-baseline"},
    installs=True,
    settings=settings,
    portable=False,  # it loads, and then fails each prompt because the old path is missing
)
