"""`session-widgets replay` and `session-widgets check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import pexpect

import session_widgets as sw
from tests.support.paths import ROOT

LOG = next((ROOT / "tests" / "fixtures" / "imports" / "claude_code").glob("*.jsonl"))
COMMAND = str(Path(sys.executable).with_name("session-widgets"))


def test_replay_prints_steps_or_one_moment(forked, home):
    done = forked.command("replay", str(LOG))
    assert done.returncode == 0, done.stderr
    assert "1/5" in done.stdout
    assert "+hello" in done.stdout
    assert "execute ✗ Bash cat a.txt; exit 3" in done.stdout
    one = forked.command("replay", str(LOG), "--at", "1/5")
    assert one.stdout.lstrip().startswith("1/5")
    assert "1/7" not in one.stdout
    said = json.loads(forked.command("replay", str(LOG), "--at", "1/5", "--json").stdout)
    assert (said["step"]["turn"], said["step"]["index"], len(said["steps"])) == (1, 5, 6)
    assert [(file["path"], file["state"]) for file in said["files"]] == [("a.txt", "known")]
    last = json.loads(forked.command("replay", str(LOG), "--json").stdout)
    assert last["seq"] == last["last_seq"]
    assert last["commands"] == ["cat a.txt; exit 3"]
    for wrong in ("9/9", "0", "soon"):
        done = forked.command("replay", str(LOG), "--at", wrong)
        assert (done.returncode, "--at must be a step" in done.stderr) == (1, True)
    assert "no session" in forked.command("replay", "nobody").stderr


def test_in_a_terminal_keys_lead_from_step_to_step(home):
    child = pexpect.spawn(COMMAND, ["replay", str(LOG)], encoding="utf-8", timeout=30, dimensions=(24, 100))
    child.expect_exact("step 1 of 11")
    child.send("n")
    child.expect_exact("step 2 of 11")
    child.send("d")
    child.expect_exact("+hello")
    child.expect_exact("step 6 of 11")
    child.send("e")
    child.expect_exact("step 8 of 11")
    child.send("\x1b[D")
    child.expect_exact("step 7 of 11")
    child.send("T")
    child.expect_exact("step 1 of 11")
    child.send("G")
    child.expect_exact("step 11 of 11")
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_check_exits_with_1_for_a_finding(forked, home):
    store = sw.store()
    store.import_(LOG)
    done = forked.command("check")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "nothing is wrong" in done.stdout
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("update steps set text = 'forged' where step = 0")
    done = forked.command("check", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"]) == (1, False)
    assert [each["check"] for each in said["findings"]] == ["derived"]
