"""The complete parts of a step: its texts, its command, the rest of its input, and the blocks of its content."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from session_widgets.errors import BadValue
from session_widgets.transcript.envelopes import as_object
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import beside, command_of, places, words
from session_widgets.widgets._rpc import Answer
from session_widgets.widgets._text import safe

_TEXT_CHUNK = 256 * 1024
_UID = re.compile(r"(?:[^/]+/)?(\d{1,9})/(\d{1,9})")


def step_key(uid: str) -> tuple[int, int] | None:
    """Return turn and index of a step named "parser/2/14" or "2/14"; None for another name, as imports have them."""
    found = _UID.fullmatch(uid)
    return (int(found[1]), int(found[2])) if found else None


_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def answer_text(step: Step, args: Mapping[str, Any]) -> Answer:
    """Answer the operation `text`: the text of `part` from the character `offset` on, at most 256 K characters."""
    whole = step_text(step, str(args["part"]))
    offset = max(0, int(args["offset"]))
    return Answer({"text": safe(whole[offset : offset + _TEXT_CHUNK]), "offset": offset, "length": len(whole)})


def answer_image(step: Step, args: Mapping[str, Any]) -> Answer:
    """Answer the operation `image`: the bytes of the image that is `block` of a step."""
    return Answer(None, (step_image(step, int(args["block"])),))


def step_text(step: Step, part: str) -> str:
    """Return the whole text of one part of a step.

    Args:
        step: the step.
        part: "body", "command", "input", "locations", "blocks.2", "blocks.2.old" or "blocks.2.new".
    """
    if part == "body":
        return step.text or ""
    if part == "command":
        return command_of(step.raw_input) or ""
    if part == "input":
        return input_text(step)
    if part == "locations":
        return locations(step)
    name, _, rest = part.partition(".")
    number, _, side = rest.partition(".")
    found = blocks(step)
    if name != "blocks" or not number.isdigit() or int(number) >= len(found):
        raise BadValue(f"this step has no part {part!r:.40}")
    block = found[int(number)]
    text = block.get({"": "text", "old": "old", "new": "new"}.get(side, ""))
    if not isinstance(text, str):
        raise BadValue(f"part {part!r:.40} of this step is not text")
    return text


def step_image(step: Step, number: int) -> bytes:
    """Return the bytes of the image that is block `number` of a step."""
    found = blocks(step)
    if not 0 <= number < len(found) or found[number]["type"] != "image":
        raise BadValue(f"this step has no image {number}")
    return base64.b64decode(found[number]["data"])


def blocks(step: Step) -> list[dict[str, Any]]:
    """Read ACP's tool call content; without content, use the raw output."""
    said = _sayings(step.raw_input)
    found = [block for item in step.content if not _repeats(block := _block(item), said)]
    if any(block["type"] in ("text", "diff", "image") for block in found):
        return found
    output = _output_text(step.raw_output)
    return [*found, {"type": "text", "text": output}] if output else found


def _sayings(raw_input: object) -> set[str]:
    """The command in the form that agents repeat in their content."""
    command = command_of(raw_input)
    if command is None:
        return set()
    words_of_it = as_object(raw_input)["command"]
    spoken = {command, " ".join(words_of_it) if isinstance(words_of_it, list) else command}
    return spoken | {f"$ {one}" for one in spoken}


def _repeats(block: Mapping[str, Any], said: set[str]) -> bool:
    """Whether a block only repeats the command, which is shown anyway."""
    return block["type"] == "text" and block["text"].strip() in said


def _block(item: Mapping[str, Any]) -> dict[str, Any]:
    kind = item.get("type")
    if kind == "diff":
        old = item.get("oldText")
        return {
            "type": "diff",
            "path": words(item.get("path", "")),
            "old": None if old is None else words(old),
            "new": words(item.get("newText") or ""),
        }
    if kind == "terminal":
        return {"type": "note", "label": f"Terminal {words(item.get('terminalId', ''))}"}
    content = as_object(item.get("content")) if kind == "content" else item
    match content.get("type"):
        case "text":
            return {"type": "text", "text": words(content.get("text") or "")}
        case "image" if content.get("mimeType") in _IMAGES and isinstance(content.get("data"), str):
            return {"type": "image", "mime": content["mimeType"], "data": content["data"]}
        case "resource_link":
            label = content.get("title") or content.get("name") or content.get("uri") or "link"
            return {"type": "note", "label": words(label)}
        case "resource" if isinstance(content.get("resource"), Mapping):
            resource = content["resource"]
            if isinstance(resource.get("text"), str):
                return {"type": "text", "text": resource["text"]}
            return {"type": "note", "label": words(resource.get("uri", "resource"))}
        case other:
            return {"type": "note", "label": f"Content of type {words(other or 'unknown')}"}


def input_text(step: Step) -> str:
    """Return the input without the command and the diff."""
    return _raw_text(beside(step.raw_input, step.content))


def locations(step: Step) -> str:
    """Return the files of a tool call, one a line."""
    return "\n".join(places(step.locations))


def _output_text(raw_output: Any) -> str:
    if isinstance(raw_output, Mapping):
        for key in ("formatted_output", "output", "stdout", "text", "content"):
            if isinstance(raw_output.get(key), str):
                return str(raw_output[key])
    return _raw_text(raw_output)


def _raw_text(value: object) -> str:
    return "" if value is None or value == {} else words(value)
