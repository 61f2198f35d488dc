"""What the params of each method must look like; the fields are those of ACP's schema that this agent reads.

A form is a type, a list of one form, an object of forms (`name?` may be absent or null), or a function that checks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from session_widgets.demo.jsonrpc import Handler, Json, RequestError

Form = Any

_TYPES = {str: "a string", int: "an integer", dict: "an object", list: "an array"}


def check(value: object, form: Form, where: str = "params") -> None:
    """Return if `value` has this form.

    Raises:
        RequestError: "Invalid params"; the details name the field.
    """
    if isinstance(form, type):
        if not isinstance(value, form) or (form is int and isinstance(value, bool)):
            raise _expected(_TYPES[form], value, where)
    elif isinstance(form, list):
        check(value, list, where)
        for index, item in enumerate(cast("list[object]", value)):
            check(item, form[0], f"{where}[{index}]")
    elif isinstance(form, dict):
        check(value, dict, where)
        _check_object(cast("Json", value), form, where)
    else:
        form(value, where)


def checked(form: Form, handler: Callable[[Json], Awaitable[Any]]) -> Handler:
    """Return a handler that checks the params before `handler` takes them."""

    async def handle(params: Json) -> Any:
        check(params, form)
        return await handler(params)

    return handle


def _check_object(value: Json, form: dict[str, Form], where: str) -> None:
    for name, inner in form.items():
        field = name.removesuffix("?")
        if field != name and value.get(field) is None:
            continue
        if field not in value:
            raise RequestError.invalid_params(f"{where}.{field} is missing")
        check(value[field], inner, f"{where}.{field}")


def _expected(what: str, value: object, where: str) -> RequestError:
    return RequestError.invalid_params(f"{where}: expected {what}, got {value!r:.80}")


def _resource(value: object, where: str) -> None:
    check(value, {"uri": str, "text?": str, "blob?": str}, where)
    if not any(isinstance(cast("Json", value).get(name), str) for name in ("text", "blob")):
        raise RequestError.invalid_params(f"{where} has neither text nor blob")


_BLOCKS: dict[str, Form] = {
    "text": {"text": str},
    "image": {"data": str, "mimeType": str},
    "audio": {"data": str, "mimeType": str},
    "resource_link": {"name": str, "uri": str},
    "resource": {"resource": _resource},
}
_STDIO = {"command": str, "args": [str], "env": [{"name": str, "value": str}]}


def _block(value: object, where: str) -> None:
    check(value, {"type": str}, where)
    kind = cast("Json", value)["type"]
    if kind not in _BLOCKS:
        raise _expected(f"one of {', '.join(_BLOCKS)}", kind, f"{where}.type")
    check(value, _BLOCKS[kind], where)


def _server(value: object, where: str) -> None:
    check(value, {"name": str, "type?": str}, where)
    if cast("Json", value).get("type") in (None, "stdio"):
        check(value, _STDIO, where)


INITIALIZE = {"protocolVersion": int, "clientCapabilities?": dict}
NEW = {"cwd": str, "mcpServers": [_server]}
LOAD = {"sessionId": str, "cwd": str, "mcpServers": [_server]}
RESUME = {"sessionId": str, "cwd": str, "mcpServers?": [_server]}
LIST = {"cwd?": str}
SESSION = {"sessionId": str}
SET_MODE = {"sessionId": str, "modeId": str}
SET_CONFIG_OPTION = {"sessionId": str, "configId": str, "value": object}
PROMPT = {"sessionId": str, "prompt": [_block]}
