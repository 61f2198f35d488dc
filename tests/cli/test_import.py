"""`session-widgets import`."""

from __future__ import annotations

import json

import session_widgets as sw
from tests.store.importing.claude import SESSION, story


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
