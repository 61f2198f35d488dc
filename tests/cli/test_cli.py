"""`session-widgets` as people type it: its own process, the real agent, a real terminal where it needs one.

Three tests and those of a terminal start it as a shell does; the others fork it from a process that has imported it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

import session_widgets as sw

COMMAND = [str(Path(sys.executable).with_name("session-widgets"))]
WRITE = "write a.txt <<EOT\nhello\nEOT\nsay done"


@pytest.fixture
def cleared(home):
    """Sessions that a command leaves are deleted afterwards."""
    yield
    for (session_id,) in sw.store().sql("select session_id from v_sessions").fetchall():
        sw.open_session(session_id).delete()


@pytest.fixture
def cli(cleared, forked):
    return forked.command


@pytest.fixture
def started(cleared):
    """Start the command as a shell does, and wait for its end."""

    def started(*arguments, **options):
        return subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, timeout=40, check=False, **options
        )

    return started


def test_run_streams_the_answer_and_goes_on_with_the_session(started, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    done = started("run", WRITE, "--session", "one", "--workspace", str(place), "--permissions", "allow_edits")
    assert (done.returncode, done.stderr) == (0, "")
    assert "done" in done.stdout
    assert "+hello" in done.stdout
    assert "created a.txt" in done.stdout
    assert "--session one" in done.stdout
    assert (place / "a.txt").read_text() == "hello\n"
    assert sw.store().sql("select turn, status from v_turns where session_id = 'one'").fetchall() == [(1, "completed")]
    again = started("run", "remember", "--session", "one")
    assert "turn 2 completed" in again.stdout
    assert "write a.txt" in again.stdout


def test_json_is_one_event_a_line_and_nothing_else(started):
    done = started("run", "-", "--json", input="say \u202e äß from a pipe")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    assert {"turn_started", "agent_message_chunk", "turn_ended"} <= {event["kind"] for event in events}
    assert [event["kind"] for event in events if event["kind"] != "files_kept"][-1] == "turn_ended"
    assert "from a pipe" in json.loads(done.stdout.splitlines()[0])["payload"]["prompt"][0]["text"]


def test_a_turn_that_fails_exits_1_and_says_why_and_the_next_one_works(cli):
    failed = cli("run", "fail out of ideas", "--session", "one")
    assert failed.returncode == 1
    assert "out of ideas" in failed.stdout
    crashed = cli("run", "crash 7", "--session", "one")
    assert crashed.returncode == 1
    assert "exited" in crashed.stdout
    assert "7" in crashed.stdout
    assert cli("run", "say better", "--session", "one").returncode == 0


def test_without_a_terminal_what_would_be_asked_is_rejected_and_the_reason_is_said(cli, tmp_path):
    done = cli("run", WRITE, "--session", "one", "--workspace", str(tmp_path))
    assert "there is no terminal to ask in" in done.stdout
    assert not (tmp_path / "a.txt").exists()
    assert sw.store().sql("select option_kind from v_permissions").fetchall() == [("reject_once",)]


def test_without_a_terminal_a_question_is_declined(cli):
    done = cli("run", "question Why?", "--session", "one")
    assert "You declined to answer." in done.stdout
    assert done.returncode == 0


@pytest.mark.usefixtures("cleared")
def test_in_a_terminal_a_question_is_asked():
    child = pexpect.spawn(COMMAND[0], ["run", "question Which? | red | blue", "--session", "one"], timeout=30)
    child.expect_exact("The agent asks: Which?")
    child.expect_exact("[a] answer / [d] decline / [c] cancel: ")
    child.sendline("a")
    child.expect_exact("(red, blue): ")
    child.sendline("green")
    child.expect_exact("one of 'red', 'blue'")
    child.sendline("blue")
    child.expect_exact('You answered: {"answer": "blue"}')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_in_a_terminal_permission_is_asked(cleared, tmp_path):
    arguments = ["run", WRITE, "--session", "one", "--workspace", str(tmp_path)]
    for key in ("r", "o", "a"):
        child = pexpect.spawn(COMMAND[0], arguments, encoding="utf-8", timeout=30)
        child.expect(r"\+hello")
        child.expect(r"Allow\?.*: ")
        assert not (tmp_path / "a.txt").exists()
        child.sendline(key)
        child.expect("turn . completed")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert (tmp_path / "a.txt").exists() == (key != "r")
        (tmp_path / "a.txt").unlink(missing_ok=True)
    answers = sw.store().sql("select option_kind, decided_by from v_permissions order by turn").fetchall()
    assert answers == [(kind, "user:cell") for kind in ("reject_once", "allow_once", "allow_always")]


def test_ctrl_c_at_the_question_cancels_the_turn(cleared, tmp_path):
    child = pexpect.spawn(COMMAND[0], ["run", WRITE, "--workspace", str(tmp_path)], encoding="utf-8", timeout=30)
    child.expect(r"Allow\?.*: ")
    child.sendintr()
    child.expect("turn 1 cancelled")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert not (tmp_path / "a.txt").exists()


def test_ctrl_c_cancels_the_turn_and_leaves_the_session_usable(cli):
    command = [*COMMAND, "run", "say started\nwait 60", "--session", "one"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("started" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "turn 1 cancelled" in rest
    assert cli("run", "say again", "--session", "one").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--harness", "nope"], "'demo'"),
        (["--sandbox", "nope"], "'local'"),
        (["--workspace", "s3://No/x"], "reads 's3://bucket/prefix'"),
        (["--workspace", "s3://lab/x", "--attachment", "fuse:nope"], "'fuse:s3fs'"),
        (["--attachment", "sync"], "attachment of a directory"),
        (["--session", "a/b"], "session id must be"),
        (["--session", "\x1b[2J"], "session id must be"),
    ],
)
def test_bad_values_are_reported_on_one_line_and_create_nothing(cli, arguments, said):
    done = cli("run", "say x", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert sw.store().sql("select count(*) from v_sessions").fetchall() == [(0,)]


@pytest.mark.needs("seaweedfs")
def test_a_bucket_that_is_missing_fails_the_turn_and_says_what_to_do(cli, lab):
    done = cli("run", "say x", "--session", "one", "--workspace", "s3://absent-bucket/x")
    assert (done.returncode, done.stderr) == (1, "")
    assert "Make the bucket" in done.stdout
    assert "turn 1 failed" in done.stdout


def test_an_unknown_permission_is_a_usage_error(started):
    done = started("run", "say x", "--permissions", "always")
    assert done.returncode == 2
    assert "allow_edits" in done.stderr


def test_sessions_lists_what_the_store_holds(cli):
    assert "No sessions yet" in cli("sessions").stdout
    assert json.loads(cli("sessions", "--json").stdout) == []
    session = sw.open_session("one", title="A\x1b[31m title\u202e")
    session.send("say x")
    listed = cli("sessions", env=os.environ | {"COLUMNS": "160"}).stdout
    assert "one" in listed
    assert "A␛[31m title⟨U+202E⟩" in listed
    (row,) = json.loads(cli("sessions", "--json").stdout)
    assert (row["session_id"], row["harness"], row["sandbox"]) == ("one", "demo", "local")
