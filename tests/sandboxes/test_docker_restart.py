"""The daemon of Docker goes and comes back."""

import signal

import pytest

from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.images import build_context, tag_of
from session_widgets.errors import SandboxError, TransportError
from tests.support.private_dockerd import private_dockerd

pytestmark = [pytest.mark.needs("docker", "dockerd"), pytest.mark.timeout(300)]


async def announce(ref):
    """Nobody writes it down."""


async def test_containers_come_back_with_their_files_after_the_daemon(tmp_path, monkeypatch):
    with private_dockerd() as daemon:
        daemon.take_image(tag_of(build_context()))
        monkeypatch.setenv("DOCKER_HOST", daemon.url)
        provider = get_provider("docker", tmp_path)
        specs = [SandboxSpec("s1", str(tmp_path / network), {}, network=network) for network in ("open", "none")]
        made = [await provider.create(spec, announce) for spec in specs]
        for sandbox in made:
            await sandbox.write("note", b"kept")
            await sandbox.exec("echo kept > ~/home-note")
        for number in (signal.SIGTERM, signal.SIGKILL):
            daemon.end(number)
            with pytest.raises((SandboxError, TransportError)):
                await provider.attach(made[0].ref)
            with pytest.raises((SandboxError, TransportError)):
                await provider.destroy(made[0].ref)
            daemon.start()
            for sandbox in made:
                again = await provider.attach(sandbox.ref)
                assert await again.read("note") == b"kept"
                assert (await again.exec("cat ~/home-note")).out == "kept\n"
                await again.aclose()
        for sandbox in made:
            await sandbox.aclose()
            assert await provider.destroy(sandbox.ref) is True
        assert [info async for info in provider.list()] == []
