"""The runner as one archive, for a box that has nothing but a Python: our package's part and its libraries.

Libraries with compiled code fit to one Python, processor and C library. If those of the box are this kernel's, its own
installed libraries are packed, else pip downloads the pinned ones.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePath, PurePosixPath

from session_widgets._sandboxes.images import build_context
from session_widgets.errors import SandboxError

DOWNLOAD_SECONDS = 300
_OURS = "session_widgets/"
_NAME = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
_NEEDED_BEFORE = {"typing-extensions": (3, 13)}
"""Libraries that newer Pythons do not need."""
_LIBC = {"glibc": ("manylinux_2_28", "manylinux_2_17", "manylinux2014"), "musl": ("musllinux_1_2", "musllinux_1_1")}


@dataclass(frozen=True, slots=True)
class Target:
    """What compiled libraries must fit to.

    Attributes:
        python: version of CPython, the first two numbers.
        processor: as `uname -m` says it.
        libc: "glibc" or "musl".
    """

    python: tuple[int, int]
    processor: str
    libc: str

    @property
    def is_known(self) -> bool:
        """Whether it is one of a box: the libraries of another system fit to none."""
        return self.libc in _LIBC


@dataclass(frozen=True)
class Archive:
    """A `.tar.gz` of a `site-packages`; the name is a hash of its content."""

    name: str
    data: bytes

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of the data."""
        return hashlib.sha256(self.data).hexdigest()


def this_target() -> Target:
    """Return what libraries of this kernel fit to."""
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
    kind = libc if sys.platform == "linux" and sys.implementation.name == "cpython" else "another system"
    return Target(sys.version_info[:2], platform.machine(), kind)


@functools.lru_cache(maxsize=4)
def runner_archive(target: Target) -> Archive:
    """Return the archive for a box. Blocks; for another Python than this one it downloads some megabytes, once.

    Raises:
        SandboxError: the libraries cannot be downloaded.
    """
    context = build_context()
    files = {name: data for name, data in context.items() if name.startswith(_OURS)}
    wanted = context["requirements.txt"].decode()
    installed = _installed(wanted) if target == this_target() else None
    files |= installed if installed is not None else _downloaded(wanted, target)
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return Archive(digest.hexdigest()[:16], _packed(files))


def _installed(wanted: str) -> dict[str, bytes] | None:
    """Return the files of this kernel's libraries, by their names in the archive; None if one is not installed."""
    files: dict[str, bytes] = {}
    for name, _ in _NAME.findall(wanted):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            if sys.version_info[:2] >= _NEEDED_BEFORE.get(name, (99, 0)):
                continue
            return None
        needed = [file for file in found.files or () if _is_needed(file)]
        files |= {file.as_posix(): Path(str(file.locate())).read_bytes() for file in needed}
    return files


def _is_needed(file: PurePath) -> bool:
    """Whether a file of an installed library is one that a program loads."""
    return file.suffix in {".py", ".so"} and not {"..", "tests"} & set(file.parts)


def _downloaded(wanted: str, target: Target) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(wanted)
        systems = [f"{system}_{target.processor}" for system in _LIBC.get(target.libc, ())]
        command = [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"),
            *("--require-hashes", "--only-binary", ":all:", "--dest", folder, "--requirement", str(requirements)),
            *("--implementation", "cp", "--python-version", f"{target.python[0]}.{target.python[1]}"),
            *(part for system in systems for part in ("--platform", system)),
        ]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
            failed = ran.stderr.strip() if ran.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            failed = str(error)
        if failed:
            version = f"Python {target.python[0]}.{target.python[1]} ({target.processor}, {target.libc})"
            raise SandboxError(
                f"the sandbox has {version}, and this kernel no libraries for it. pip could not download them: "
                f"{failed[-600:]}\nUse an image with Python {sys.version_info[0]}.{sys.version_info[1]}, or install "
                "pip beside this kernel."
            )
        return dict(_unpacked(Path(folder)))


def _unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as content:
            for name in content.namelist():
                if _is_needed(PurePosixPath(name)) and ".data/" not in name:
                    yield name, content.read(name)


def _packed(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,  # as `inside.py` reads it
    ):
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return target.getvalue()
