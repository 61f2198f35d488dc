"""Scripts for prompts in plain words, from the JSON file `DEMO_ANSWERS`: `{"how a prompt begins": ["line", ...]}`."""

from __future__ import annotations

import json
import os
from pathlib import Path

VARIABLE = "DEMO_ANSWERS"


def script_for(prompt: str) -> str:
    """Return the script for a prompt; the prompt itself where there is none.

    Raises:
        ValueError: the file is not of that form.
    """
    path = os.environ.get(VARIABLE)
    known = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    if not isinstance(known, dict):
        raise ValueError(f'{VARIABLE}: expected {{"how a prompt begins": ["line", ...]}}, got {type(known).__name__}')
    return next(("\n".join(lines) for beginning, lines in known.items() if prompt.startswith(beginning)), prompt)
