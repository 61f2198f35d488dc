"""`session-widgets workspace`: the files of a session from the terminal, running or parked."""

from __future__ import annotations

import codecs
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from session_widgets.cli.asking import confirm, may_ask
from session_widgets.cli.errors import errors_told
from session_widgets.errors import BadPath, BadValue, NotFound, SessionWidgetsError
from session_widgets.model import FileInfo
from session_widgets.printing import printable

if TYPE_CHECKING:
    from session_widgets._sessions.files import Files

workspace = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List, fetch, add and remove the files of a session."
)
PIECE = 4 << 20
MARKS = {"directory": "/", "symlink": "@"}

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Its id in `session-widgets sessions`.")]
Folder = Annotated[str, typer.Argument(metavar="[PATH]", help="A folder of the workspace. Default: all of it.")]


@workspace.command()
def ls(
    session: SessionId,
    path: Folder = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include the content of folders.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List a folder: bytes, time of change, name."""
    with _files(session) as files:
        found = files.list(path, recursive=recursive)
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in found], default=str, indent=2))
        return
    for info in found:
        changed = f"{info.modified.astimezone():%Y-%m-%d %H:%M}" if info.modified else ""
        size = "" if info.type == "directory" else f"{info.size:,}"
        name = _shown(info.path if recursive else info.name) + MARKS.get(info.type, "")
        typer.echo(f"{size:>15}  {changed:16}  {name}")


@workspace.command()
def get(
    session: SessionId,
    path: Annotated[str, typer.Argument(help="A file, or a folder, which becomes a zip; '.' is the whole workspace.")],
    local: Annotated[
        str | None, typer.Argument(metavar="[LOCAL]", help="Destination; '-' prints a file. Default: its name, here.")
    ] = None,
    zip_file: Annotated[Path | None, typer.Option("--zip", metavar="FILE.zip", help="Pack a folder into this.")] = None,
) -> None:
    """Copy a file to this machine, or a folder as a zip. An existing file is replaced."""
    if local is not None and zip_file is not None:
        raise typer.BadParameter("--zip names the destination already: omit LOCAL")
    with _files(session) as files:
        if local == "-":
            _print(files, path)
            return
        if zip_file is not None or files.stat(path).type == "directory":
            target = files.zip(_zip_file(zip_file or Path(local or ""), path, session), path)
        else:
            target = files.download(path, local or "")
    typer.echo(f"{_shown(str(target))}: {target.stat().st_size:,} bytes")


@workspace.command()
def put(
    session: SessionId,
    local: Annotated[Path, typer.Argument(help="A file of this machine.", exists=True, dir_okay=False, readable=True)],
    path: Annotated[
        str,
        typer.Argument(metavar="[PATH]", help="Destination in the workspace, or its folder. Default: its name."),
    ] = "",
) -> None:
    """Copy a file of this machine into the workspace. An existing file is replaced."""
    with _files(session) as files:
        target = f"{path or '.'}/{local.name}" if _is_folder(files, path) else path
        files.upload(local, target)
        info = files.stat(target)
    typer.echo(f"{_shown(info.path)}: {info.size:,} bytes")


@workspace.command()
def rm(
    session: SessionId,
    path: Annotated[str, typer.Argument(help="Exactly this file, or folder.")],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="A folder with its content.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a file or a folder, after asking. There is no undo."""
    with errors_told():
        may_ask(yes)
    with _files(session) as files:
        what = _what(files, path, recursive=recursive)
        if not yes:
            confirm(f"Remove {what} from session {session}?")
        files.delete(path, recursive=recursive)
    typer.echo(f"removed {what}")


@workspace.command()
def du(session: SessionId, path: Folder = "") -> None:
    """Count bytes and files of each folder in a folder, the largest first; '.' is for the files outside folders."""
    with _files(session) as files:
        found = files.list(path, recursive=True)
    depth = len([name for name in path.split("/") if name not in {"", "."}])
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for info in found:
        if info.type == "file":
            names = info.path.split("/")[depth:]
            for name in (f"{names[0]}/" if len(names) > 1 else ".", "total"):
                sums[name][0] += info.size
                sums[name][1] += 1
    size, count = sums.pop("total", (0, 0))
    typer.echo(f"{'bytes':>15}  {'files':>9}")
    for name, (bytes_, files_) in sorted(sums.items(), key=lambda item: (-item[1][0], item[0])):
        typer.echo(f"{bytes_:>15,}  {files_:>9,}  {_shown(name)}")
    typer.echo(f"{size:>15,}  {count:>9,}  total")


@contextmanager
def _files(session_id: str) -> Iterator[Files]:
    """Open the files of an existing session; no sandbox is started for them."""
    from session_widgets._sessions import open_session
    from session_widgets._store import store

    with errors_told():
        record = store().session(session_id)
        if record is None:
            raise BadValue(f"there is no session {session_id!r}. `session-widgets sessions` lists the existing ones.")
        opened = open_session(session_id)
        try:
            yield opened.files
        except OSError as error:
            if isinstance(error, SessionWidgetsError | BrokenPipeError):
                raise
            raise BadPath(f"{error.filename or 'a file of this machine'}: {error.strerror or error}") from error
        finally:
            opened.detach()


def _print(files: Files, path: str) -> None:
    """Write a file to standard output: unchanged, but safe for a terminal."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    offset = 0
    while piece := files.read_bytes(path, offset, PIECE):
        offset += len(piece)
        if sys.stdout.isatty():
            typer.echo(printable(decode(piece)), nl=False)
        else:
            sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def _zip_file(wanted: Path, path: str, session_id: str) -> Path:
    """Return the path of a zip: as given, or, in a directory, named after its content."""
    names = [name for name in path.split("/") if name not in {"", "."}]
    return wanted / f"{names[-1] if names else session_id}.zip" if wanted.is_dir() else wanted


def _is_folder(files: Files, path: str) -> bool:
    if not path or path.endswith("/"):
        return True
    try:
        return files.stat(path).type == "directory"
    except NotFound:
        return False


def _what(files: Files, path: str, *, recursive: bool) -> str:
    """Describe the files to remove; refuse a folder with content unless `recursive`."""
    shown = _shown(path)
    try:
        info = files.stat(path)
    except NotFound:  # or a dangling link
        return shown
    if info.type != "directory":
        return f"{shown} ({info.size:,} bytes)"
    inside: list[FileInfo] = [one for one in files.list(path, recursive=True) if one.type != "directory"]
    if inside and not recursive:
        raise BadPath(f"{path!r} is a folder with {len(inside):,} files; --recursive removes it with its content.")
    return f"the folder {shown} ({len(inside):,} files, {sum(one.size for one in inside):,} bytes)"


def _shown(name: str) -> str:
    """Return a name as one line that is safe to print, without cutting it."""
    return printable(name).translate({0x09: "␉", 0x0A: "␊"})
