"""The builder of E2B's stand-in: templates, their builds with output, and their tags."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from e2b.api.client.models import (
    AssignedTemplateTags,
    AssignTemplateTagsRequest,
    BuildLogEntry,
    BuildStatusReason,
    LogLevel,
    TemplateBuildInfo,
    TemplateBuildRequestV3,
    TemplateBuildStartV2,
    TemplateBuildStatus,
    TemplateRequestResponseV3,
    TemplateTag,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from session_widgets._sandboxes.clouds.recipes import Recipe
from tests.standins.builds import Failed, build
from tests.standins.e2b_boxes import Missing, Refused

LOGS = 3
"""Lines of output that one answer has: few, so that the rest is asked for."""
LEAST_MEMORY, MOST_CPUS, MOST_MEMORY = 128, 8, 8192
"""Of a template: the vendor's least, the plan's most."""


@dataclass(eq=False)
class Build:
    """One build of a template."""

    id: str = field(default_factory=lambda: str(uuid4()))
    status: TemplateBuildStatus = TemplateBuildStatus.WAITING
    log: list[BuildLogEntry] = field(default_factory=list)
    why: str = ""
    tree: Path | None = None
    size: tuple[int, int] = (2, 1024)
    """Processors, and MiB of memory: by default the vendor's."""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def say(self, text: str) -> None:
        self.log.append(BuildLogEntry(datetime.now(UTC), text, LogLevel.INFO))


@dataclass(eq=False)
class Template:
    """A template: its builds, and which of them a tag means."""

    name: str
    id: str = field(default_factory=lambda: f"tpl-{uuid4().hex[:12]}")
    builds: dict[str, Build] = field(default_factory=dict)
    tags: dict[str, Build] = field(default_factory=dict)


class Templates:
    """All templates of the account."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: list[Template] = []
        self.started: list[dict[str, Any]] = []
        done = Build(status=TemplateBuildStatus.READY)
        for name, tag in (("base", "default"), (Recipe(None, ()).name(), "ready")):
            self.all.append(Template(name, builds={done.id: done}, tags={tag: done}))

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/v3/templates", self._request, methods=["POST"]),
            Route("/v2/templates/{id}/builds/{build}", self._start, methods=["POST"]),
            Route("/templates/{id}/builds/{build}/status", self._status, methods=["GET"]),
            Route("/templates/tags", self._assign, methods=["POST"]),
            Route("/templates/{id}/tags", self._tags, methods=["GET"]),
        ]

    def ready(self, name: str) -> Build:
        """Return the complete build of `NAME` or `NAME:TAG`."""
        plain, _, tag = name.partition(":")
        found = self._get(plain).tags.get(tag or "default")
        if found is None or found.status is not TemplateBuildStatus.READY:
            raise Missing(f"template '{name}' not found")
        return found

    def show(self) -> dict[str, dict[str, str]]:
        """Return the templates by their names: the states of the builds that their tags mean."""
        return {one.name: {tag: build.status.value for tag, build in one.tags.items()} for one in self.all}

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _get(self, name: str) -> Template:
        for template in self.all:
            if name in {template.name, template.id}:
                return template
        raise Missing(f"template '{name}' not found")

    async def _request(self, request: Request) -> Response:
        asked = TemplateBuildRequestV3.from_dict(await request.json())
        size = _size(asked)
        name, _, tag = str(asked.name).partition(":")
        try:
            template = self._get(name)
        except Missing:
            self.all.append(template := Template(name))
        new = Build(size=size)
        template.builds[new.id] = template.tags[tag or "default"] = new
        answer = TemplateRequestResponseV3(template.id, new.id, False, [name], [tag or "default"], [name])
        return JSONResponse(answer.to_dict(), status_code=202)

    async def _start(self, request: Request) -> Response:
        body = await request.json()
        asked = TemplateBuildStartV2.from_dict(body)
        wanted = self._build(request)
        base = self.ready(asked.from_template).tree if asked.from_template else None
        self.started.append({**body, "size": wanted.size})
        commands = []
        for step in asked.steps or []:
            command, user = step.args
            assert (step.type_, user) == ("RUN", "root")
            commands.append(command)
        wanted.status = TemplateBuildStatus.BUILDING
        task = asyncio.ensure_future(self._run(wanted, base, commands))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Response(status_code=202)

    async def _run(self, wanted: Build, base: Path | None, commands: list[str]) -> None:
        try:
            wanted.tree = await build(self._place, base, commands, ("/bin/bash", "-l", "-c"), wanted.say)
            wanted.status = TemplateBuildStatus.READY
        except Failed as failed:
            wanted.why = str(failed)
            wanted.status = TemplateBuildStatus.ERROR

    async def _status(self, request: Request) -> Response:
        wanted = self._build(request)
        start = int(request.query_params.get("logsOffset", 0))
        facts: dict[str, Any] = {"template_id": request.path_params["id"], "build_id": wanted.id}
        if wanted.why:
            facts["reason"] = BuildStatusReason(wanted.why)
        entries = wanted.log[start : start + LOGS]
        return JSONResponse(TemplateBuildInfo(logs=[], log_entries=entries, status=wanted.status, **facts).to_dict())

    async def _assign(self, request: Request) -> Response:
        asked = AssignTemplateTagsRequest.from_dict(await request.json())
        name, _, tag = asked.target.partition(":")
        template = self._get(name)
        found = template.tags[tag]
        template.tags |= dict.fromkeys(asked.tags, found)
        return JSONResponse(AssignedTemplateTags(asked.tags, found.id).to_dict(), status_code=201)  # type: ignore[arg-type]

    async def _tags(self, request: Request) -> Response:
        template = self._get(request.path_params["id"])
        tags = [TemplateTag(tag, build.id, build.created) for tag, build in template.tags.items()]  # type: ignore[arg-type]
        return JSONResponse([tag.to_dict() for tag in tags])

    def _build(self, request: Request) -> Build:
        found = self._get(request.path_params["id"]).builds.get(request.path_params["build"])
        if found is None:
            raise Missing("build not found")
        return found


def _size(asked: TemplateBuildRequestV3) -> tuple[int, int]:
    """Return the size that a build asks for, or refuse it as the vendor does."""
    assert isinstance(asked.cpu_count, int), "the adapter leaves no size to the vendor"
    assert isinstance(asked.memory_mb, int)
    if asked.cpu_count < 1 or (asked.cpu_count != 1 and asked.cpu_count % 2):
        raise Refused("CPU count must be 1 or an even number")
    if asked.cpu_count > MOST_CPUS:
        raise Refused(f"CPU count can't be higher than {MOST_CPUS} (if you need more, please contact support)")
    if asked.memory_mb < LEAST_MEMORY:
        raise Refused(f"Memory must be at least {LEAST_MEMORY} MiB")
    if asked.memory_mb % 2:
        raise Refused("Memory must be divisible by 2")
    if asked.memory_mb > MOST_MEMORY:
        raise Refused(f"Memory can't be higher than {MOST_MEMORY} MiB (if you need more, please contact support)")
    return asked.cpu_count, asked.memory_mb
