"""The workspace through `Session.files` and `Session.exec`."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_widgets.errors import BadPath, BadValue, ExecTimeout, NotFound


@pytest.fixture
def session(open_session):
    return open_session()


def test_everyday_use(session, tmp_path):
    files = session.files
    files.write("src/a.py", "print('é')\n")
    files.write("b.bin", b"\x00\xff")
    files.mkdir("empty/dir")
    assert [(info.path, info.type) for info in files.list()] == [
        ("empty", "directory"),
        ("src", "directory"),
        ("b.bin", "file"),
    ]
    assert {info.path for info in files.list(recursive=True)} == {"empty", "empty/dir", "src", "src/a.py", "b.bin"}
    assert files.read_text("src/a.py") == "print('é')\n"
    assert files.read_bytes("b.bin", 1, 5) == b"\xff"
    assert files.stat("src/a.py").size == 12
    assert files.stat("src/a.py").modified.tzinfo is not None
    files.move("src/a.py", "src/c.py")
    assert [info.name for info in files.list("src")] == ["c.py"]
    with pytest.raises(BadPath):
        files.move("b.bin", "src/c.py")
    with pytest.raises(BadPath):
        files.delete("src")
    files.delete("src", recursive=True)
    files.delete("b.bin")
    with pytest.raises(NotFound):
        files.stat("src")
    source = tmp_path / "mine.txt"
    source.write_bytes(b"up" * 3_000_000)
    files.upload(source, "up.txt")
    (tmp_path / "down").mkdir()
    assert files.download("up.txt", tmp_path / "down").read_bytes() == source.read_bytes()


def test_mistakes_are_named(session, tmp_path):
    files = session.files
    files.write("a.txt", "hello")
    with pytest.raises(NotFound, match="missing"):
        files.move("missing", "new/place/x")
    with pytest.raises(NotFound):
        files.stat("new")
    with pytest.raises(BadPath, match="existing directory"):
        files.download("a.txt", tmp_path / "no" / "where")
    for part in ({"offset": -1}, {"length": -1}):
        with pytest.raises(BadValue, match="from 0"):
            files.read_bytes("a.txt", **part)
    for command in (None, "echo a\0b"):
        with pytest.raises(BadValue, match="command"):
            session.exec(command)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "~/x", "a\0b", "", ".", 7])
def test_paths_that_lead_out(session, path, tmp_path):
    files, local = session.files, tmp_path / "local"
    local.write_text("x")
    attempts = [
        lambda: files.read_bytes(path),
        lambda: files.write(path, "x"),
        lambda: files.mkdir(path),
        lambda: files.delete(path, recursive=True),
        lambda: files.move("a", path),
        lambda: files.upload(local, path),
        lambda: files.download(path, local),
    ]
    for attempt in attempts:
        with pytest.raises(BadPath):
            attempt()
    assert local.read_text() == "x"


def test_links_that_lead_out(session, tmp_path):
    (tmp_path / "secret").write_text("secret")
    session.exec(f"ln -s {tmp_path}/secret link; ln -s {tmp_path} folder")
    for path in ("link", "folder/secret"):
        with pytest.raises(BadPath):
            session.files.read_bytes(path)
        with pytest.raises(BadPath):
            session.files.write(path, "taken over")
    with pytest.raises(BadPath):
        session.files.list("folder")
    session.files.delete("link")
    assert (tmp_path / "secret").read_text() == "secret"


def test_odd_files(session):
    files = session.files
    files.write("empty", b"")
    assert (files.read_bytes("empty"), files.read_text("empty"), files.read_bytes("empty", 5, 5)) == (b"", "", b"")
    session.exec("truncate -s 1G sparse; printf end >> sparse; printf 'caf\\351' > latin1; mkdir folder")
    began = time.monotonic()
    assert files.stat("sparse").size == 2**30 + 3
    assert files.read_bytes("sparse", 2**30, 10) == b"end"
    assert time.monotonic() - began < 2
    with pytest.raises(BadPath, match=r"read_bytes\(\)"):
        files.read_text("latin1")
    assert files.read_bytes("latin1") == b"caf\xe9"
    for attempt in (files.read_bytes, files.read_text, lambda path: files.write(path, "x")):
        with pytest.raises(BadPath, match="not a file: folder"):
            attempt("folder")
    with pytest.raises(BadPath):
        files.list("empty")


def test_exec(session):
    assert session.exec("exit 3").code == 3
    assert session.exec("cat", stdin="in").out == "in"
    assert session.exec("printf '\\377'").out_bytes == b"\xff"
    assert session.exec("echo $A", env={"A": "b c"}).out == "b c\n"
    with pytest.raises(ExecTimeout, match="timeout="):
        session.exec("sleep 30", timeout=0.2)
    with pytest.raises(BadPath, match="cwd"):
        session.exec("true", cwd="nowhere")


def test_awaitable_too(session):
    async def go():
        await session.aio.files.write("a", "x")
        return await session.aio.files.read_text("a"), (await session.aio.exec("echo hi")).out

    assert asyncio.run(go()) == ("x", "hi\n")


def test_interrupting_exec_kills_the_command(tmp_path):
    """A real SIGINT, in a process of its own."""
    code = """
import os, signal, threading, time
import session_widgets as sw
s = sw.open_session("s1")
s.exec("true")
def interrupt():
    while not (s.workspace / "begun").exists(): time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    s.exec("touch begun; sleep 2; touch late", timeout=None)
except KeyboardInterrupt:
    print("interrupted")
time.sleep(2.5)
print((s.workspace / "late").exists(), s.exec("echo usable").out)
s.delete()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, env=os.environ)
    assert (done.returncode, done.stdout.split()) == (0, ["interrupted", "False", "usable"]), done.stderr


def test_interrupting_send_cancels_the_turn():
    code = """
import os, signal, threading, time
import session_widgets as sw
s = sw.open_session("s1", permissions="allow_all")
def interrupt():
    while not s.turns or "begun" not in s.turns[-1].text: time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    s.send("say begun\\nwait 30")
except KeyboardInterrupt:
    print("interrupted")
print(s.turns[-1].status, s.send("say usable").text)
s.delete()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, env=os.environ)
    assert (done.returncode, done.stdout.split()) == (0, ["interrupted", "cancelled", "usable"]), done.stderr


@pytest.fixture
def parking(monkeypatch):
    """Park a session, and do something else when its sandbox has been let go but its end is not stored yet."""

    def parking(session, look):
        begun, go_on = threading.Event(), threading.Event()
        provider = session._controller.sandboxes.provider
        park = provider.park

        async def slow(ref):
            begun.set()
            await asyncio.to_thread(go_on.wait)
            return await park(ref)

        monkeypatch.setattr(provider, "park", slow)
        with ThreadPoolExecutor() as pool:
            parked = pool.submit(session.park)
            assert begun.wait(10)
            looked = pool.submit(look)
            assert not looked.done()
            go_on.set()
            parked.result()
            return looked

    return parking


@pytest.mark.needs("seaweedfs")
def test_files_in_a_bucket_are_read_from_there_as_soon_as_it_is_being_parked(open_session, lab, parking):
    session = open_session(workspace=lab)
    session.send("write a <<EOT\nx\nEOT")
    looked = parking(session, session.files.list)
    assert "a" in [info.path for info in looked.result()]
    assert session.status == "parked"
