"""GitHub Copilot CLI, which speaks ACP itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from session_widgets._harnesses.entries.common import PLATFORMS
from session_widgets._harnesses.harness import Harness
from session_widgets.errors import BadValue


def settings(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """With a custom provider it takes the model only from the environment."""
    named = env.get("COPILOT_MODEL")
    if model and model != named and (named or env.get("COPILOT_PROVIDER_BASE_URL")):
        raise BadValue(f"Copilot takes the model of its environment: set os.environ['COPILOT_MODEL'] = {model!r:.120}.")
    settings: dict[str, object] = {"autoUpdate": False, "memory": False}
    if model:
        settings["model"] = model
    return {"settings.json": json.dumps(settings, indent=1)}


HARNESS = Harness(
    id="copilot",
    title="GitHub Copilot",
    description="GitHub's coding agent; it speaks ACP itself.",
    command=("{modules}/{native}/copilot", "--acp"),
    env={
        "COPILOT_HOME": "{state}",
        "XDG_CACHE_HOME": "{cache}",  # it unpacks itself there
        "COPILOT_AUTO_UPDATE": "false",
        "PATH": "{path}",
    },
    keys=("COPILOT_GITHUB_TOKEN", "COPILOT_PROVIDER_API_KEY"),
    env_passthrough=(
        "COPILOT_MODEL",
        "COPILOT_OFFLINE",
        "COPILOT_PROVIDER_BASE_URL",
        "COPILOT_PROVIDER_TYPE",
        "COPILOT_PROVIDER_WIRE_API",
    ),
    hosts={"COPILOT_GITHUB_TOKEN": ("api.github.com", "*.githubcopilot.com")},
    base_url="COPILOT_PROVIDER_BASE_URL",
    install="install_harness('copilot')",
    version="1.0.102",
    resumes="load",
    platform_packages={platform: f"@github/copilot-{platform}" for platform in PLATFORMS},
    installs=True,
    settings=settings,
    reads_resources=False,  # it writes them to files and shows only the names
    supports_mcp=False,  # it supports only HTTP servers
)
