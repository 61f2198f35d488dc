"""Processes of a runner, as a client asks for them."""

from __future__ import annotations

from base64 import b64decode

import psutil

from tests.support.waiting import until


def spawn(runner, *argv, **options):
    answer = runner.http.post("/v1/processes", json={"command": argv[0], "args": list(argv[1:]), **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def info(runner, id_):
    return runner.http.get(f"/v1/processes/{id_}").json()


def exited(runner, id_):
    return until(lambda: (one := info(runner, id_))["status"] == "exited" and one)


def with_argument(argument):
    return [one for one in psutil.process_iter(["cmdline"]) if argument in (one.info["cmdline"] or [])]


def text(entries, stream=None):
    data = b"".join(b64decode(entry["data"]) for entry in entries if stream in (None, entry["stream"]))
    return data.decode()
