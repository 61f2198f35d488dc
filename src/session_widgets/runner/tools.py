"""The MCP server of a notebook's tools, started by an agent: `python -P -m session_widgets.runner.tools`.

It speaks JSON-RPC, one message a line, and forwards each call to the runner of this sandbox, which forwards it to the
notebook. Two environment variables contain the runner's address and the token.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from session_widgets.version import __version__

URL, TOKEN = "SESSION_WIDGETS_TOOLS_URL", "SESSION_WIDGETS_TOOLS_TOKEN"
PROTOCOLS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603

Json = dict[str, Any]


class Refused(Exception):
    """A refused request; `code` is JSON-RPC's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Runner:
    """Connections to the runner; one a request, so that each call can be abandoned separately."""

    def __init__(self, url: str, token: str) -> None:
        self._place = urlsplit(url)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def connect(self) -> http.client.HTTPConnection:
        """Return an open connection without a timeout: the runner has one."""
        if self._place.scheme == "http+unix":  # a confined agent's: another network may have no way to a port
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.connect(unquote(self._place.netloc))
            return connection
        connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port)
        connection.connect()
        return connection

    def ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: Json | None = None) -> Json:
        """Return the runner's response; raise `Refused` with its error."""
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, self._place.path + path, data, self._headers)
            answer = connection.getresponse()
            value: Json = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refused(INTERNAL_ERROR, f"the sandbox's runner does not answer: {error!r:.200}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            code = INVALID_PARAMS if answer.status == 404 else INTERNAL_ERROR
            raise Refused(code, str(value.get("detail") or "the runner refused"))
        return value


class Server:
    """Answers one client."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._writing = threading.Lock()
        self._calls: dict[str | int, http.client.HTTPConnection | None] = {}  # None: abandoned
        self._changing = threading.Lock()

    def take(self, line: bytes) -> None:
        """Handle one line of input; slow requests continue in a thread."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._refuse(None, Refused(PARSE_ERROR, "this line is no JSON"))
            return
        if not isinstance(message, dict) or not isinstance(message.get("method", ""), str):
            self._refuse(None, Refused(INVALID_REQUEST, "a message is one JSON object with a method"))
        elif "id" not in message:
            self._notice(message)
        elif "method" in message:
            self._request(message)

    def _notice(self, message: Json) -> None:
        params = message.get("params")
        if message.get("method") != "notifications/cancelled" or not isinstance(params, dict):
            return
        id_ = params.get("requestId")
        if not isinstance(id_, str | int):
            return
        with self._changing:
            if (connection := self._calls.get(id_)) is not None:
                self._calls[id_] = None
                _cut(connection)

    def _request(self, message: Json) -> None:
        id_, params = message["id"], message.get("params") or {}
        try:
            if not isinstance(id_, str | int) or not isinstance(params, dict):
                raise Refused(INVALID_REQUEST, "id must be text or a number, params an object")
            match message["method"]:
                case "initialize":
                    self._answer(id_, _about(params))
                case "ping":
                    self._answer(id_, {})
                case "tools/list":
                    self._answer(id_, self._runner.ask(self._runner.connect(), "GET", ""))
                case "tools/call":
                    self._call(id_, params)
                case method:
                    raise Refused(METHOD_NOT_FOUND, f"there is no method {method!r:.80}")
        except OSError as error:
            self._refuse(id_, Refused(INTERNAL_ERROR, f"the sandbox's runner does not answer: {error}"))
        except Refused as error:
            self._refuse(id_ if isinstance(id_, str | int) else None, error)

    def _call(self, id_: str | int, params: Json) -> None:
        name, arguments = params.get("name"), params.get("arguments")
        arguments = {} if arguments is None else arguments
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise Refused(INVALID_PARAMS, "name must be text and arguments an object")
        if id_ in self._calls:
            raise Refused(INVALID_REQUEST, f"request {id_!r:.80} is under way already")
        connection = self._runner.connect()
        with self._changing:
            self._calls[id_] = connection
        body = {"name": name, "arguments": arguments}
        threading.Thread(target=self._carry_out, args=(id_, connection, body), daemon=True).start()

    def _carry_out(self, id_: str | int, connection: http.client.HTTPConnection, body: Json) -> None:
        result, refused = None, None
        try:
            result = self._runner.ask(connection, "POST", "/calls", body)
        except Refused as error:
            refused = error
        with self._changing:
            given_up = self._calls.pop(id_) is None
        if given_up:
            return
        if refused is None or refused.code == INTERNAL_ERROR:
            self._answer(id_, result or {"content": [{"type": "text", "text": str(refused)}], "isError": True})
        else:
            self._refuse(id_, refused)

    def _answer(self, id_: str | int, result: Json) -> None:
        self._write({"jsonrpc": "2.0", "id": id_, "result": result})

    def _refuse(self, id_: str | int | None, error: Refused) -> None:
        self._write({"jsonrpc": "2.0", "id": id_, "error": {"code": error.code, "message": str(error)}})

    def _write(self, message: Json) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._writing:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def _about(params: Json) -> Json:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in PROTOCOLS else PROTOCOLS[-1],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "notebook", "title": "Tools of the notebook", "version": __version__},
    }


def _cut(connection: http.client.HTTPConnection) -> None:
    """Close a connection on which another thread waits: the runner then abandons the call."""
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def main() -> int:
    """Serve until the end of input; open calls are abandoned."""
    try:
        server = Server(Runner(os.environ[URL], os.environ[TOKEN]))
    except KeyError as error:
        print(f"tools: {error.args[0]} is not set; agents are given it", file=sys.stderr)  # noqa: T201 - the log
        return 2
    with suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            if line.strip():
                server.take(line)
    os._exit(0)  # without waiting for threads that wait for the runner


if __name__ == "__main__":
    sys.exit(main())
