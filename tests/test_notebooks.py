"""Every notebook runs from top to bottom, as in a fresh clone."""

from __future__ import annotations

import ast
import json
import re
import tempfile
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._harnesses.entries import HARNESSES
from session_widgets.workspaces.local_s3 import LocalS3
from tests.standins.e2b_account import E2BAccount
from tests.support.model import answers
from tests.support.model.serving import serving, use
from tests.support.paths import ROOT

WIDGET = "application/vnd.jupyter.widget-view+json"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def run():
    """Run a notebook; return the outputs of its code cells by their ids."""
    import nbformat
    from nbclient import NotebookClient  # both are slower to load than all the rest

    def run(name):
        path = ROOT / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
        )
        client.execute()
        nbformat.validate(notebook)
        return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    return run


def table(output):
    """The rows of a dataframe that a cell shows."""
    head, body = output.data["text/html"].split("<tbody>")
    names = re.findall(r"<th>(.+?)</th>", head)
    return [dict(zip(names, re.findall(r"<td>(.*?)</td>", row), strict=True)) for row in body.split("</tr>")[:-1]]


def test_a_first_session(run):
    outputs = run("01_first_session")
    said = outputs["send"][0].data["text/plain"]
    assert "The program is there." in said
    assert "end_turn" in said
    assert outputs["exec"][0].text.startswith("0 [2, 3, 5, 7, 11")
    assert "47]" in outputs["exec"][0].text
    decided = sw.store().sql("select option_kind, decided_by from v_permissions order by requested_at").fetchall()
    assert [kind for kind, by in decided if by == "function:python_only"] == ["allow_once", "reject_once"]
    assert WIDGET in outputs["panel"][0].data


@pytest.fixture
def no_session_left(home):
    """End what a notebook that failed half-way has left."""
    yield
    for record in sw.sessions():
        sw.open_session(record.id).delete()
    sw.store().close()


@pytest.fixture
def no_store_left(home):
    yield
    LocalS3(home).stop()


@pytest.mark.needs("seaweedfs")
@pytest.mark.timeout(150)
@pytest.mark.parametrize("sandbox", [pytest.param("docker", marks=pytest.mark.needs("docker")), "local"])
def test_durable_sessions(run, no_store_left, no_session_left, sandbox, monkeypatch):
    if sandbox == "local":
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")  # as where Docker does not answer
    outputs = run("02_durable_sessions")
    assert outputs["docker"][0].data["text/plain"] == repr(sandbox)
    assert outputs["write"][0].data["text/plain"].startswith("('completed',\n datetime.datetime(")
    assert "sessions/durable/notes.md\nThe first lines.\n" in outputs["bucket"][0].text
    assert "'from-the-notebook.md'" in outputs["park"][0].text
    tier = "load" if sandbox == "docker" else "resume"
    assert outputs["switch"][0].text.startswith(f"local {tier} 20")
    assert "the first prompt was: \nwrite notes.md" in outputs["switch"][0].text
    here = outputs["here"][0].data["text/plain"]
    assert "['The first lines.',\n 'Written while no sandbox was there.',\n 'it runs'," in here
    assert "('completed',\n None,\n \"name: all files are saved except 1" in outputs["refused"][0].data["text/plain"]
    assert outputs["park-refused"][0].text.startswith("name | parking was not done")
    assert outputs["mended"][0].data["text/plain"].endswith("None)")
    assert outputs["conflict"][0].text.startswith("failed | 1 file changed both here and in s3://lab/")
    kept = outputs["settle"][0].text
    assert "/notes.md | Changed in the sandbox.\n" in kept
    assert "| Changed in the bucket.\n" in kept
    assert "datetime.datetime(" in outputs["settle"][1].data["text/plain"]
    assert f"{sandbox}:" in outputs["sandboxes"][0].data["text/plain"]
    assert outputs["delete"][0].data["text/plain"] == "0"


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    """A user who has no key of any vendor, and no profile."""
    for key in {key for harness in HARNESSES for key in harness.keys}:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.needs("harnesses", "model")
@pytest.mark.timeout(300)
def test_across_harnesses(run, no_session_left, no_key, tmp_path, monkeypatch):
    with serving(tmp_path, prompts=answers.HARNESSES) as model:
        use(model, monkeypatch)
        outputs = run("03_harnesses")
        asked = model.received
    assert "ANTHROPIC_API_KEY" in outputs["harnesses"][0].data["text/plain"]
    assert [output.data["text/plain"] for output in outputs["choose"]] == ["['claude', 'codex']"]
    assert re.findall(r"Claude Code|Codex", outputs["install"][0].data["text/html"]) == ["Claude Code", "Codex"]
    assert WIDGET in outputs["panel"][0].data
    assert outputs["turn"][0].text == "completed  ['fit.py']\nI write the function.\n\n`line` is in fit.py.\n"
    assert "they rise" in outputs["tool"][0].text
    assert any("4.21" in words for _, words in asked[3]["messages"]), "the model got what the function returned"
    (call,) = table(outputs["calls"][0])
    assert call == {"turn": "2", "name": "readings", "arguments": '{"sensor":"left"}', "ok": "true"}
    assert outputs["options"][0].text.startswith("mode: [default] acceptEdits")
    assert outputs["set"][0].data["text/plain"] == "('acceptEdits', 'haiku')"
    assert ["haiku" in request["model"] for request in asked] == [False] * 4 + [True] * 3 + [False] * 2
    decided = [(row["turn"], row["decided_by"]) for row in table(outputs["unasked"][1])]
    assert decided == [("1", "function:allow"), ("2", "function:allow"), ("3", "NaN")]
    assert outputs["park"][0].text == "resume | You have a fit, a drift, and notes.\n"
    assert "`line` is in fit.py." in str(asked[6]["messages"]), "of its own memory"
    assert outputs["switch"][0].text.startswith("codex replay ['test_fit.py']\n")
    told = ast.literal_eval(outputs["handed-over"][0].data["text/plain"])["turns"]
    assert [turn["prompt"].split()[1] for turn in told] == ["fit.py", "the", "notes.md:", "one"]
    assert told[2]["files"] == ["created notes.md"]
    assert "`line` is in fit.py." in str(asked[7]["messages"]), "Codex received the history"
    claude, codex = table(outputs["compare"][0])
    assert [claude[name] for name in ("harness", "turns", "tool_calls", "asked")] == ["claude", "4", "3", "2"]
    assert [codex[name] for name in ("harness", "turns", "tool_calls", "asked")] == ["codex", "1", "1", "1"]
    assert sw.sessions() == []


@pytest.mark.timeout(150)
def test_across_harnesses_without_a_key(run, no_session_left, no_key):
    outputs = run("03_harnesses")
    assert "demo" in outputs["harnesses"][0].data["text/plain"]
    said, chosen = outputs["choose"]
    assert said.text.startswith("No key is set: two personas of demo stand in. Set ANTHROPIC_API_KEY or OPENAI_API_KEY")
    assert chosen.data["text/plain"] == "['careful', 'brisk']"
    assert outputs["install"] == []
    assert outputs["turn"][0].text.startswith("completed  ['fit.py']\n`line` is in fit.py")
    assert outputs["tool"][0].text == "Yes: they rise by about 0.05 V a day.\n"
    (call,) = table(outputs["calls"][0])
    assert call == {"turn": "2", "name": "readings", "arguments": '{"sensor":"left"}', "ok": "true"}
    assert "mode: [ask] accept_edits" in outputs["options"][0].text
    assert outputs["set"][0].data["text/plain"] == "('accept_edits', 'demo-large')"
    decided = [(row["turn"], row["decided_by"]) for row in table(outputs["unasked"][1])]
    assert decided == [("1", "function:allow"), ("2", "function:allow"), ("3", "NaN")]
    assert outputs["park"][0].text == "resume | You have a fit, a drift, and notes.\n"
    assert outputs["switch"][0].text == "brisk replay ['test_fit.py']\nDone.\n"
    told = ast.literal_eval(outputs["handed-over"][0].data["text/plain"])["turns"]
    assert [turn["prompt"].split()[1] for turn in told] == ["fit.py", "the", "notes.md:", "one"]
    careful, brisk = table(outputs["compare"][0])
    assert [careful[name] for name in ("harness", "turns", "tool_calls", "asked")] == ["careful", "4", "3", "2"]
    assert [brisk[name] for name in ("harness", "turns", "tool_calls", "asked")] == ["brisk", "1", "1", "1"]
    assert sw.sessions() == []


def test_transcripts_as_data(run):
    outputs = run("04_transcripts_as_data")
    assert outputs["again"][0].data["text/plain"] == "(96, 0)"
    assert "example-large" in outputs["tokens"][0].data["text/html"]
    assert WIDGET in outputs["search"][0].data
    assert "<mark>1 failed</mark>" in outputs["search"][1].data["text/html"]
    assert "1 failed" in outputs["hits"][0].data["text/html"]
    assert "task-00" in outputs["outcome"][0].data["text/html"]
    assert "task-23" in outputs["plot"][0].data["image/svg+xml"]
    assert "better" in outputs["paired"][0].data["text/html"]
    assert re.fullmatch(
        r"example-large fixed 90% of the bugs, .* p = 0\.003; 24 tasks, .*\n", outputs["sentence"][0].text
    )
    assert outputs["few"][0].data["text/plain"].startswith("('not enough data', ")
    assert "execute pytest (failed)" in outputs["align"][0].data["text/html"]
    assert WIDGET in outputs["compare"][0].data
    assert "where they part" in outputs["compare"][1].data["text/html"]
    assert sw.sessions() == [], "the reader's own store is left alone"


def test_replay_and_compare(run, no_session_left):
    outputs = run("05_replay_and_compare")
    assert "gives-up  completed, 1 file changed: The test still fails." in "".join(o.text for o in outputs["record"])
    assert WIDGET in outputs["compare"][0].data
    assert WIDGET in outputs["replay"][0].data
    assert "".join(o.text for o in outputs["moment"]).startswith("known edited\nimport re\n")
    assert "4 equal steps" in outputs["compare"][1].data["text/html"]
    assert "edit       6: change 4, edit slug.py, has other lines\n" in outputs["divergence"][0].text
    assert "3 sessions: test_never_passed in 1" in outputs["behaviours"][0].data["text/plain"]
    assert "import re" in outputs["files"][0].data["text/html"]
    assert "column=7" in outputs["fork"][-1].data["text/plain"]
    assert sw.sessions() == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_is_run_here_and_shows_what_it_does(path):
    """`make notebooks` writes the outputs, for pages that only draw notebooks."""
    assert path.stem in {
        "01_first_session",
        "02_durable_sessions",
        "03_harnesses",
        "04_transcripts_as_data",
        "05_replay_and_compare",
        "06_clouds",
    }
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len([cell for cell in cells if cell["outputs"]]) >= len(cells) / 2
    assert not [output for output in outputs if output["output_type"] == "error" or WIDGET in output.get("data", {})]
    for machine in (str(ROOT), tempfile.gettempdir(), str(Path.home())):
        assert f"{machine}/" not in path.read_text()


@pytest.mark.needs("boxes")
@pytest.mark.timeout(150)
def test_clouds(run, no_session_left, tmp_path, monkeypatch):
    with E2BAccount(tmp_path) as account:
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        outputs = run("06_clouds")
        assert (account.boxes, account.take_unknown()) == ({}, [])
        assert [box["timeout"] for box in account.books()["created"]] == [600]
    assert "needs a key: set DAYTONA_API_KEY" in outputs["providers"][0].data["text/plain"]
    assert outputs["send"][-1].data["text/plain"] == "('completed', ['squares.py', 'squares.txt'])"
    assert outputs["endpoint"][0].text == "1 4 9 16 25 36 49\n\n"
    assert outputs["sandboxes"][0].data["text/plain"] == "[('cloud', 'running', True)]"
    assert outputs["park"][-1].text.startswith("idle | 1 earlier turn")
    assert outputs["switch"][0].text == "completed | ['later.txt', 'squares.txt']\n"
    assert outputs["switch"][1].data["text/plain"] == "[('local', 'cloud')]"
    ran = outputs["cost"][0].data["text/html"]
    assert "<td>e2b</td><td>2</td><td>True</td><td>True</td><td>USD</td>" in ran
    assert "<td>local</td><td>1</td><td>True</td><td>NULL</td><td>NULL</td>" in ran
    assert outputs["delete"][0].data["text/plain"] == "0"


def test_clouds_without_a_key(run, no_session_left, monkeypatch):
    for variable in ("E2B_API_KEY", "DAYTONA_API_KEY", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    outputs = run("06_clouds")
    assert outputs["open"][0].text == "No key of a cloud is set: this machine stands in.\n"
    assert outputs["endpoint"] == []
    assert outputs["sandboxes"][0].data["text/plain"] == "[('cloud', 'running', False)]"
    assert outputs["switch"][0].text == "completed | ['later.txt', 'squares.txt']\n"
    assert outputs["delete"][0].data["text/plain"] == "0"
