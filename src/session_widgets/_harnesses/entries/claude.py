"""Claude Code, by its ACP adapter."""

from __future__ import annotations

from session_widgets._harnesses.entries.common import ANTHROPIC, COMPILED
from session_widgets._harnesses.harness import Harness

HARNESS = Harness(
    id="claude",
    title="Claude Code",
    description="Anthropic's coding agent, through its ACP adapter.",
    command=("{node}", "{modules}/@zed-industries/claude-agent-acp/dist/index.js"),
    env={
        "CLAUDE_CONFIG_DIR": "{state}",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",  # its adapter does not show such an answer
        "DISABLE_AUTOUPDATER": "1",
        "PATH": "{path}",
        **COMPILED,
    },
    keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    env_passthrough=("ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "CLAUDE_CODE_MAX_RETRIES"),
    hosts=dict.fromkeys(("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"), ANTHROPIC),
    base_url="ANTHROPIC_BASE_URL",
    install="install_harness('claude')",
    version="0.23.1",
    resumes="resume",
    node=20,
    installs=True,
    skills=".claude/skills",
    memory_file="projects/{folder}/{id}.jsonl",
    memory_format="claude-code",
    restart_after_cancel=True,  # otherwise it answers each later prompt one turn late
)
