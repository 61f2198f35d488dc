"""What vendors' builders are asked to run: steps of `sandbox-image/Dockerfile`, and the commands of `setup`."""

import os
import subprocess
from threading import Event

import pytest

from session_widgets._sandboxes import images
from session_widgets._sandboxes.clouds.recipes import Recipe, title_of
from session_widgets._sandboxes.docker_engine import engine


def test_the_image_of_this_package_is_that_of_the_dockerfile_without_its_runner():
    own = Recipe(None, ())
    assert own.debian.startswith("debian:bookworm-slim@sha256:")
    assert [title_of(command) for command in own.commands] == [
        "install certificates and Python",
        "install git and other tools",
        "make a place to build in",
        "install Node.js",
        "make a Python for the agent",
    ]
    assert not any("\n" in command or "session_widgets" in command for command in own.commands)


def test_a_name_is_a_hash_of_all_that_decides_about_an_image(monkeypatch):
    own = Recipe(None, ())
    recipes = [own, Recipe(None, ("a",)), Recipe(None, ("a", "b")), Recipe("python:3.12", ("a",))]
    names = [recipe.name() for recipe in recipes] + [own.name([("cpu", 2)])]
    assert len({*names, own.name()}) == len(names)
    text = images.dockerfile()
    monkeypatch.setattr("session_widgets._sandboxes.clouds.recipes.dockerfile", lambda: text + "\nRUN : more; true")
    assert own.name() == names[0], "of this step clouds have nothing"
    changed = text.replace("curl git less", "curl git")
    monkeypatch.setattr("session_widgets._sandboxes.clouds.recipes.dockerfile", lambda: changed)
    assert own.name() != names[0]


@pytest.mark.parametrize(
    "command",
    [
        "exit 3",
        "echo on # and no more",
        "cat; echo >&2 end",
        "-x",
        "[ -d / ]",
        "echo a \\",
        "cat <<A\n$HOME\nA",
        "echo 'it''s' \"$PATH\"",
    ],
)
def test_a_command_of_setup_is_one_line_that_does_the_same(command, tmp_path):
    line, note = Recipe("x", (command,)).layer
    assert "\n" not in line
    assert not line.endswith("\\")
    assert title_of(note) == "note the setup"
    environment = {"HOME": "/root", "PATH": f"/opt/venv/bin:/opt/node/bin:{os.environ['PATH']}"}
    plain = _run(["/bin/sh", "-c", "--", command], cwd="/root", env=environment)
    as_line = _run(["/bin/sh", "-c", line], cwd=tmp_path)
    said = f"failed: setup command 1 with code {plain.returncode}\n" if plain.returncode else ""
    assert (as_line.returncode, as_line.stdout) == (plain.returncode, plain.stdout + said)


def _run(argv, **options):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(argv, **pipes, **options, text=True, check=False)


def _path() -> str:
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.needs("docker")
def test_the_steps_build_an_image_with_all_that_agents_expect():
    """With Docker, in one stage and without files, as the vendors run them."""
    setup = ("pip install --quiet six", "cat > /srv/poem <<'EOT'\n$HOME 'sweet'\nEOT")
    recipe, context = Recipe(None, setup), images.build_context()
    lines = [
        f"ARG BASE={recipe.debian}",
        "FROM ${BASE}",
        "ARG PIP_INDEX_URL",
        "COPY extra-ca.crt /usr/local/share/ca-certificates/extra-ca.crt",
        "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt",
        *(f"RUN {command}" for command in recipe.commands),
    ]
    content = {"Dockerfile": "\n".join(lines).encode(), "extra-ca.crt": context["extra-ca.crt"]}
    name = f"session-widgets-recipe:{os.getpid()}"
    look = (
        "node --version; npm --version; git --version; rg --version; python3 --version; cat /srv/poem; "
        "setpriv --reuid 1234 --clear-groups sh -c "
        "'HOME=/tmp pip install --quiet --upgrade --force-reinstall --no-deps --no-index six 2>&1 | tail -1; "
        'python -c "import six; print(six.__file__)"\''
    )
    with engine() as docker:
        images.build(docker, name, content, {}, print, Event())
        try:
            path = f"/opt/venv/bin:/opt/node/bin:{_path()}"
            printed = docker.containers.run(name, ["sh", "-c", look], environment={"PATH": path}, remove=True).decode()
            size = docker.images.get(name).attrs["Size"]
        finally:
            docker.images.remove(name, force=True)
    for word in ("v22.", "git version", "ripgrep", "Python 3.11", "$HOME 'sweet'", "/opt/venv/lib/python3.11/"):
        assert word in printed, printed
    assert size < 450e6
