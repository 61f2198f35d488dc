"""A scripted model on this machine, for real harnesses: the prompt contains its script."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from session_widgets._sandboxes.docker_engine import engine
from tests.support import needs

HERE = Path(__file__).parent
KEYS = {"ANTHROPIC_API_KEY": "sk-ant-dummy", "OPENAI_API_KEY": "sk-dummy"}
"""No model of any vendor takes these."""


def script(*steps: dict[str, Any], note: str = "") -> str:
    """A prompt which tells the model what to answer: one step at once, and one after each tool result.

    Args:
        steps: each with `text`, `write` (path and content), `run` (a command), `call` (name and arguments of a tool),
            `recall` (name the tokens in its input), `sleep` (milliseconds), `finish` (a reason), `cut` (how many
            times it breaks off in the middle), or `error` and `status`.
        note: words before it, such as "TOKEN-1".
    """
    return f"{note} SCRIPT<<{json.dumps(steps)}>>END".strip()


@dataclass(frozen=True)
class Model:
    """A running one: `received` is what harnesses asked it, oldest first."""

    url: str
    journal: Path

    @property
    def received(self) -> list[dict[str, Any]]:
        """Requests of conversations: not the side requests, which offer no tools."""
        text = self.journal.read_text() if self.journal.exists() else ""
        asked = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [request for request in asked if request["tools"]]

    @property
    def heard(self) -> str:
        """What the latest request told it: roles and words."""
        return "\n".join(f"{role}: {words}" for role, words in self.received[-1]["messages"] if role != "system")

    @property
    def images(self) -> list[str]:
        """Those of all requests, in base64."""
        file = self.journal.with_name(f"{self.journal.name}.images")
        return file.read_text().split() if file.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        """What a notebook has to set so that harnesses ask this model."""
        others = str(self.journal.with_name("models.json"))
        return {
            "ANTHROPIC_BASE_URL": self.url,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENCODE_MODELS_PATH": others,  # OpenCode takes 1.5 s to go through all that it knows
            **KEYS,
        }


@contextmanager
def serving(
    folder: Path, host: str | None = None, prompts: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> Iterator[Model]:
    """Serve until the block ends.

    Args:
        folder: for what it keeps.
        host: an address to serve on besides loopback, with the same port.
        prompts: steps as of `script` for prompts in plain words, by the words that they begin with.
    """
    journal, plain = folder / "model.ndjson", folder / "prompts.json"
    plain.write_text(json.dumps(prompts or {}))
    (folder / "models.json").write_text("{}")
    hosts = ["127.0.0.1", *([host] if host else [])]
    process = subprocess.Popen(
        ["node", HERE / "server.mjs", "0", journal, plain, *hosts],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, f"the model ended with code {process.wait()}"
        yield Model(f"http://{hosts[-1]}:{port}", journal)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def bridge_address() -> str:
    """Where containers reach this host."""
    with engine() as client:
        options = client.networks.get("bridge").attrs["Options"]
    addresses = psutil.net_if_addrs()[options["com.docker.network.bridge.name"]]
    return next(address.address for address in addresses if address.family == socket.AF_INET)


def use(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Let the harnesses of this process, and of kernels that it starts, ask this model."""
    for name, value in model.environment.items():
        monkeypatch.setenv(name, value)
    return model


@pytest.fixture(scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    if why := needs.missing("model"):
        pytest.skip(why)
    with serving(tmp_path_factory.mktemp("model")) as model:
        yield model


@pytest.fixture
def model(_model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The model, with the settings and dummy keys that lead to it."""
    return use(_model, monkeypatch)


@pytest.fixture(scope="module")
def _bridged_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    if why := needs.missing("model") or needs.missing("docker"):
        pytest.skip(why)
    with serving(tmp_path_factory.mktemp("model"), bridge_address()) as model:
        yield model


@pytest.fixture
def bridged_model(_bridged_model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The model at an address that containers of this host reach."""
    return use(_bridged_model, monkeypatch)
