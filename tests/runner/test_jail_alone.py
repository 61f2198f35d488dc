"""The jail itself, without a runner: resolved paths, and errors of invalid ones."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from session_widgets.host import jail as module
from session_widgets.host.jail import MAX_LINKS, MAX_PATH
from session_widgets.runner.jail import Jail
from session_widgets.runner.problems import Problem
from tests.support.descriptors import opened_below


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with one file, and links to what is in it and what is not."""
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file").write_text("inside")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("the secret")
    for name, target in {
        "to-file": "a/file",
        "to-a": "a",
        "absolute": str(root / "a"),
        "root": str(root),
        "up": "a/b/../../a",
        "a/up": "..",
        "a/b/top": "../../a/file",
        "out": "../outside",
        "absolute-out": str(outside),
        "out-by-root": f"{root}/../outside",
        "loop": "loop",
        "dangling": "a/new",
        "a/b/absolute": str(root / "a" / "file"),
    }.items():
        (root / name).symlink_to(target)
    return root


@pytest.fixture
def jail(root: Path) -> Jail:
    return Jail(root)


def path_of(jail: Jail, path: str, **options: bool) -> str:
    """Where a path leads, below the root; the place is what it says."""
    with jail.locate(path, **options) as place:
        whole = Path(jail.root, place.path)
        there = os.path.lexists(whole)
        assert os.fstat(place.directory).st_ino == (whole if place.name == "." else whole.parent).stat().st_ino
        assert place.name == "." or place.name == whole.name
        if there:
            assert place.stat().st_ino == whole.lstat().st_ino
        assert place.path.startswith(jail.root)
        return place.path.removeprefix(jail.root)


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("", ""),
        (".", ""),
        ("a", "/a"),
        ("./a//b/", "/a/b"),
        ("a/file", "/a/file"),
        ("a/none", "/a/none"),
        ("to-file", "/a/file"),
        ("to-a/b", "/a/b"),
        ("absolute", "/a"),
        ("absolute/file", "/a/file"),
        ("root", ""),
        ("root/a/file", "/a/file"),
        ("a/b/absolute", "/a/file"),
        ("up/file", "/a/file"),
        ("a/up", ""),
        ("a/up/a/file", "/a/file"),
        ("a/b/top", "/a/file"),
        ("dangling", "/a/new"),
        ("ROOT", ""),
        ("ROOT/a/file", "/a/file"),
        ("ROOT/absolute/b/top", "/a/file"),
    ],
)
def test_every_way_inside_leads_where_it_says(jail: Jail, path: str, leads: str) -> None:
    assert path_of(jail, path.replace("ROOT", jail.root)) == leads


@pytest.mark.parametrize("path", ["to-file", "out", "loop", "a/up", "dangling"])
def test_the_last_link_is_followed_only_if_that_is_asked(jail: Jail, path: str) -> None:
    assert path_of(jail, path, follow=False) == f"/{path}"
    with jail.locate(path, follow=False) as place:
        assert stat.S_ISLNK(place.stat().st_mode)
    assert path_of(jail, "to-a/b", follow=False) == "/a/b", "those on the way are"


@pytest.mark.parametrize(
    ("path", "status", "code", "words"),
    [
        ("out", 403, "permission_denied", "path leaves the workspace: out"),
        ("out/secret", 403, "permission_denied", "path leaves the workspace: out/secret"),
        ("absolute-out/secret", 403, "permission_denied", "path leaves the workspace: absolute-out/secret"),
        ("out-by-root", 403, "permission_denied", "path leaves the workspace: out-by-root"),
        ("/", 403, "permission_denied", "path leaves the workspace: /"),
        ("ROOT-2/x", 403, "permission_denied", "path leaves the workspace: ROOT-2/x"),
        ("/etc/passwd", 403, "permission_denied", "path leaves the workspace: /etc/passwd"),
        ("..", 400, "invalid_request", "invalid relative path: .."),
        ("a/../b", 400, "invalid_request", "invalid relative path: a/../b"),
        ("ROOT/../x", 400, "invalid_request", "invalid relative path: ROOT/../x"),
        ("a\0b", 400, "invalid_request", "path holds a NUL character"),
        ("loop", 400, "invalid_request", "too many symbolic links: loop"),
        ("a/none/x", 404, "not_found", "path not found: a/none/x"),
        ("a/file/x", 400, "invalid_request", "path is not a directory: a/file/x"),
        ("to-file/x", 400, "invalid_request", "path is not a directory: to-file/x"),
        ("y" * 300, 400, "invalid_request", "name is too long: " + "y" * 300),
    ],
)
def test_what_leads_nowhere_says_why(jail: Jail, path: str, status: int, code: str, words: str) -> None:
    with pytest.raises(Problem) as caught, jail.locate(path.replace("ROOT", jail.root)):
        pytest.fail("there is no such place")
    problem = caught.value
    assert (problem.status, problem.code, str(problem)) == (status, code, words.replace("ROOT", jail.root))


def test_the_longest_path(jail: Jail) -> None:
    assert path_of(jail, "./" * (MAX_PATH // 2)) == ""
    with (
        pytest.raises(Problem, match="longer than 4096 characters") as caught,
        jail.locate("./" * (MAX_PATH // 2) + "."),
    ):
        pytest.fail("it is too long")
    assert (caught.value.status, caught.value.code) == (400, "invalid_request")


def test_so_many_links_are_followed_and_no_more(root: Path, jail: Jail) -> None:
    before = "a/file"
    for number in range(MAX_LINKS + 1):
        (root / f"l{number}").symlink_to(before)
        before = f"l{number}"
    assert path_of(jail, f"l{MAX_LINKS - 1}") == "/a/file"
    with pytest.raises(Problem, match="too many symbolic links"), jail.locate(f"l{MAX_LINKS}"):
        pytest.fail("it is one too many")


def test_missing_directories_are_made_only_if_that_is_asked(root: Path, jail: Jail) -> None:
    with pytest.raises(Problem, match="path not found"), jail.locate("n/m/f"):
        pytest.fail("there is no n")
    assert path_of(jail, "n/m/f", create=True) == "/n/m/f"
    assert (root / "n" / "m").is_dir()
    assert not (root / "n" / "m" / "f").exists(), "the last name is the caller's"
    assert path_of(jail, "n/m/f", create=True) == "/n/m/f", "again"
    assert path_of(jail, "to-a/b/c/f", create=True) == "/a/b/c/f"
    (root / "full").write_text("")
    with pytest.raises(Problem, match="path is not a directory"), jail.locate("full/x", create=True):
        pytest.fail("a file is in the way")


def test_the_directories_that_it_makes_belong_to_its_owner(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[tuple[str, int, int, int, bool]] = []

    def chown(name: str, user: int, group: int, *, dir_fd: int, follow_symlinks: bool) -> None:
        changed.append((name, user, group, os.fstat(dir_fd).st_ino, follow_symlinks))

    monkeypatch.setattr(module.os, "chown", chown)
    jail = module.Jail(root, (123, 456))
    with jail.locate("to-a/b/new/newer/f", create=True):
        places = [("new", root / "a" / "b"), ("newer", root / "a" / "b" / "new")]
        assert changed == [(name, 123, 456, place.stat().st_ino, False) for name, place in places]
    with module.Jail(root).locate("x/f", create=True):
        assert len(changed) == 2, "those of a jail without an owner are this process's"


def test_a_closed_jail_holds_no_descriptor(root: Path) -> None:
    jail = module.Jail(root)
    assert opened_below(root) == [str(root)]
    jail.close()
    assert opened_below(root) == []
    with pytest.raises(OSError, match="Bad file descriptor"), jail.locate("a"):
        pytest.fail("it is closed")


def test_another_error_on_the_path_is_reported(jail: Jail, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EACCES, "refused")

    monkeypatch.setattr(module.os, "readlink", refuse)
    with pytest.raises(Problem, match="the operating system refuses: a/file") as caught, jail.locate("a/file"):
        pytest.fail("nobody knows whether it is a link")
    assert caught.value.status == 403


def test_an_error_inside_the_block_becomes_a_problem(jail: Jail) -> None:
    with pytest.raises(Problem, match="path exists: a/file") as caught, jail.locate("a/file"):
        raise FileExistsError(errno.EEXIST, "exists")
    assert caught.value.status == 409


def test_a_file_is_opened_and_nothing_else(root: Path, jail: Jail) -> None:
    with jail.locate("to-file") as place:
        fd, info = place.open_file()
        assert (os.read(fd, 100), info.st_size) == (b"inside", 6)
        os.close(fd)
    before = opened_below(root)
    os.mkfifo(root / "pipe")
    for path in ("a", "pipe", ""):
        with pytest.raises(Problem) as caught, jail.locate(path) as place:
            place.open_file()
        assert (caught.value.status, caught.value.code) == (400, "invalid_request")
        assert str(caught.value) == f"path is not a file: {'/'.join([jail.root, *path.split()])}"
    assert opened_below(root) == before
    with pytest.raises(Problem), jail.locate("to-file", follow=False) as place:
        place.open_file()


def test_a_directory_is_opened_and_nothing_else(jail: Jail) -> None:
    for path in ("a", ""):
        with jail.locate(path) as place:
            fd = place.open_directory()
            assert stat.S_ISDIR(os.fstat(fd).st_mode)
            os.close(fd)
    for path in ("a/file", "to-a"):
        with pytest.raises(Problem, match="not a directory"), jail.locate(path, follow=False) as place:
            place.open_directory()


def test_a_place_is_opened_with_the_mode_that_is_asked_and_never_through_a_link(root: Path, jail: Jail) -> None:
    before = os.umask(0)
    try:
        for name, options, mode in (("new", (), 0o666), ("private", (0o600,), 0o600)):
            with jail.locate(name) as place:
                os.close(place.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL, *options))
            assert stat.S_IMODE((root / name).stat().st_mode) == mode
    finally:
        os.umask(before)
    with pytest.raises(Problem, match="too many symbolic links"), jail.locate("out", follow=False) as place:
        place.open(os.O_RDONLY)


def test_a_root_that_is_a_link_is_named_as_it_was_given(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    jail = Jail(link)
    assert jail.root == str(link)
    for path in ("a/file", f"{link}/a/file", f"{root}/a/file", "absolute/file"):
        assert path_of(jail, path) == "/a/file"


def test_a_root_that_is_no_directory_is_refused(root: Path) -> None:
    with pytest.raises(NotADirectoryError):
        Jail(root / "a" / "file")


def test_no_descriptor_stays_open(root: Path, jail: Jail) -> None:
    before = opened_below(root.parent)
    for path in ("", "a/b/c", "a/none/x", "out/x", "up/file", "a/b/absolute", "a/b/top", "loop"):
        try:
            with jail.locate(path) as place:
                os.fstat(place.directory)
        except Problem:
            continue
    assert opened_below(root.parent) == before
