"""One request of the runner's `/v1/fs` and `/v1/tree` (docs/architecture.md), on a machine without a runner.

A sandbox-agent server runs it with the machine's own Python: `python3 -I service.zip REQUEST`, with this folder in the
archive. It needs only the standard library, and names no path outside of the directory.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from session_widgets.host.directory import CHUNK, Directory
from session_widgets.host.host_tree import HostTree
from session_widgets.host.jail import InvalidPath, Jail, Place, make_directory
from session_widgets.host.manifest import Entry, Manifest, Occupied, Readable
from session_widgets.host.tar_stream import END, MTIME, NOTHING, SEEN, header, members, padding
from session_widgets.host.tree import Walk

MAX_LISTED = 100_000
MAX_SHORT = 64 << 10
"""A longer content is fetched by a request of its own."""
SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv", ".harness"})
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class FileService:
    """Answers requests for one directory.

    Args:
        folder: has the directory, `workspace`, and what is remembered of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = folder / "workspace"
        self._operations: dict[str, Callable[[Mapping[str, str], Readable, IO[bytes]], Any]] = {
            "GET /v1/fs/entries": self._entries,
            "GET /v1/fs/stat": self._stat,
            "GET /v1/fs/file": self._read,
            "PUT /v1/fs/file": self._write,
            "POST /v1/fs/mkdir": self._mkdir,
            "POST /v1/fs/move": self._move,
            "DELETE /v1/fs/entry": self._delete,
            "POST /v1/fs/manifest": self._manifest,
            "PUT /v1/fs/snapshots": self._take_snapshot,
            "GET /v1/fs/snapshots": self._changes,
            "POST /v1/tree/read": self._read_tree,
            "PUT /v1/tree": self._write_tree,
            "POST /v1/tree/mkdir": self._make_in_tree,
            "DELETE /v1/tree": self._delete_in_tree,
            "POST /v1/stop": self._stop,
        }

    def answer(self, name: str, params: Mapping[str, str], body: Readable, out: IO[bytes]) -> tuple[int, Any]:
        """Answer a request.

        Args:
            name: its method and path.
            params: its parameters.
            body: of the request.
            out: receives a content.

        Returns:
            The status and a value for JSON; None if the answer is in `out`, or empty.
        """
        try:
            return 200, self._operations[name](params, body, out)
        except InvalidPath as error:
            return _problem(400, "invalid_request", str(error))
        except Occupied as error:
            return _problem(409, "occupied", f"something else is there: {error}")
        except FileNotFoundError as error:
            return _problem(404, "not_found", f"no such file or directory: {params.get('path', error.filename)}")
        except OSError as error:
            status, code = (507, "no_space") if error.errno in NO_SPACE else (400, "invalid_request")
            return _problem(status, code, f"{error.strerror}: {params.get('path', '')}")

    @contextmanager
    def _opened(self) -> Iterator[tuple[Jail, Directory]]:
        with Directory(self._root) as directory:
            jail = Jail(self._root, directory.owner)
            try:
                yield jail, directory
            finally:
                jail.close()

    # As /v1/fs

    def _entries(self, params: Mapping[str, str], _body: Readable, out: IO[bytes]) -> None:
        path, walk = params.get("path", ""), Walk(MAX_LISTED, recursive=params.get("recursive") == "true")
        with self._opened() as (jail, _):
            with jail.locate(path) as place:
                directory, top = place.open_directory(), place.path.removesuffix("/.")
                try:
                    walk.run(directory)
                finally:
                    os.close(directory)
            found = [self._row(jail, f"{top}/{one.path}", one.info) for one in walk.found]
        if not walk.recursive:
            found.sort(key=lambda row: (row["entryType"] != "directory" or row["symlink"], row["name"]))
        start = int(params.get("offset", "0"))
        out.write(json.dumps(found[start : start + int(params.get("limit", str(MAX_LISTED)))]).encode())

    def _stat(self, params: Mapping[str, str], _body: Readable, _out: IO[bytes]) -> Any:
        with self._opened() as (jail, _), jail.locate(params["path"], follow=False) as place:
            info = place.stat()
            if stat.S_ISLNK(info.st_mode):
                with jail.locate(params["path"]) as target:  # one that leads outside is refused
                    target.stat()
            return self._row(jail, place.path.removesuffix("/."), info)

    def _row(self, jail: Jail, path: str, info: os.stat_result) -> dict[str, Any]:
        link, special = stat.S_ISLNK(info.st_mode), False
        if link:
            with suppress(OSError, InvalidPath), jail.locate(path) as place:
                info = place.stat()
        else:
            special = not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode))
        shown = os.fsencode(path).decode(errors="replace")
        return {
            "path": shown,
            "name": shown.rpartition("/")[2],
            "entryType": "directory" if stat.S_ISDIR(info.st_mode) else "file",
            "size": info.st_size,
            "modified": datetime.fromtimestamp(info.st_mtime, UTC).isoformat(),
            "symlink": link,
            "special": special,
        }

    def _read(self, params: Mapping[str, str], _body: Readable, out: IO[bytes]) -> None:
        with self._opened() as (jail, _), jail.locate(params["path"]) as place:
            handle, _info = place.open_file()
            with os.fdopen(handle, "rb") as file:
                file.seek(int(params.get("offset", "0")))
                left = int(params["length"]) if "length" in params else None
                while left != 0 and (piece := file.read(CHUNK if left is None else min(CHUNK, left))):
                    out.write(piece)
                    left = None if left is None else left - len(piece)

    def _write(self, params: Mapping[str, str], body: Readable, _out: IO[bytes]) -> None:
        with self._opened() as (jail, directory):
            with jail.locate(params["path"], create=True) as place:
                mode = _mode(place)
                inside = place.path.removeprefix(jail.root).lstrip("/")
            directory.write(inside, body, mode, None)

    def _mkdir(self, params: Mapping[str, str], _body: Readable, _out: IO[bytes]) -> None:
        with self._opened() as (jail, directory), jail.locate(params["path"], create=True) as place:
            make_directory(place.name, place.directory, directory.owner)
            if not stat.S_ISDIR(place.stat().st_mode):
                raise InvalidPath(f"path exists and is not a directory: {params['path']}")

    def _move(self, _params: Mapping[str, str], body: Readable, _out: IO[bytes]) -> None:
        wanted = json.loads(_all(body))
        with self._opened() as (jail, _), jail.locate(wanted["from"], follow=False) as old:
            old.stat()  # before anything is created at the target
            with jail.locate(wanted["to"], follow=False, create=True) as new:
                with suppress(FileNotFoundError):
                    new.stat()
                    raise InvalidPath(f"destination already exists: {wanted['to']}")
                os.rename(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory)

    def _delete(self, params: Mapping[str, str], _body: Readable, _out: IO[bytes]) -> None:
        with self._opened() as (jail, _), jail.locate(params["path"], follow=False) as place:
            if not stat.S_ISDIR(place.stat().st_mode):
                os.unlink(place.name, dir_fd=place.directory)
            elif params.get("recursive") == "true":
                shutil.rmtree(place.name, dir_fd=place.directory)
            else:
                os.rmdir(place.name, dir_fd=place.directory)

    def _take_snapshot(self, params: Mapping[str, str], _body: Readable, _out: IO[bytes]) -> None:
        self._remember("snapshot", {"name": params["name"], "files": self._identities()})

    def _changes(self, params: Mapping[str, str], _body: Readable, out: IO[bytes]) -> None:
        before = self._remembered("snapshot")
        if before is None or before["name"] != params["name"]:
            raise FileNotFoundError(errno.ENOENT, "", f"snapshot {params['name']}")
        was, now = before["files"], self._identities()
        found: list[tuple[str, str, int | None]] = [(path, "created", now[path][0]) for path in now.keys() - was.keys()]
        found += [(path, "deleted", None) for path in was.keys() - now.keys()]
        found += [(path, "modified", now[path][0]) for path in now.keys() & was.keys() if now[path] != was[path]]
        rows = [{"path": path, "change": change, "size": size} for path, change, size in sorted(found)]
        out.write(json.dumps({"changes": rows}).encode())

    def _identities(self) -> dict[str, list[int]]:
        walk = Walk(200_000, skip=SKIPPED)
        with Directory(self._root) as directory:
            walk.run(directory.fd)
        return {
            os.fsencode(one.path).decode(errors="replace"): [info.st_size, info.st_mtime_ns, info.st_ino]
            for one in walk.found
            if stat.S_ISREG((info := one.info).st_mode) or stat.S_ISLNK(info.st_mode)
        }

    # As /v1/tree

    def _manifest(self, _params: Mapping[str, str], _body: Readable, out: IO[bytes]) -> None:
        tree, before = HostTree(self._root), self._remembered("manifest")
        try:
            found = tree.manifest(Manifest.from_json(before).entries if before else {}).to_json()
        finally:
            tree.close()
        self._remember("manifest", found)
        out.write(json.dumps(found).encode())

    def _read_tree(self, _params: Mapping[str, str], body: Readable, out: IO[bytes]) -> None:
        with Directory(self._root) as directory:
            for path in json.loads(_all(body))["paths"]:
                with suppress(OSError, Occupied):
                    _archive(directory, path, out)
        out.write(END)

    def _write_tree(self, _params: Mapping[str, str], body: Readable, out: IO[bytes]) -> None:
        tree = HostTree(self._root)
        results: list[Sequence[object] | None] = []
        try:
            for member, content in members(body):
                entry = Entry(member.name, member.kind, member.size, member.mode & 0o777, 0, "")
                entry = Entry(*(entry.path, entry.kind, entry.size, entry.mode, int(member.headers[MTIME]), ""))
                source = BytesIO(os.fsencode(member.target)) if member.kind == "link" else content
                try:
                    now = tree.write(entry, source, _seen(member.headers.get(SEEN, NOTHING)))
                except Occupied:
                    results.append(None)
                else:
                    results.append([now.size, now.mode, now.mtime_ns, now.md5, now.stamp])
        finally:
            tree.close()
        out.write(json.dumps({"results": results}).encode())

    def _make_in_tree(self, params: Mapping[str, str], _body: Readable, _out: IO[bytes]) -> None:
        with Directory(self._root) as directory:
            directory.make(params["path"])

    def _delete_in_tree(self, params: Mapping[str, str], _body: Readable, _out: IO[bytes]) -> None:
        tree = HostTree(self._root)
        try:
            tree.delete(params["path"], _seen(params["seen"]))
        finally:
            tree.close()

    def _stop(self, _params: Mapping[str, str], _body: Readable, _out: IO[bytes]) -> None:
        """Kill every process that works in the directory; this one is not in it."""
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (place / "cwd").readlink().is_relative_to(self._root):
                    os.kill(int(place.name), signal.SIGKILL)

    def _remembered(self, name: str) -> Any:
        with suppress(FileNotFoundError, ValueError):
            return json.loads((self._folder / f"{name}.json").read_text())
        return None

    def _remember(self, name: str, value: object) -> None:
        partial = self._folder / f"{name}.partial"
        partial.write_text(json.dumps(value))
        partial.replace(self._folder / f"{name}.json")


class Joined:
    """The files of an upload, one after the other."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._waiting = list(files)
        self._file: IO[bytes] | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        while True:
            if self._file is not None:
                if piece := self._file.read(size):
                    return piece
                self._file.close()
                self._file = None
            if not self._waiting:
                return b""
            self._file = self._waiting.pop(0).open("rb")


def main(given: str) -> int:
    """Answer one request.

    Args:
        given: JSON: `name`, `params`, `folder`; the body is in `pieces` files `<transfer>.0`, `<transfer>.1`, ...

    Prints `{"status", "value", "content", "long"}`: a content in base64, or, if `long`, in `<transfer>.out`.
    """
    request = json.loads(given)
    transfer = request["transfer"]
    body = Joined([Path(f"{transfer}.{number}") for number in range(request["pieces"])])
    with tempfile.SpooledTemporaryFile(MAX_SHORT, dir=request["folder"]) as out:
        status, value = FileService(Path(request["folder"])).answer(request["name"], request["params"], body, out)
        size = out.tell()
        out.seek(0)
        content = out.read() if size <= MAX_SHORT else b""
        if size > MAX_SHORT:
            with Path(f"{transfer}.out").open("wb") as file:
                shutil.copyfileobj(out, file, CHUNK)
    answer = {"status": status, "value": value, "content": b64encode(content).decode(), "long": size > MAX_SHORT}
    sys.stdout.write(json.dumps(answer))
    return 0


def _archive(directory: Directory, path: str, out: IO[bytes]) -> None:
    info = directory.stat(path)
    if stat.S_ISLNK(info.st_mode):
        target = os.fsdecode(directory.read_link(path))
        out.write(header(path, mode=0o777, target=target, headers={MTIME: str(info.st_mtime_ns)}))
    elif stat.S_ISREG(info.st_mode):
        with directory.open(path) as file:
            info = os.fstat(file.fileno())
            left = info.st_size
            out.write(header(path, mode=info.st_mode & 0o7777, size=left, headers={MTIME: str(info.st_mtime_ns)}))
            while left:  # what is gone meanwhile is zeros: the reader compares hashes
                piece = file.read(min(CHUNK, left)) or bytes(min(CHUNK, left))
                out.write(piece)
                left -= len(piece)
            out.write(padding(info.st_size))


def _problem(status: int, code: str, detail: str) -> tuple[int, Any]:
    return status, {"type": f"urn:sandbox-agent:error:{code}", "title": code, "detail": detail}


def _mode(place: Place) -> int:
    """Return the mode of the file that is written: that of an existing one stays."""
    try:
        info = place.stat()
    except FileNotFoundError:
        return 0o644
    if not stat.S_ISREG(info.st_mode):
        raise InvalidPath(f"path is not a file: {place.path}")
    return stat.S_IMODE(info.st_mode)


def _seen(text: str) -> Entry | None:
    if text == NOTHING:
        return None
    size, _, time = text.partition(".")
    return Entry("", "file", int(size), 0, int(time), "")


def _all(body: Readable) -> bytes:
    return b"".join(iter(lambda: body.read(CHUNK), b""))
