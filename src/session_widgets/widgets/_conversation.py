"""The operations of the chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from session_widgets.errors import BadValue
from session_widgets.transcript.records import Step
from session_widgets.widgets._parts import answer_image, answer_text
from session_widgets.widgets._rpc import Answer, Buffers, Operation
from session_widgets.widgets._stream import Stream
from session_widgets.widgets._wire import handover_view

if TYPE_CHECKING:
    from session_widgets._sessions import Session

_MOST_HITS = 2_000
_MAX_PROMPT = 1024 * 1024


class Conversation:
    """The operations of the chat over one session."""

    def __init__(self, session: Session, stream: Stream) -> None:
        self._session = session
        self._stream = stream

    def operations(self) -> dict[str, Operation]:
        """Return the page's operations, by name."""
        return {
            "start": self._start,
            "cancel": self._cancel,
            "answer": self._answer,
            "question": self._question,
            "choose": self._choose,
            "install": self._install,
            "range": self._range,
            "find": self._find,
            "text": lambda args, _: answer_text(self._step(args), args),
            "image": lambda args, _: answer_image(self._step(args), args),
            "handover": self._handover,
        }

    def _start(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        prompt = args.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise BadValue("a prompt must be text that is not empty")
        if len(prompt) > _MAX_PROMPT:
            raise BadValue(f"a prompt may have {_MAX_PROMPT:,} characters; got {len(prompt):,}. Put it in a file.")
        key = args.get("key")
        turn = self._session.start(prompt, idempotency_key=key if isinstance(key, str) else None)
        return Answer({"turn": turn.index})

    def _cancel(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        self._session.cancel()
        return Answer()

    def _answer(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        request = next((r for r in self._session.pending if r.id == args.get("request")), None)
        if request is None:
            return Answer({"taken": False})
        return Answer({"taken": request.choose(str(args.get("option")))})

    def _question(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        """Answer a question of the agent: `action` is "accept" with `content`, "decline" or "cancel"."""
        asked = next((one for one in self._session.questions if one.id == args.get("request")), None)
        action = args.get("action")
        if action not in {"accept", "decline", "cancel"}:
            raise BadValue(f"a question is accepted, declined or cancelled; got {action!r:.40}")
        if asked is None:
            return Answer({"taken": False})
        if action == "accept":
            content = args.get("content")
            return Answer({"taken": asked.accept(content if isinstance(content, Mapping) else None)})
        return Answer({"taken": asked.decline() if action == "decline" else asked.cancel()})

    def _choose(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        if args.get("name") == "permissions":
            self._session.set_permissions(args.get("value"))  # type: ignore[arg-type]  # which it checks
            return Answer()
        setters = {"mode": self._session.set_mode, "model": self._session.set_model, "effort": self._session.set_effort}
        name, value = args.get("name"), args.get("value")
        if not isinstance(name, str) or name not in setters or not isinstance(value, str):
            raise BadValue(f"there is no setting {name!r:.40} for {value!r:.80}")
        setters[name](value)
        return Answer()

    def _install(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        self._session.control.install()
        self._stream.look_again()
        return Answer()

    def _range(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        (turn, index), (last_turn, last_index) = args["first"], args["last"]
        return Answer(self._stream.between((int(turn), int(index)), (int(last_turn), int(last_index))))

    def _find(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        """Return the steps with a text, oldest first, and whether these are all."""
        hits = self._session.store.search(str(args["text"]), session=self._session.id, limit=_MOST_HITS)
        return Answer({"steps": sorted((hit.turn, hit.step) for hit in hits), "complete": hits.complete})

    def _step(self, args: Mapping[str, Any]) -> Step:
        return self._stream.step(int(args["turn"]), int(args["index"]))

    def _handover(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        index = int(args["turn"])
        turn = next((turn for turn in self._session.turns if turn.index == index), None)
        told = turn.handed_over if turn else None
        if told is None:
            raise BadValue(f"nothing was handed over in turn {index}")
        return Answer(handover_view(told))
