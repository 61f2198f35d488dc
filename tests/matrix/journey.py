"""One session of a harness, led from one event to the next: it writes a file before each, and reads it back after."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil

import session_widgets as sw
from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness
from session_widgets._sessions import Session
from session_widgets.host.daemon import Daemon
from tests.matrix.memory import Messages, told_to_demo
from tests.standins.rented import CLOUDS, Rented
from tests.support.boxes import Box
from tests.support.model.serving import Model, script
from tests.support.real_harnesses import MODELS, allow_once
from tests.support.waiting import until

HARNESSES = ("demo", "claude", "codex", "opencode", "pi")
BEFORE = dict(zip(HARNESSES, HARNESSES[-1:] + HARNESSES[:-1], strict=True))
"""The harness that a session is switched from."""
ELSEWHERE = {"local": "docker", "docker": "sandbox-agent", "sandbox-agent": "local", "runner": "docker"}
ELSEWHERE |= dict.fromkeys(CLOUDS, "local")
"""The sandbox that a session is switched to."""
DEMO_BY_A_KNOWN_NAME = replace(catalog.get("demo"), id="mock")
"""sandbox-agent starts agents by names that it knows, and "demo" is none of them."""


class Journey:
    """A session that can be begun again at any time.

    Attributes:
        environment: what its notebook has set.
        bucket: the address that its workspaces lie below.
        session: None when it has ended, or not begun.
        notes: a word of each prompt, oldest first; nothing but the agent's memory can bring it back.
        files: the files that the agent should have written.
        prompts: what the user said.
    """

    def __init__(
        self,
        harness: str,
        sandbox: str,
        model: Model,
        environment: dict[str, str],
        box: Box | Rented | None,
        copies: Path,
    ) -> None:
        self.harness = harness
        self.sandbox = sandbox
        self._box = box
        self._copies = copies
        self.environment = environment
        self.bucket = ""
        self.session: Session | None = None
        self._model = model
        self._begun = 0

    @property
    def elsewhere(self) -> str:
        """Where `move` leads: sandbox-agent would not know the demo that comes from a container."""
        return "local" if (self.harness, self.sandbox) == ("demo", "docker") else ELSEWHERE[self.sandbox]

    @property
    def place(self) -> Path:
        """The directory that the sandbox works in, or a copy of it as it is now."""
        if (box := self._elsewhere) is not None:
            return box.copy(self._copies)
        return self.session._controller.state.workspace.path

    def begin(self, harness: str) -> sw.Turn:
        """Open a new session, in which the agent writes the first file."""
        self.end()
        self._begun += 1
        self.notes: list[str] = []
        self.files: dict[str, bytes] = {}
        self.prompts: list[str] = []
        self.session = sw.open_session(
            f"journey{self._begun}",
            harness=self._called(harness),
            sandbox=self.sandbox if self._box is None else self._box.name,
            token=None if self._box is None else self._box.token,
            workspace=self.bucket,
            attachment="sync",
            permissions=allow_once,
            model=MODELS.get(harness),
        )
        return self.say()

    def end(self) -> None:
        """Delete the session, if there is one."""
        session, self.session = self.session, None
        if session is not None and session.status != "deleted":
            session.delete()

    def say(self) -> sw.Turn:
        """Let the agent read the latest file, write another one with a word of ours, and say what it remembers."""
        latest = list(self.files)[-1:]
        path, token = f"token-{len(self.notes)}.txt", secrets.token_hex(16)
        note = self._note()
        if self._is_demo:
            reading = [f"run cat {name}" for name in latest]
            prompt = "\n".join([f"say {note}", *reading, f"write {path} <<EOT", token, "EOT", "remember"])
            token += "\n"
        else:
            steps = [{"text": "I read", "run": f"cat {name}"} for name in latest]
            prompt = script(*steps, {"text": "I write", "write": [path, token]}, {"recall": True}, note=note)
        self.files[path] = token.encode()
        self.prompts.append(prompt)
        return self.session.send(prompt, timeout=120)

    def renew(self) -> None:
        """End every process of the session, and lose this machine's copy of its files."""
        self.session.park()
        if self._elsewhere is None:
            shutil.rmtree(self.place)

    def hang(self) -> sw.Turn:
        """Begin a prompt whose tool call does not end, and return once that runs."""
        note, command = self._note(), "touch begun && sleep 300"
        demo = f"say {note}\nrun {command}"
        self.prompts.append(demo if self._is_demo else script({"text": "going", "run": command}, note=note))
        turn = self.session.start(self.prompts[-1])
        box = self._elsewhere
        begun = (lambda: box.has("begun")) if box is not None else (self.place / "begun").exists
        until(lambda: begun() or turn.ended, seconds=60, what="the command")
        assert not turn.ended, turn.error
        return turn

    def kill(self) -> None:
        """SIGKILL what the agent runs in."""
        if self._box is not None:
            self._box.kill()
            self._box.start()
        elif self.sandbox == "docker":
            name = self.session._controller.state.record.sandbox_ref.partition(":")[2]
            subprocess.run(["docker", "kill", f"session-widgets-{name}"], check=True, capture_output=True)
        else:
            os.kill(self._server.pid, signal.SIGKILL)

    def move(self) -> None:
        """Go on in another sandbox."""
        self.session.switch(sandbox=self.elsewhere)

    def hand_over(self) -> None:
        """Go on with the harness that this journey is of."""
        self.session.switch(harness=self._called(self.harness))
        if model := MODELS.get(self.harness):
            self.session.set_model(model)

    def remains(self) -> Callable[[], object]:
        """Return what tells later whether something is left of the directory that the sandbox works in."""
        if (box := self._elsewhere) is not None:
            return lambda: box.boxes if isinstance(box, Rented) else box.run("ls -A /workspace")
        return self.place.exists

    def processes(self) -> list[psutil.Process]:
        """What runs for the session on this machine; a container's processes cannot outlive it."""
        server = self._server
        return [] if server is None else [server, *server.children(recursive=True)]

    def heard(self) -> Messages:
        """The input of the agent's model with the latest prompt; the demo has no model and is asked itself."""
        if self._is_demo:
            return told_to_demo(self.place / ".harness" / self.session.harness)
        return [(role, words) for role, words in self._model.received[-1]["messages"] if role != "system"]

    @property
    def _elsewhere(self) -> Box | Rented | None:
        """The machine of the session's sandbox, while that is not this one."""
        return self._box if self._box is not None and self.session.sandbox == self._box.name else None

    @property
    def _is_demo(self) -> bool:
        return self.session.harness in {"demo", "mock"}

    @property
    def _server(self) -> psutil.Process | None:
        provider, _, name = (self.session._controller.state.record.sandbox_ref or "").partition(":")
        folder = {"local": "sandboxes", "sandbox-agent": "sandbox-agent"}.get(provider)
        return Daemon(Path(self.session.store.home) / folder / name).process() if folder else None

    def _called(self, harness: str) -> str | Harness:
        return DEMO_BY_A_KNOWN_NAME if (harness, self.sandbox) == ("demo", "sandbox-agent") else harness

    def _note(self) -> str:
        self.notes.append(f"TOKEN-{secrets.token_hex(8)}")
        return self.notes[-1]
