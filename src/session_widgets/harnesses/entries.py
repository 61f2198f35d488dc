"""The harnesses of this release. Facts, each tried with the real program."""

from __future__ import annotations

import json
from collections.abc import Mapping

from session_widgets.harnesses.harness import Harness
from session_widgets.version import __version__

OPENAI_DEFAULT_MODEL = "gpt-5.2-codex"
PLATFORMS = (("linux", "x64"), ("linux", "arm64"), ("darwin", "x64"), ("darwin", "arm64"))
GATEWAY = "gateway"
"""Name of the model provider that OPENAI_BASE_URL stands for, where it is set."""
MODALITIES = {"input": ["text", "image"], "output": ["text"]}
"""Of a model behind it, which nobody knows: without this an image in a prompt would be dropped without a word."""


def _codex(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """Its own sandbox would need bubblewrap: what it may do is asked for instead, by ACP."""
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
    lines += ["[features]", "shell_snapshot = false"]  # it writes the environment, with the key, into its state
    lines += ["[shell_environment_policy]", 'exclude = ["OPENAI_API_KEY", "CODEX_API_KEY"]']
    return {"config.toml": "\n".join(lines) + "\n"}


def _opencode(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """Every edit and command is asked for: what is allowed is this session's policy, not the program's."""
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
    return {"config/opencode/opencode.json": json.dumps(settings, indent=1)}


def _pi(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """Its adapter ends the turn when the program tries again by itself, and tells the outcome in a later one."""
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


HARNESSES = (
    Harness(
        id="demo",
        title="Demo",
        description="A real ACP agent without a model: it follows a small script, or looks around and takes notes.",
        command=("{python}", "-P", "-m", "session_widgets.harnesses.demo"),  # -P: workspace files are no modules
        env={"DEMO_STATE_DIR": "{state}"},
        install="comes with session-widgets",
        version=__version__,
        resumes="resume",
    ),
    Harness(
        id="claude",
        title="Claude Code",
        description="Anthropic's coding agent, through its ACP adapter.",
        command=("{node}", "{modules}/@zed-industries/claude-agent-acp/dist/index.js"),
        env={
            "CLAUDE_CONFIG_DIR": "{state}",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",  # its adapter shows none of what that brings
            "DISABLE_AUTOUPDATER": "1",
            "PATH": "{path}",
        },
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        passes=("ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "CLAUDE_CODE_MAX_RETRIES"),
        install="install_harness('claude')",
        version="0.23.1",
        resumes="resume",
        node=20,
        installs=True,
        restart_after_cancel=True,  # it would answer each later prompt one turn late
    ),
    Harness(
        id="codex",
        title="Codex",
        description="OpenAI's coding agent, through its ACP adapter.",
        command=("{modules}/{native}/bin/codex-acp",),
        env={"CODEX_HOME": "{state}", "PATH": "{path}"},
        keys=("OPENAI_API_KEY", "CODEX_API_KEY"),
        passes=("OPENAI_BASE_URL",),
        install="install_harness('codex')",
        version="0.16.0",
        resumes="resume",
        natives={f"{system}-{cpu}": f"@zed-industries/codex-acp-{system}-{cpu}" for system, cpu in PLATFORMS},
        installs=True,
        settings=_codex,
        restart_after_cancel=True,  # a cancelled command goes on running in it
    ),
    Harness(
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
        passes=("OPENAI_BASE_URL",),
        install="install_harness('opencode')",
        version="1.18.33",
        resumes="resume",
        natives={"linux-x64": "opencode-linux-x64-baseline"},
        installs=True,
        settings=_opencode,
        portable=False,  # it loads, and then fails each prompt because the old path is not there
    ),
    Harness(
        id="pi",
        title="Pi",
        description="A small agent for many model providers, through its ACP adapter. It never asks for permission.",
        command=("{node}", "{modules}/pi-acp/dist/index.js"),
        env={
            "PI_CODING_AGENT_DIR": "{state}/agent",
            "PI_OFFLINE": "1",
            "PI_SKIP_VERSION_CHECK": "1",
            "PI_TELEMETRY": "0",
            "HOME": "{state}/home",
            "PATH": "{modules}/.bin:{path}",
        },
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"),
        passes=("OPENAI_BASE_URL",),
        install="install_harness('pi')",
        version="0.0.24",
        resumes="load",
        node=20,
        installs=True,
        settings=_pi,
        portable=False,  # its adapter makes an empty session at the old path
        servers=False,
    ),
)
