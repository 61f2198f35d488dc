"""`session-widgets harness`, and the same from Python: list, install, remove and check."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import session_widgets as sw
from session_widgets._harnesses import catalog, installing
from session_widgets._harnesses.installing import FOLDER, Installation
from session_widgets.errors import BadValue
from tests.support.npm_registry import TINY, serving

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "OPENAI_API_KEY", "CODEX_API_KEY")
ANSWER_SECONDS = 55


@pytest.fixture
def cli(home, tmp_path, monkeypatch, forked):
    """Run it without keys but those given; what it makes in passing has to be gone afterwards."""
    for key in (*KEYS, "GEMINI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    passing = tmp_path / "passing"
    passing.mkdir()

    def cli(*arguments, **variables):
        env = os.environ | {"COLUMNS": "200", "TMPDIR": str(passing)} | variables
        return forked.command("harness", *arguments, env=env, timeout=ANSWER_SECONDS)

    yield cli
    assert list(passing.iterdir()) == []


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))


def test_list_says_what_to_do_and_names_keys_without_their_values(cli, nothing_installed):
    rows = {row["id"]: row for row in json.loads(cli("list", "--json", OPENAI_API_KEY="planted-key").stdout)}
    assert list(rows) == ["demo", "claude", "codex", "opencode", "pi", "gemini", "qwen", "copilot"]
    assert (rows["demo"]["installed"], rows["demo"]["missing"]) == (True, [])
    assert rows["codex"]["missing"] == ["session-widgets harness install codex"]
    assert rows["codex"]["keys"] == {"OPENAI_API_KEY": True, "CODEX_API_KEY": False}
    assert {name: row["resumes"] for name, row in rows.items()} == {
        "demo": "resume", "claude": "resume", "codex": "resume", "opencode": "resume", "pi": "load",
        "gemini": "load", "qwen": "resume", "copilot": "load",
    }  # fmt: skip
    shown = cli("list", OPENAI_API_KEY="planted-key").stdout
    assert "session-widgets harness install claude; set ANTHROPIC_API_KEY or" in shown
    assert "planted" not in shown


def test_the_list_in_a_notebook_is_a_table(monkeypatch, nothing_installed):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-key")
    monkeypatch.setenv("PATH", "/nowhere")
    listed = sw.harnesses()
    assert [info.id for info in listed] == catalog.names()
    text, html = repr(listed), listed._repr_html_()
    assert len(text.splitlines()) == 1 + len(listed)
    assert html.count("<tr>") == 1 + len(listed)
    claude = next(info for info in listed if info.id == "claude")
    assert claude.missing == ("install_harness('claude')", "pip install 'session-widgets[node]'")
    assert "ANTHROPIC_API_KEY" in text
    assert "planted-key" not in text + html + repr(list(listed))


@pytest.mark.parametrize("call", ["install", "remove", "check"])
def test_what_cannot_be_named_is_one_line(cli, nothing_installed, call):
    done = cli(call, "nope")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith("session-widgets: ")
    assert "there is no harness 'nope'" in done.stderr


def test_what_is_not_installed_by_us_is_refused(cli, nothing_installed):
    done = cli("install", "claude", "demo")
    assert (done.returncode, "does not install 'demo': comes with session-widgets" in done.stderr) == (1, True)
    with pytest.raises(BadValue, match="does not install 'demo'"):
        sw.install_harness("demo")
    with pytest.raises(BadValue, match="name the harnesses"):
        sw.install_harness()
    assert not Path(os.environ[FOLDER]).exists()


def test_without_node_the_error_is_one_line_with_the_remedy(cli, nothing_installed):
    done = cli("install", "codex", PATH="/nowhere")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "session-widgets: installing Codex 0.16.0 needs Node.js 20 or newer, and there is none here: "
        "pip install 'session-widgets[node]'"
    )


@pytest.mark.needs("node")
def test_install_says_what_came_and_lists_it(monkeypatch, home, tmp_path, nothing_installed):
    with serving() as registry:
        registry.write_lock(tmp_path / "locks")
        monkeypatch.setattr(installing, "LOCKS", tmp_path / "locks")
        monkeypatch.setenv("npm_config_registry", registry.url)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
        monkeypatch.setattr(catalog, "_known", lambda: {"tiny": TINY})
        (info,) = sw.install_harness("tiny")
    assert (info.id, info.installed, info.missing) == ("tiny", True, ())
    assert Installation(TINY, home).remove()


@pytest.mark.needs("harnesses", "further-harnesses")
def test_what_is_installed_is_left_as_it_is(cli):
    assert cli("install").stdout == "All of them are installed.\n"
    done = cli("install", "codex")
    assert (done.returncode, done.stdout.startswith("Codex 0.16.0 is installed: ")) == (0, True)


def test_check_says_what_it_proved(cli):
    done = cli("check", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    program, acp, session, answer = done.stdout.splitlines()
    assert program.startswith("yes   program: ")
    assert acp == "yes   ACP: version 1"
    assert session.startswith("yes   session: ")
    assert "I will look at the workspace first." in answer
    assert sw.sessions() == []


def test_check_without_the_program_or_the_key_says_what_to_do(cli, nothing_installed):
    absent = cli("check", "codex", OPENAI_API_KEY="planted-key-of-mine")
    assert absent.returncode == 1
    assert "session-widgets: codex did not start the program: Codex 0.16.0 is not installed" in absent.stderr
    assert "session-widgets harness install codex" in absent.stderr
    keyless = cli("check", "codex")
    assert (keyless.returncode, "Codex needs a key: set os.environ['OPENAI_API_KEY']" in keyless.stderr) == (1, True)
    assert "planted" not in absent.stderr + absent.stdout


@pytest.mark.needs("harnesses", "model")
def test_check_of_a_real_one_gets_an_answer_and_shows_no_key(cli, model):
    done = cli("check", "codex", **model.environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "yes   program", "yes   ACP", "yes   session", "yes   answer"
    ]  # fmt: skip
    assert model.environment["OPENAI_API_KEY"] not in done.stdout


@pytest.mark.needs("harnesses")
def test_check_of_a_key_that_is_refused_says_so_and_does_not_show_it(cli):
    key = "planted-key-0123456789"

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}", "code": "invalid_api_key"}})
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/v1"
        done = cli("check", "codex", OPENAI_API_KEY=key, OPENAI_BASE_URL=address)
        server.shutdown()
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["yes   program", "yes   ACP", "yes   session"]
    assert "session-widgets: codex did not get an answer: " in done.stderr
    assert "Incorrect API key provided: [redacted]" in done.stderr
    assert key not in done.stdout + done.stderr
