"""Answers have the shapes that sandbox-agent's clients expect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.paths import shared

TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    return json.loads(shared("contracts/sandbox-agent-openapi.json").read_text())["components"]["schemas"]


def check(value: Any, schema: dict[str, Any], schemas: dict[str, Any], at: str) -> None:
    """Compare a value with a schema: required fields are there, known fields have their type."""
    if "$ref" in schema:
        return check(value, schemas[schema["$ref"].rsplit("/", 1)[-1]], schemas, at)
    if kind := TYPES.get(schema.get("type", "")):
        assert isinstance(value, kind), f"{at}: {value!r} is no {schema['type']}"
    if "enum" in schema:
        assert value in schema["enum"], at
    if isinstance(value, dict):
        for name in schema.get("required", []):
            assert name in value, f"{at}.{name} is missing"
        for name, field in schema.get("properties", {}).items():
            if value.get(name) is not None:
                check(value[name], field, schemas, f"{at}.{name}")
    for item in value if isinstance(value, list) else []:
        check(item, schema.get("items", {}), schemas, f"{at}[]")
    return None


def test_shapes(runner, schemas):
    http = runner.http
    runner.open("shapes")
    http.put("/v1/fs/file?path=a/b", content=b"x")
    process = http.post("/v1/processes", json={"command": "cat", "interactive": True}).json()
    url = f"/v1/processes/{process['id']}"
    tty = http.post("/v1/processes", json={"command": "cat", "tty": True}).json()
    answers = {
        "HealthResponse": http.get("/v1/health"),
        "AgentListResponse": http.get("/v1/agents"),
        "AgentInfo": http.get("/v1/agents/demo"),
        "AgentInstallResponse": http.post("/v1/agents/demo/install", json={}),
        "AcpServerListResponse": http.get("/v1/acp"),
        "AcpEnvelope": runner.prompt("shapes", "say x"),
        "FsWriteResponse": http.put("/v1/fs/file?path=a/c", content=b"x"),
        "FsStat": http.get("/v1/fs/stat?path=a/b"),
        "FsActionResponse": http.post("/v1/fs/mkdir?path=a/d"),
        "FsMoveResponse": http.post("/v1/fs/move", json={"from": "a/c", "to": "a/e"}),
        "FsUploadBatchResponse": http.post(
            "/v1/fs/upload-batch?path=a", content=bytes(10240), headers={"content-type": "application/x-tar"}
        ),
        "ProcessConfig": http.get("/v1/processes/config"),
        "ProcessListResponse": http.get("/v1/processes"),
        "ProcessInfo": http.get(url),
        "ProcessInputResponse": http.post(f"{url}/input", json={"data": "eA=="}),
        "ProcessLogsResponse": http.get(f"{url}/logs"),
        "ProcessRunResponse": http.post("/v1/processes/run", json={"command": "true"}),
        "ProcessTerminalResizeResponse": http.post(
            f"/v1/processes/{tty['id']}/terminal/resize", json={"cols": 80, "rows": 24}
        ),
        "ProblemDetails": http.get("/v1/fs/stat?path=none"),
    }
    for name, answer in answers.items():
        check(answer.json(), schemas[name], schemas, name)
    for entry in http.get("/v1/fs/entries?path=a").json():
        check(entry, schemas["FsEntry"], schemas, "FsEntry")


def test_the_bytes_of_the_event_stream(runner):
    runner.open("bytes")
    with runner.http.stream("GET", "/v1/acp/bytes", headers={"accept": "text/event-stream"}) as answer:
        assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        expected = b'event: message\nid: 1\ndata: {"jsonrpc":"2.0","id":"init","result":'
        assert next(answer.iter_raw()).startswith(expected)
