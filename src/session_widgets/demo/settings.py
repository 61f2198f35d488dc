"""The options of a session: mode, model and effort."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

Choices = dict[str, tuple[str, str]]  # id -> name, description

MODES: Choices = {
    "ask": ("Ask", "Asks before it writes a file or runs a command"),
    "accept_edits": ("Accept edits", "Writes files without asking; asks before it runs a command"),
    "full_access": ("Full access", "Asks nothing"),
    "plan": ("Plan", "Only reads: refuses to write and to run"),
}
MODELS: Choices = {
    "demo-small": ("Demo small", "Answers at once; 32,000 words of context"),
    "demo-large": ("Demo large", "Thinks before it answers; 200,000 words of context"),
}
EFFORTS: Choices = {
    "low": ("Low", "No more thoughts than the model needs"),
    "high": ("High", "One more thought before the answer"),
}
CONTEXT_WORDS = {"demo-small": 32_000, "demo-large": 200_000}

_OPTIONS = (
    ("mode", "Mode", "mode", MODES),
    ("model", "Model", "model", MODELS),
    ("effort", "Effort", "thought_level", EFFORTS),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices of one session; the field names are ACP's `configId`s."""

    mode: str = "ask"
    model: str = "demo-small"
    effort: str = "low"

    def changed(self, option: str, value: object) -> Settings:
        """Return a copy with one choice changed; ValueError lists the choices."""
        choices = next((choices for id_, _, _, choices in _OPTIONS if id_ == option), None)
        if choices is None:
            raise ValueError(f"unknown option {option!r:.80}; there are {', '.join(asdict(self))}")
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{option} cannot be {value!r:.80}; choose one of {', '.join(choices)}")
        changes: dict[str, Any] = {option: value}
        return replace(self, **changes)

    @property
    def context_words(self) -> int:
        """Size of the model's context."""
        return CONTEXT_WORDS[self.model]

    @property
    def thoughts(self) -> int:
        """How many thoughts come before an answer."""
        return (self.model == "demo-large") + (self.effort == "high")

    def config_options(self) -> list[dict[str, Any]]:
        """Return ACP's `configOptions`."""
        return [
            {
                "type": "select",
                "id": id_,
                "name": name,
                "category": category,
                "currentValue": getattr(self, id_),
                "options": [
                    {"value": value, "name": label, "description": about} for value, (label, about) in choices.items()
                ],
            }
            for id_, name, category, choices in _OPTIONS
        ]

    def state(self) -> dict[str, Any]:
        """Return the part of a session/new, load or resume response that tells what can be chosen."""
        modes = [{"id": id_, "name": name, "description": about} for id_, (name, about) in MODES.items()]
        return {
            "modes": {"currentModeId": self.mode, "availableModes": modes},
            "configOptions": self.config_options(),
        }
