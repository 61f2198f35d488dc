"""Skills of a session: folders with instructions, in the open format of agentskills.io, for its harness."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shlex
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from session_widgets._sandboxes import Sandbox
from session_widgets.errors import BadValue, NotFound, SessionError
from session_widgets.host.daemon import read_json, write_private
from session_widgets.host.manifest import CACHES
from session_widgets.host.tree import Walk

FILE = "SKILL.md"
INDEX = "index.json"
MAX_FILES = 500
MAX_BYTES = 10 << 20
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\s*$", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^(name|description):[ \t]*(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill, read and validated.

    Attributes:
        name: from its `SKILL.md`; harnesses require a folder of this name.
        files: content and execute permission, by path below the folder.
    """

    name: str
    files: Mapping[str, tuple[bytes, bool]]


def check_skills(value: object) -> tuple[Skill, ...]:
    """Read the folders of `open_session`; raise `BadValue` for an invalid skill."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise BadValue(f"skills must be a list of folders; got {value!r:.80}.")
    skills = tuple(read_skill(folder) for folder in value)
    names = [skill.name for skill in skills]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadValue(f"two of skills are called {twice!r}.")
    return skills


def read_skill(folder: object) -> Skill:
    """Read one folder; raise `BadValue` if it is no skill, or too large."""
    if not isinstance(folder, str | Path):
        raise BadValue(f"each of skills must be the path of a folder; got {folder!r:.80}.")
    place = Path(folder).expanduser()
    try:
        text = (place / FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadValue(f"a skill is a folder that holds {FILE}; {str(folder)!r:.200} does not: {error}.") from error
    name = _name(text, place)
    walk = Walk(limit=MAX_FILES, skip=CACHES | {".git"})
    directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        walk.run(directory)
    finally:
        os.close(directory)
    found = [entry for entry in walk.found if not entry.is_directory]
    if odd := next((entry.path for entry in found if not stat.S_ISREG(entry.info.st_mode)), None):
        raise BadValue(f"the skill {name!r} holds {odd!r:.120}, which is no file. Put the file itself there.")
    if walk.truncated or sum(entry.info.st_size for entry in found) > MAX_BYTES:
        raise BadValue(f"the skill {name!r} is larger than {MAX_FILES} entries or {MAX_BYTES >> 20} MiB.")
    files = {
        entry.path: ((place / entry.path).read_bytes(), bool(entry.info.st_mode & stat.S_IXUSR)) for entry in found
    }
    return Skill(name, files)


def _name(text: str, place: Path) -> str:
    """Return the name in the head of a `SKILL.md`; raise `BadValue` if it lacks required fields."""
    head = _FRONT.match(text)
    found = _FIELD.findall(head.group(1)) if head else []
    fields: dict[str, str] = {name: value.strip().strip("\"'") for name, value in found}
    if not fields.get("name") or not fields.get("description"):
        raise BadValue(f"{str(place / FILE)!r:.200} must begin with '---', a name:, a description:, and '---'.")
    name = fields["name"]
    if len(name) > 64 or not _NAME.fullmatch(name):
        raise BadValue(
            f"the name of a skill is a-z, 0-9 and '-', at most 64 characters; {str(place)!r:.200} has {name!r:.80}."
        )
    return name


class Skills:
    """The skills of a session, stored beside its store, for each of its agents.

    Args:
        home: directory of the store's sessions.
        session_id: of the session.
    """

    def __init__(self, home: Path, session_id: str) -> None:
        self._place = home / "skills" / session_id

    @property
    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(self._index().get("names", ()))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of their content; "" without any."""
        return str(self._index().get("fingerprint", ""))

    def keep(self, skills: Sequence[Skill]) -> None:
        """Store these and no others; an interrupted call leaves all of the new or all of the old ones. Blocks."""
        new = self._place / uuid4().hex
        self._place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._place.mkdir(mode=0o700, exist_ok=True)
        new.mkdir(mode=0o700)
        digest = hashlib.sha256()
        for skill in sorted(skills, key=lambda skill: skill.name):
            for path, (content, runs) in sorted(skill.files.items()):
                file = new / skill.name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                file.chmod(0o700 if runs else 0o600)
                digest.update(f"{skill.name}/{path}\0{runs}\0{len(content)}\0".encode() + content)
        names = sorted(skill.name for skill in skills)
        fingerprint = digest.hexdigest()[:16] if names else ""
        write_private(self._place / INDEX, {"names": names, "fingerprint": fingerprint, "folder": new.name})
        for left in self._place.iterdir():
            if left.is_dir() and left != new:
                shutil.rmtree(left)

    def copy(self, other: Skills) -> None:
        """Store those of another session. Blocks."""
        if other.names:
            self.keep(other._kept())

    def remove(self) -> None:
        """Delete all. Blocks."""
        (self._place / INDEX).unlink(missing_ok=True)
        if self._place.exists():
            shutil.rmtree(self._place)

    def _index(self) -> dict[str, Any]:
        return read_json(self._place / INDEX) or {}

    def _kept(self) -> list[Skill]:
        index = self._index()
        return [read_skill(self._place / index.get("folder", "") / name) for name in index.get("names", ())]

    async def put(self, sandbox: Sandbox, folder: str, before: Sequence[str]) -> list[str]:
        """Copy them to the harness's folder, and remove earlier copies that are no longer needed.

        Args:
            sandbox: of the workspace.
            folder: of the workspace, for the harness's skills.
            before: result of an earlier call.

        Returns:
            Their folders in the workspace.

        Raises:
            SessionError: the workspace has its own skill there.
        """
        kept = await asyncio.to_thread(self._kept)
        places = {f"{folder}/{skill.name}": skill for skill in kept}
        for place, skill in places.items():
            await _put(sandbox, place, skill, ours=place in before)
        for place in set(before) - places.keys():
            try:
                await sandbox.runner.delete(place, recursive=True)
            except NotFound:
                continue
        return list(places)


async def _put(sandbox: Sandbox, place: str, skill: Skill, *, ours: bool) -> None:
    try:
        there = {info.path: info.size for info in await sandbox.runner.list(place, recursive=True)}
    except NotFound:
        there = {}
    written: list[str] = []
    for path, (content, _) in skill.files.items():
        target = f"{place}/{path}"
        if target in there and there[target] == len(content) and await sandbox.runner.read(target) == content:
            continue
        if there and not ours:
            raise SessionError(
                f"the workspace has a skill {place!r} of its own, other than the one that this session was given. "
                "Rename or remove one of the two, then send again."
            )
        await sandbox.write(target, content)
        written.append(target)
    if programs := [path for path in written if skill.files[path.removeprefix(f"{place}/")][1]]:
        await sandbox.exec(f"chmod u+x -- {shlex.join(programs)}")
