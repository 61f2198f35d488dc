"""All sandboxes of an installation: a provider that fails or is silent hides no other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from session_widgets._sandboxes import survey
from session_widgets._sandboxes.contract import SandboxInfo
from session_widgets.errors import SandboxAuth
from session_widgets.model import SandboxRef

INFO = SandboxInfo(SandboxRef("good", "a"), "one", "me", running=True, created_at=datetime.now(UTC), expires_at=None)


class Provider:
    """One that does what its name says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    async def list(self):
        if self.name == "silent":
            await asyncio.sleep(3600)
        if self.name == "broken":
            raise RuntimeError("no such thing")
        if self.name == "refused":
            raise SandboxAuth("set THE_KEY")
        yield INFO

    async def aclose(self) -> None:
        self.closed = True


async def test_one_that_fails_or_is_silent_hides_no_other(tmp_path, monkeypatch):
    providers = {name: Provider(name) for name in ("silent", "broken", "good", "refused")}
    monkeypatch.setattr(survey, "provider_names", lambda: list(providers))
    monkeypatch.setattr(survey, "get_provider", lambda name, home: providers[name])
    monkeypatch.setattr(survey, "SECONDS", 0.05)
    found = {one.name: one for one in await survey.survey(tmp_path)}
    assert {name: (one.problem, one.complete) for name, one in found.items()} == {
        "silent": ("it did not answer within 0.05 s: ask again.", False),
        "broken": ("RuntimeError: no such thing", False),
        "good": ("", True),
        "refused": ("set THE_KEY", False),
    }
    assert found["good"].sandboxes == (INFO,)
    assert all(one.closed for one in providers.values())
