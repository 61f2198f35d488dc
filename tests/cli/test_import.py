"""`session-widgets import`."""

from __future__ import annotations

import json

import session_widgets as sw
from tests.store.importing.claude import SESSION, Log, story


def test_import_prints_what_it_did_and_imports_again_what_changed(forked, home, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text(str(story()) + "{broken\n")
    (tmp_path / "logs" / "b.md").write_text("notes")
    done = forked.command("import", str(tmp_path / "logs"))
    assert done.returncode == 0, done.stderr
    assert "1 new, 1 skipped" in done.stdout
    assert "a.jsonl:12: malformed" in done.stdout
    again = forked.command("import", str(tmp_path / "logs"), "--json")
    said = json.loads(again.stdout)
    assert (said["counts"]["files_unchanged"], said["counts"]["records"]) == (1, 0)
    assert {file["outcome"] for file in said["files"]} == {"unchanged", "skipped"}
    assert [record.id for record in sw.store().sessions()] == [SESSION]
    listed = json.loads(forked.command("sessions", "--json").stdout)
    assert [row["origin"] for row in listed] == ["import"]


def test_a_path_that_does_not_exist_is_an_error(forked, home, tmp_path):
    done = forked.command("import", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "there is no file or directory" in done.stderr


def test_search_prints_hits_in_context(forked, home, tmp_path):
    (tmp_path / "a.jsonl").write_text(str(story()))
    sw.store().import_(tmp_path)
    text = next(step.text for step in sw.store().steps(SESSION) if step.kind == "message")
    done = forked.command("search", text, "--harness", "claude", "--kind", "message")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{SESSION}/1/")
    assert f"[{text}]" in done.stdout
    assert done.stderr.rstrip().endswith("complete")
    said = json.loads(forked.command("search", text, "--json", "--regex", "--limit", "5").stdout)
    assert (said["complete"], said["hits"][0]["match"]) == (True, text)
    nothing = forked.command("search", "no such text")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    wrong = forked.command("search", "(", "--regex")
    assert "cannot be used" in wrong.stderr


def test_export_writes_a_file_and_says_what_it_replaced(forked, home, tmp_path):
    key = "sk-ant-" + "api03-" + "x7Kd9" * 8
    log = str(story()) + str(Log(SESSION).user("k", f"Use {key}"))
    (tmp_path / "a.jsonl").write_text(log)
    sw.store().import_(tmp_path)
    done = forked.command("export", SESSION, "codex", str(tmp_path / "b.jsonl"))
    assert done.returncode == 0, done.stderr
    assert "replaced: 2 secrets" in done.stdout
    assert key[8:] not in done.stdout + (tmp_path / "b.jsonl").read_text()
    said = json.loads(forked.command("html", SESSION, str(tmp_path / "b.html"), "--keep-secrets", "--json").stdout)
    assert (said["format"], said["hits"]) == ("html", [])
    assert key in (tmp_path / "b.html").read_text()
    wrong = forked.command("export", SESSION, "word", str(tmp_path / "c"))
    assert wrong.returncode == 1
    assert "format must be one of acp, atif" in wrong.stderr
