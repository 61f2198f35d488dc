"""Commands of `setup=` in docker: layers of an image, made once."""

import io
import re
import tarfile
from contextlib import suppress
from threading import Event
from uuid import uuid4

import pytest
from docker.errors import NotFound

from session_widgets._sandboxes import SandboxSpec, docker_setup, get_provider
from session_widgets._sandboxes.conformance import Subject
from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sandboxes.docker_setup import REPOSITORY, set_up
from session_widgets._sandboxes.images import build_context, tag_of
from session_widgets.errors import SandboxError
from session_widgets.progress import silent

pytestmark = pytest.mark.needs("docker")

IMAGE = tag_of(build_context())


@pytest.fixture
def own(tmp_path):
    """A command that no other test runs; the images with it are removed afterwards."""
    command = f"echo {uuid4().hex} > /srv/own"
    yield command
    with engine() as docker:
        for tag in [tag for image in docker.images.list(REPOSITORY) for tag in image.tags]:
            with suppress(NotFound):  # another test's, removed meanwhile
                if any(command in layer["CreatedBy"] for layer in docker.api.history(tag)):
                    docker.images.remove(tag, force=True)


def inspect(name):
    with engine() as docker:
        return docker.api.inspect_container(name)


async def test_commands_run_once_as_root_and_the_next_session_finds_them(tmp_path, own):
    commands = (
        own,
        "id -u > /srv/who; pwd >> /srv/who; echo $HOME >> /srv/who",
        "cat <<'END' > /srv/text\ntwo lines,\n'quoted' \"$HOME\" \\\nEND",
        "touch /opt/venv/installed",
    )
    said = []

    def subject(home):
        spec = SandboxSpec("s1", str(home / "w"), {}, setup=commands, network="none", progress=said.append)
        return Subject(get_provider("docker", home), lambda: spec)

    async with subject(tmp_path / "a").sandbox() as sandbox:
        assert (await sandbox.exec("cat /srv/who")).out.split() == ["0", "/root", "/root"]
        assert (await sandbox.exec("cat /srv/text")).out == "two lines,\n'quoted' \"$HOME\" \\\n"
        assert (await sandbox.exec("echo more >> /opt/venv/installed; id -u")).out != "0\n"
        assert (await sandbox.exec("echo more >> /srv/who")).code != 0
        made = inspect(f"session-widgets-{sandbox.ref.id}")
        assert inspect(f"session-widgets-{sandbox.ref.id}-gateway")["Config"]["Image"] == IMAGE
    steps = [text for text in said if text.startswith("Setting up the sandbox")]
    assert [re.sub(": .*", "", text, flags=re.DOTALL) for text in steps] == [
        f"Setting up the sandbox, {number} of 4" for number in (1, 2, 3, 4)
    ]
    assert steps[0].endswith(own)
    with engine() as docker:
        base, layered = (docker.images.get(name).attrs["Config"] for name in (IMAGE, made["Config"]["Image"]))
    for fact in ("User", "Env", "Entrypoint", "WorkingDir"):
        assert layered[fact] == base[fact]
    said.clear()
    async with subject(tmp_path / "b").sandbox() as sandbox:
        assert (await sandbox.exec("cat /srv/who")).out.split()[0] == "0"
        assert [text for text in said if text.startswith("Setting up")] == []


async def test_a_command_that_fails_is_named_with_its_output_and_nothing_is_left(tmp_path, own):
    wrong = "echo out; echo err >&2; exit 3"
    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, setup=(own, wrong))
    subject = Subject(get_provider("docker", tmp_path), lambda: spec)
    with pytest.raises(SandboxError, match=r"setup: 'echo out; .* exit 3' failed with code 3:\nout\nerr$"):
        await subject.provider.create(subject.spec(), subject.announce)
    assert [info async for info in subject.provider.list()] == []


def test_a_command_that_takes_too_long_is_ended(tmp_path, own, monkeypatch):
    monkeypatch.setattr(docker_setup, "SETUP_SECONDS", 1)
    with engine() as docker, pytest.raises(SandboxError, match=r"setup: '.*' was ended after .*ended:\nbegun$"):
        set_up(docker, tmp_path / "lock", silent, Event(), IMAGE, [f"{own}; echo begun; sleep 60"])


def test_an_image_without_a_shell_is_named(tmp_path, own):
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    name = f"session-widgets-test:without-a-shell-{uuid4().hex}"
    repository, _, tag = name.partition(":")
    with engine() as docker:
        docker.api.import_image_from_data(empty.getvalue(), repository=repository, tag=tag)
        try:
            with pytest.raises(SandboxError, match=r"without-a-shell-\w+' has no shell \(/bin/sh\).*Leave setup= out"):
                set_up(docker, tmp_path / "lock", silent, Event(), name, [own])
        finally:
            docker.images.remove(name, force=True)
