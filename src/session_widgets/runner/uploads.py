"""`/v1/fs/upload-batch`: a tar archive unpacked into the workspace."""

from __future__ import annotations

import asyncio
import tarfile
import tempfile
from pathlib import Path
from typing import IO

import orjson
from starlette.requests import Request
from starlette.responses import Response

from session_widgets.runner.bodies import stream_body
from session_widgets.runner.files import CHUNK
from session_widgets.runner.jail import Jail
from session_widgets.runner.limits import Limits
from session_widgets.runner.problems import invalid, over_limit
from session_widgets.runner.writing import Upload, make_directory

PATHS_TOLD = 1024


class TarUpload:
    """Accepts plain tar archives of files and directories; every name is checked before any is written."""

    def __init__(self, jail: Jail, limits: Limits, spool: Path) -> None:
        self._jail = jail
        self._limits = limits
        self._spool = spool

    async def upload(self, request: Request) -> Response:
        """Unpack the body below `path`."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-tar":
            raise invalid("content-type must be application/x-tar")
        with tempfile.TemporaryFile(dir=self._spool) as archive:
            async for chunk in stream_body(request, "max_file_bytes", self._limits.max_file_bytes):
                await asyncio.to_thread(archive.write, chunk)
            paths = await asyncio.to_thread(self._unpack, archive, request.query_params.get("path", ""))
        body = {"paths": paths[:PATHS_TOLD], "truncated": len(paths) > PATHS_TOLD}
        return Response(orjson.dumps(body), media_type="application/json")

    def _unpack(self, archive: IO[bytes], target: str) -> list[str]:
        archive.seek(0)
        try:
            with tarfile.open(fileobj=archive, mode="r:") as tar:
                members = self._checked(tar)
                return [self._place(tar, member, target) for member in members]
        except tarfile.TarError as error:
            raise invalid(f"body is not a plain tar archive: {error}") from error

    def _checked(self, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
        members = []
        for member in tar:
            if member.name.startswith("/") or ".." in member.name.split("/") or "\0" in member.name:
                raise invalid(f"invalid relative path: {member.name}")
            if member.issparse():
                raise invalid(f"sparse files are refused, because a small archive may contain huge ones: {member.name}")
            if not (member.isreg() or member.isdir()):
                raise invalid(f"only files and directories are accepted: {member.name}")
            members.append(member)
            if len(members) > self._limits.max_entries:
                raise over_limit(413, "max_entries", self._limits.max_entries, "too many archive members")
        return members

    def _place(self, tar: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> str:
        path = f"{target}/{member.name}" if target else member.name
        if member.isdir():
            return make_directory(self._jail, path)
        content = tar.extractfile(member)
        assert content is not None
        upload = Upload(self._jail, path, member.mode & 0o777)
        try:
            while chunk := content.read(CHUNK):
                upload.write(chunk)
            return upload.finish()[0]
        finally:
            upload.discard()
