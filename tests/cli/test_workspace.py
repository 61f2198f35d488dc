"""`session-widgets workspace` on a real bucket without a sandbox, and on a plain directory."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pexpect
import pytest

import session_widgets as sw
from tests.support.waiting import until
from tests.support.workspaces import contents

COMMAND = [str(Path(sys.executable).with_name("session-widgets")), "workspace"]
pytestmark = pytest.mark.timeout(120)
PLACES = ("directory", pytest.param("bucket", marks=pytest.mark.needs("seaweedfs")))
HOSTILE = "d/new\nline \x1b[31m\u202eäß"
SHOWN = "d/new␊line ␛[31m⟨U+202E⟩äß"


@pytest.fixture
def cli(home, tmp_path, forked):
    """Run the command to its end in a directory of its own; sessions are deleted afterwards."""
    (tmp_path / "here").mkdir()

    def cli(*arguments, **options):
        return forked.command("workspace", *arguments, cwd=tmp_path / "here", **options)

    yield cli
    for session in sw.store().sessions():
        sw.open_session(session.id).delete()


@pytest.fixture(params=PLACES)
def parked(request, cli, tmp_path):
    """A session "one" with a few files that no sandbox has seen, in a bucket or in a directory."""
    place = request.getfixturevalue("lab") if request.param == "bucket" else tmp_path / "place"
    if request.param == "directory":
        place.mkdir()
    session = sw.open_session("one", workspace=place)
    session.files.write("a", "aa\n")
    session.files.write("ab", "aba\n")
    session.files.write("d/e/deep", "deep\n")
    if request.param == "directory":
        session.files.write(HOSTILE, "hostile\n")
    else:
        session.files.write("d/new\nline \u202eäß", "hostile\n")  # no escape: XML cannot carry it

    def held():
        if request.param == "bucket":
            return contents(session._controller.state.workspace)
        return {str(f.relative_to(place)): f.read_bytes() for f in place.rglob("*") if f.is_file()}

    return SimpleNamespace(
        session=session,
        held=held,
        in_bucket=request.param == "bucket",
        hostile=SHOWN if request.param == "directory" else "d/new␊line ⟨U+202E⟩äß",
    )


def sandboxes_of(session_id):
    query = "select count(*) from v_events where session_id = ? and kind = 'sandbox_started'"
    return sw.store().sql(query, [session_id]).fetchall()[0][0]


def is_at_rest(parked) -> bool:
    """Whether no sandbox was ever started for the session."""
    return sandboxes_of("one") == 0


def test_ls_and_du_tell_what_is_there_and_wake_nothing(cli, parked):
    listed = cli("ls", "one")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["d/", "a", "ab"]
    assert listed.stdout.splitlines()[1].split()[0] == "3"
    every = cli("ls", "one", "--recursive").stdout
    assert parked.hostile in every
    assert "\x1b" not in every
    assert "\u202e" not in every
    assert "d/e/deep" in every
    rows = json.loads(cli("ls", "one", "d", "--json").stdout)
    assert [(row["type"], row["size"]) for row in rows[1:]] == [("file", 8)]
    assert (rows[0]["path"], rows[0]["type"]) == ("d/e", "directory")

    counted = [line.split() for line in cli("du", "one").stdout.splitlines()]
    assert counted == [["bytes", "files"], ["13", "2", "d/"], ["7", "2", "."], ["20", "4", "total"]]
    below = [line.split() for line in cli("du", "one", "./d/").stdout.splitlines()]
    assert below == [["bytes", "files"], ["8", "1", "."], ["5", "1", "e/"], ["13", "2", "total"]]
    assert is_at_rest(parked)


def test_get_copies_prints_and_packs(cli, parked, tmp_path):
    here = tmp_path / "here"
    assert cli("get", "one", "d/e/deep").stdout == "deep: 5 bytes\n"
    assert (here / "deep").read_text() == "deep\n"
    cli("get", "one", "a", "other")
    assert (here / "other").read_text() == "aa\n"
    assert cli("get", "one", "ab", "-").stdout == "aba\n"
    assert cli("get", "one", "d").stdout.startswith("d.zip: ")
    cli("get", "one", ".", "--zip", "all.zip")
    with zipfile.ZipFile(here / "all.zip") as packed:
        assert packed.read("a") == b"aa\n"
        assert packed.read("d/e/deep") == b"deep\n"
        assert len(packed.namelist()) == 4
    with zipfile.ZipFile(here / "d.zip") as packed:
        assert len(packed.namelist()) == 2
    assert is_at_rest(parked)


def test_put_takes_a_name_a_folder_or_none(cli, parked, tmp_path):
    (tmp_path / "here" / "new").write_text("new\n")
    assert cli("put", "one", "new").stdout == "new: 4 bytes\n"
    assert cli("put", "one", "new", "d").stdout == "d/new: 4 bytes\n"
    assert cli("put", "one", "new", "x/y.txt").stdout == "x/y.txt: 4 bytes\n"
    assert cli("put", "one", "new", "x/z/").stdout == "x/z/new: 4 bytes\n"
    held = parked.held()
    assert all(held[name] == b"new\n" for name in ("new", "d/new", "x/y.txt", "x/z/new"))
    refused = cli("put", "one", "absent")
    assert refused.returncode == 2
    assert "absent" in refused.stderr
    assert is_at_rest(parked)


def test_rm_removes_exactly_the_named_path_after_confirmation(cli, parked):
    before = parked.held()
    unasked = cli("rm", "one", "a")
    assert (unasked.returncode, "--yes" in unasked.stderr) == (1, True)
    assert parked.held() == before
    assert cli("rm", "one", "a", "--yes").stdout == "removed a (3 bytes)\n"
    assert before.keys() - parked.held().keys() == {"a"}
    whole = cli("rm", "one", "d", "--yes")
    assert (whole.returncode, "--recursive" in whole.stderr) == (1, True)
    assert len(parked.held()) == 3
    assert cli("rm", "one", "d", "-r", "--yes").stdout == "removed the folder d (2 files, 13 bytes)\n"
    assert set(parked.held()) == {"ab"}
    assert cli("rm", "one", "a", "--yes").returncode == 1
    assert set(parked.held()) == {"ab"}
    assert is_at_rest(parked)


def test_rm_asks_in_a_terminal(cli, parked):
    for answer, left in (("n", True), ("y", False)):
        child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "rm", "one", "a"], encoding="utf-8", timeout=40)
        child.expect(r"Remove a \(3 bytes\) from session one\?")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == (1 if left else 0)
        assert ("a" in parked.held()) == left


def test_a_terminal_gets_a_file_made_safe(cli, parked):
    parked.session.files.write("colours", "\x1b[31mred\n")
    if not parked.in_bucket:
        parked.session.park()
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "get", "one", "colours", "-"], encoding="utf-8", timeout=40)
    child.expect(pexpect.EOF)
    child.close()
    assert child.before == "␛[31mred\r\n"
    assert cli("get", "one", "colours", "-").stdout == "\x1b[31mred\n"


@pytest.mark.parametrize("command", [("ls",), ("get", "x"), ("rm", "x", "--yes"), ("du",)])
def test_an_unknown_session_is_an_error_and_is_not_made(cli, command):
    name, *rest = command
    done = cli(name, "nobody", *rest)
    assert (done.returncode, done.stdout) == (1, "")
    assert "session-widgets sessions" in done.stderr
    assert cli(name, "\x1b[2J", *rest).stderr.startswith("session-widgets: session id must be")
    assert sw.store().sessions() == []


def test_paths_stay_in_the_workspace_and_errors_are_one_line(cli, parked):
    for arguments in (
        ("ls", "one", "../x"),
        ("get", "one", "/etc/passwd"),
        ("rm", "one", "d/..", "--yes"),
        ("rm", "one", ".", "-r", "--yes"),
        ("get", "one", "absent"),
        ("get", "one", "a", "no/such/folder/a"),
        ("get", "one", "d", "no/such/folder/d.zip"),
    ):
        done = cli(*arguments)
        assert done.returncode == 1, arguments
        assert done.stderr.startswith("session-widgets: "), arguments
        assert done.stderr.count("\n") == 1
    assert len(parked.held()) == 4


def test_a_session_at_work_stays_at_work(cli, tmp_path):
    session = sw.open_session("one", workspace=tmp_path, permissions="allow_all")
    session.send("write a <<EOT\nx\nEOT")
    assert " a\n" in cli("ls", "one").stdout
    assert until(lambda: session.status, what="a status") == "idle"
    assert session.send("read a").status == "completed"
    assert session.turns[-1].tier == "warm"
