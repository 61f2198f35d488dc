"""The harnesses of this release. All facts were tested with the real program."""

from __future__ import annotations

from session_widgets._harnesses.entries import claude, codex, copilot, demo, gemini, opencode, pi, qwen

HARNESSES = tuple(entry.HARNESS for entry in (demo, claude, codex, opencode, pi, gemini, qwen, copilot))
