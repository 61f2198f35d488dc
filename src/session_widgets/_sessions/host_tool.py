"""A notebook function as a tool for agents: its description, and a call of it."""

from __future__ import annotations

import asyncio
import inspect
import math
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

import orjson

from session_widgets.errors import BadValue, MissingDependency
from session_widgets.transcript.records import Json

SECONDS = 60
MAX_RUNNING = 32
"""Functions that run at once, for one session; one that never ends counts for ever."""
ARGUMENT_BYTES = 1 << 20
ARGUMENT_VALUES = 20_000
ARGUMENT_DEPTH = 220
"""Limits of the arguments of one call, as JSON: validating a wrong value costs a hundred times its size."""
WRONG_SHOWN = 10
RESULT_CHARACTERS = 100_000
ERROR_CHARACTERS = 2_000
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIXED = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class HostTool:
    """A function, described from its signature and its docstring.

    Args:
        function: plain or `async`; each call has its own thread.
        name: by default the function's.
        timeout: seconds of a call.

    Raises:
        BadValue: it cannot be a tool.
        MissingDependency: the package `mcp` is not installed.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None, timeout: float = SECONDS) -> None:
        self.name = _checked_name(function, name)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise BadValue(f"timeout must be a number of seconds above 0; got {timeout!r:.80}.")
        self.timeout = timeout
        self._function = function
        self._metadata, self._schema = _described(function, self.name)

    @property
    def described(self) -> dict[str, Any]:
        """The tool's definition for MCP and the runner."""
        about = inspect.getdoc(self._function) or f"The function {self.name} of the notebook."
        return {"name": self.name, "description": about, "inputSchema": self._schema, "timeoutSeconds": self.timeout}

    async def call(self, arguments: Json, running: set[Run]) -> dict[str, Any]:
        """Return MCP's result. Cancelling the call stops the waiting, and an async function itself.

        Args:
            arguments: by name.
            running: the running calls of this session; this one is added until its function ends.

        Raises:
            BadValue: the arguments are too large.
            TimeoutError: it took too long; a plain function continues in its thread, without effect on the call.
            Exception: from the function, or the error in the arguments.
        """
        if len(running) >= MAX_RUNNING:
            raise RuntimeError(f"{MAX_RUNNING} calls of this session are under way; wait for one to end")
        check_size(arguments)
        run = Run(self._function, self._arguments, arguments, self._result, running)
        try:
            async with asyncio.timeout(self.timeout):
                return await asyncio.wrap_future(run.outcome)
        except TimeoutError:
            if run.outcome.cancelled():
                raise TimeoutError(f"{self.name} took longer than {self.timeout:g} s") from None
            raise  # the function's own
        finally:
            run.cancel()

    def _arguments(self, given: Json) -> dict[str, Any]:
        if unknown := sorted(set(given) - set(self._schema.get("properties") or {})):
            raise BadValue(f"{self.name} takes no argument {unknown[0]!r:.80}.")
        try:
            values: dict[str, Any] = self._metadata.validate_arguments(dict(given))
        except ValueError as error:
            raise BadValue(f"{self.name} was given wrong arguments: {_wrong(error)}") from None
        return values

    def _result(self, value: Any) -> dict[str, Any]:
        return capped(self._metadata.convert_result(value).model_dump(mode="json", by_alias=True, exclude_none=True))


class Run:
    """A running function in its own thread, with its input and output: it may block, or never end."""

    def __init__(
        self,
        function: Callable[..., Any],
        enter: Callable[[Json], dict[str, Any]],
        arguments: Json,
        leave: Callable[[Any], dict[str, Any]],
        running: set[Run],
    ) -> None:
        self.outcome: Future[dict[str, Any]] = Future()
        self._function = function
        self._enter = enter
        self._arguments = arguments
        self._leave = leave
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Future[Any]] | None = None
        self._running = running
        running.add(self)
        threading.Thread(target=self._run, name="session-widgets tool", daemon=True).start()

    def cancel(self) -> None:
        """Stop waiting; an async function is cancelled, a plain one cannot be."""
        self.outcome.cancel()
        if self._task is not None:
            loop, task = self._task
            with suppress(RuntimeError):  # its loop is closed: it has ended
                loop.call_soon_threadsafe(task.cancel)

    def _run(self) -> None:
        with suppress(InvalidStateError):  # the call was abandoned
            try:
                result = self._function(**self._enter(self._arguments))
                if inspect.isawaitable(result):
                    result = asyncio.run(self._await(result))
                self.outcome.set_result(self._leave(result))
            except InvalidStateError:
                raise
            except BaseException as error:  # any error must end neither this thread's loop nor another
                tellable = isinstance(error, Exception) and not isinstance(error, StopIteration)
                self.outcome.set_exception(error if tellable else RuntimeError(f"{type(error).__name__}: {error}"))
            finally:
                self._running.discard(self)

    async def _await(self, result: Any) -> Any:
        task = asyncio.ensure_future(result)
        self._task = (asyncio.get_running_loop(), task)
        if self.outcome.cancelled():
            task.cancel()
        return await task


def check_size(arguments: Json) -> None:
    """Raise `BadValue` if the arguments of a call are too many, too deep or too long."""
    values, left = 0, [(arguments, 1)]
    while left:
        value, depth = left.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        values += len(inner)
        if values > ARGUMENT_VALUES:
            raise BadValue(f"a call takes at most {ARGUMENT_VALUES:,} values, counting those inside lists and objects.")
        if depth > ARGUMENT_DEPTH:
            raise BadValue(f"the arguments of a call nest at most {ARGUMENT_DEPTH} deep.")
        left += [(one, depth + 1) for one in inner]
    if (size := len(orjson.dumps(arguments))) > ARGUMENT_BYTES:
        raise BadValue(f"the arguments of a call take at most {ARGUMENT_BYTES:,} bytes as JSON; got {size:,}.")


def capped(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result within the limits, with a note where it was cut."""
    room, content = RESULT_CHARACTERS, []
    for block in result.get("content") or ():
        size = len(block["text"] if block.get("type") == "text" else block.get("data") or "")
        if size <= room:
            content.append(block)
        elif block.get("type") == "text":
            content.append({**block, "text": f"{block['text'][:room]}\n[cut: {size - room} more characters]"})
        else:
            content.append({"type": "text", "text": f"[left out: {block.get('type')} of {size} characters]"})
            size = 0
        room -= min(size, room)
    content = content or [{"type": "text", "text": "(nothing was returned)"}]
    return {"content": content, "isError": bool(result.get("isError"))}


def check_tools(value: object) -> tuple[HostTool, ...]:
    """Return functions as tools; raise `BadValue` for any other value."""
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        raise BadValue(f"tools must be a list of functions; got {value!r:.80}.")
    return tuple(HostTool(function) for function in value)


def _wrong(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    words = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found[:WRONG_SHOWN]]
    more = len(found) - WRONG_SHOWN
    return "; ".join(words) + (f"; and {more} more" if more > 0 else "")


def _checked_name(function: Callable[..., Any], name: str | None) -> str:
    if not callable(function) or isinstance(function, type):
        raise BadValue(f"a tool must be a function; got {function!r:.80}.")
    name = name if name is not None else getattr(function, "__name__", "")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadValue(f"a tool needs a name of A-Z, a-z, 0-9, '_' and '-', at most 64; got {name!r:.80}. Pass name=.")
    return name


def _described(function: Callable[..., Any], name: str) -> tuple[Any, dict[str, Any]]:
    try:
        from mcp.server.mcpserver.tools import Tool
    except ImportError as error:
        raise MissingDependency("tools need the package 'mcp': pip install 'session-widgets[tools]'") from error
    try:
        fixed = [one.name for one in inspect.signature(function).parameters.values() if one.kind in _FIXED]
        if fixed:
            raise ValueError(f"agents pass arguments by name, and {fixed[0]!r} cannot be passed so")
        tool = Tool.from_function(function, name=name, structured_output=False)
    except Exception as error:  # the library raises errors of its dependencies
        raise BadValue(f"{name} cannot be a tool: {error}") from error
    return tool.fn_metadata, tool.parameters
