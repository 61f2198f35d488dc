"""An agent's options: mode, model and effort, with the agent's own ids. Pure; the agent's values may be anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from session_widgets.errors import BadValue
from session_widgets.printing import one_line
from session_widgets.transcript.envelopes import as_object, as_objects, as_text, is_of_subagent, update_of
from session_widgets.transcript.notes import AgentStarted, SessionChanged, read_note
from session_widgets.transcript.records import Event, Json

Setting = Literal["mode", "model", "effort"]
SETTINGS: tuple[Setting, ...] = ("mode", "model", "effort")
_CATEGORIES = {"mode": "mode", "model": "model", "effort": "thought_level"}
_LEVELS = frozenset(("off", "none", "minimal", "low", "medium", "high", "xhigh", "max"))
"""An agent whose modes are only these means its effort."""
COMMANDS = 500
NAME_LIMIT = 100
ABOUT_LIMIT = 500
"""Limits of the commands kept: their number, and the characters of each part."""
_ANSWERS = ("session/set_config_option", "session/new", "session/load", "session/resume")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the agent: a prompt that begins with "/" and its name.

    Attributes:
        name: without the "/".
        description: one sentence, or empty.
        hint: description of its input; None for a command without input.
    """

    name: str
    description: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of an agent.

    Attributes:
        id: value for `set_mode`, `set_model` or `set_effort`.
        name: the agent's label.
        description: one sentence, or empty.
        current: whether the agent uses it now.
    """

    id: str
    name: str
    description: str
    current: bool


class AgentOptions:
    """The options of one agent, updated by its events.

    Agents send them as `configOptions` and, older, as `modes` and `models`: the newer form takes precedence.

    Args:
        config: ACP's `configOptions`.
        modes: ACP's `modes`.
        models: the `models` of agents without `configOptions`.
        commands: ACP's `availableCommands`.

    Attributes:
        started: whether the session's agent was ever started, so that its options are known.
    """

    def __init__(self, config: object = (), modes: object = None, models: object = None, commands: object = ()) -> None:
        self.config: tuple[Json, ...] = as_objects(config)
        self.modes: Json = as_object(modes)
        self.models: Json = as_object(models)
        self.commands_said: tuple[Json, ...] = as_objects(commands)[:COMMANDS]
        self.started = bool(self.config or self.modes or self.models)
        self._session_id: str | None = None
        self._asked: dict[str, tuple[str, Json]] = {}

    def copy(self) -> AgentOptions:
        """Return an independent copy."""
        return AgentOptions(self.config, self.modes, self.models, self.commands_said)

    @classmethod
    def of(cls, events: Sequence[Event]) -> AgentOptions:
        """Return an agent's options according to a session's events."""
        offers = cls()
        for event in events:
            offers.feed(event)
        return offers

    def feed(self, event: Event) -> bool:
        """Apply an event of the session; False if it does not concern options."""
        said = event.payload
        if event.direction == "note":
            match read_note(event.kind, said):
                case AgentStarted() as note:
                    self.config, self.modes, self.models = tuple(note.config), note.modes, note.models
                    self.commands_said, self.started = tuple(note.commands[:COMMANDS]), True
                    self._session_id = note.agent_session_id
                    return True
                case SessionChanged(harness=str()):
                    self.config, self.modes, self.models, self.commands_said, self.started = (), {}, {}, (), False
                    return True
        elif event.direction == "out" and event.method in {"session/set_mode", "session/set_model"}:
            self._asked[str(said.get("id"))] = (event.method, as_object(said.get("params")))
        elif event.kind in {"current_mode_update", "config_option_update", "available_commands_update"}:
            of_subagent = event.turn is not None and is_of_subagent(said, self._session_id)
            return not of_subagent and self.apply_update(update_of(said))
        elif event.kind == "response" and event.method in _ANSWERS:
            return self.apply(as_object(said.get("result")))
        elif event.kind == "response" and (asked := self._asked.pop(str(said.get("id")), None)):
            return self.apply_set(*asked)
        return False

    def apply(self, told: Json) -> bool:
        """Apply the response to a set-up request, or an update with new options."""
        config, modes, models = (told.get(name) for name in ("configOptions", "modes", "models"))
        self.config = as_objects(config) or self.config
        self.modes = as_object(modes) or self.modes
        self.models = as_object(models) or self.models
        if config and not modes and (mode := self.current("mode")) is not None and self.modes:
            self.modes = {**self.modes, "currentModeId": mode}
        return bool(config or modes or models)

    def apply_update(self, update: Json) -> bool:
        """Apply a change that the agent made itself, or repeats after a request."""
        if update.get("sessionUpdate") == "current_mode_update":
            return self.apply_set("session/set_mode", {"modeId": update.get("currentModeId")})
        if update.get("sessionUpdate") == "available_commands_update":
            self.commands_said = as_objects(update.get("availableCommands"))[:COMMANDS]
            return True
        return update.get("sessionUpdate") == "config_option_update" and self.apply(update)

    @property
    def commands(self) -> tuple[Command, ...]:
        """The agent's slash commands, in the agent's order."""
        found: dict[str, Command] = {}
        for said in self.commands_said:
            name = one_line(as_text(said.get("name")) or "", NAME_LIMIT).lstrip("/")
            if name and " " not in name:
                hint = as_text(as_object(said.get("input")).get("hint"))
                about = one_line(as_text(said.get("description")) or "", ABOUT_LIMIT)
                found.setdefault(name, Command(name, about, None if hint is None else one_line(hint, ABOUT_LIMIT)))
        return tuple(found.values())

    def apply_set(self, method: str, params: Json) -> bool:
        """Apply a setting of `request` after the agent's response."""
        if method == "session/set_mode" and (mode := as_text(params.get("modeId"))):
            self.modes = {**self.modes, "currentModeId": mode}
            self.config = tuple(
                {**option, "currentValue": mode} if _is(option, "mode") and mode in _ids(_values(option)) else option
                for option in self.config
            )
            return True
        if method == "session/set_model" and (model := as_text(params.get("modelId"))):
            self.models = {**self.models, "currentModelId": model}
            return True
        return False

    def current(self, name: Setting) -> str | None:
        """Return the agent's current value; None if unknown."""
        option = self._option(name)
        if option is not None:
            return as_text(option.get("currentValue"))
        kind = self._kind(name)
        said = {"mode": self.modes, "model": self.models}.get(kind, {})
        return as_text(said.get(f"current{kind.capitalize()}Id"))

    def choices(self, name: Setting) -> tuple[Choice, ...]:
        """Return the choices, in the agent's order; empty without a choice."""
        current = self.current(name)
        found: dict[str, Choice] = {}
        for id_, said in self._offered(name):
            label, about = as_text(said.get("name")) or id_, as_text(said.get("description")) or ""
            found.setdefault(id_, Choice(id_, label, about, id_ == current))
        return tuple(found.values())

    def offers(self, name: Setting, value: str) -> bool:
        """Whether the agent offers `value`."""
        return value in _ids(self._offered(name))

    def check(self, name: Setting, value: str) -> None:
        """Raise `BadValue` unless the agent offers `value`."""
        known = _ids(self._offered(name))
        if not known:
            raise BadValue(f"this agent has no setting for {name}; leave it out. Got {value!r:.80}.")
        if value not in known:
            raise BadValue(f"{name} must be one of {', '.join(map(repr, known))} for this agent; got {value!r:.80}.")

    def request(self, name: Setting, value: str) -> tuple[str, dict[str, Any]] | None:
        """Return method and parameters, without the session's id, to set it; None if it is set already.

        Raises:
            BadValue: the agent does not have this setting, or this value.
        """
        if self.current(name) == value:
            return None
        self.check(name, value)
        option = self._option(name)
        if option is not None:
            return "session/set_config_option", {"configId": option.get("id"), "value": value}
        kind = self._kind(name)
        return f"session/set_{kind}", {f"{kind}Id": value}

    def _kind(self, name: Setting) -> str:
        """Return the agent's name for a setting in the older form; None if it has none."""
        levels = _ids(_named(self.modes.get("availableModes"), "id"))
        if name == "model" or not levels or not _LEVELS.issuperset(levels):
            return name
        return "mode" if name == "effort" else ""

    def _option(self, name: Setting) -> Json | None:
        return next((option for option in self.config if _is(option, name)), None)

    def _offered(self, name: Setting) -> list[tuple[str, Json]]:
        option = self._option(name)
        if option is not None:
            return list(_values(option))
        kind = self._kind(name)
        if kind == "mode":
            return list(_named(self.modes.get("availableModes"), "id"))
        return list(_named(self.models.get("availableModels"), "modelId")) if kind == "model" else []


def _is(option: Json, name: Setting) -> bool:
    return option.get("category") == _CATEGORIES[name] and isinstance(option.get("options"), list | tuple)


def _values(option: Json) -> Iterator[tuple[str, Json]]:
    """Yield the values of a select option; groups are flattened."""
    for choice in as_objects(option.get("options")):
        group = choice.get("options")
        yield from _named(group if isinstance(group, list) else [choice], "value")


def _named(said: object, key: str) -> Iterator[tuple[str, Json]]:
    for choice in as_objects(said):
        if id_ := as_text(choice.get(key)):
            yield id_, choice


def _ids(offered: Iterator[tuple[str, Json]] | list[tuple[str, Json]]) -> list[str]:
    return [id_ for id_, _ in offered]
