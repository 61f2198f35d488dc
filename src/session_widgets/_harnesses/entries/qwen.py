"""Qwen Code, which speaks ACP itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from session_widgets._harnesses.entries.common import COMPILED, OPENAI
from session_widgets._harnesses.harness import Harness


def settings(env: Mapping[str, str], model: str | None) -> dict[str, str]:
    """Every edit and command requests permission, and the model is not asked for memories, skills and suggestions."""
    settings: dict[str, object] = {
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "openai"}},
        "tools": {"approvalMode": "default"},
        "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False, "enableAutoSkill": False},
        "ui": {"enableFollowupSuggestions": False},
    }
    if model:
        settings["model"] = {"name": model}
    return {"settings.json": json.dumps(settings, indent=1)}


HARNESS = Harness(
    id="qwen",
    title="Qwen Code",
    description="Alibaba's coding agent, for models behind OpenAI's API; it speaks ACP itself.",
    command=("{node}", "{modules}/@qwen-code/qwen-code/cli.js", "--acp"),
    env={"QWEN_HOME": "{state}", "QWEN_CODE_NO_RELAUNCH": "true", "PATH": "{path}", **COMPILED},
    keys=("OPENAI_API_KEY",),
    env_passthrough=("OPENAI_BASE_URL", "OPENAI_MODEL"),
    hosts={"OPENAI_API_KEY": OPENAI},
    base_url="OPENAI_BASE_URL",
    install="install_harness('qwen')",
    version="0.24.4",
    resumes="resume",
    node=22,
    installs=True,
    settings=settings,
)
