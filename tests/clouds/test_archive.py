"""The runner as one archive, for the Python of this kernel and for another one."""

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from session_widgets._sandboxes.clouds.archive import Target, runner_archive, this_target
from session_widgets.errors import SandboxError


def names(archive):
    return set(tarfile.open(fileobj=io.BytesIO(archive.data)).getnames())


def test_this_kernels_libraries_are_packed_and_nothing_else():
    archive = runner_archive(this_target())
    found = names(archive)
    assert {"session_widgets/runner/__main__.py", "session_widgets/demo/__main__.py", "uvicorn/__init__.py"} <= found
    assert any(name.startswith("orjson/") and name.endswith(".so") for name in found)
    assert not [name for name in found if not name.endswith((".py", ".so"))]
    assert not [name for name in found if name.startswith("session_widgets/_sessions")]
    assert len(archive.data) < 2_000_000


def test_another_python_gets_the_pinned_wheels(monkeypatch):
    asked = []

    def pip(command, **_):
        asked.append(command)
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "orjson-3-cp313-musllinux.whl", "w") as wheel:
            wheel.writestr("orjson/__init__.py", "")
            wheel.writestr("orjson/orjson.so", "")
            wheel.writestr("orjson-3.dist-info/RECORD", "")
            wheel.writestr("orjson-3.data/scripts/x.py", "")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    found = names(runner_archive(Target((3, 13), "aarch64", "musl")))
    assert {name for name in found if not name.startswith("session_widgets/")} == {
        "orjson/__init__.py",
        "orjson/orjson.so",
    }
    (command,) = asked
    assert {"--require-hashes", "--no-deps", "musllinux_1_2_aarch64", "3.13"} <= set(command)


def test_libraries_that_cannot_be_downloaded_name_the_python_and_the_remedy(monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no such host")
    )
    with pytest.raises(SandboxError, match=r"Python 3\.14 \(x86_64, glibc\).*no such host\nUse an image with Python"):
        runner_archive(Target((3, 14), "x86_64", "glibc"))
