"""`sandbox="containers"`: containers of the Docker engine that the program `docker` reaches, here or elsewhere."""

import asyncio
import json
import os
from datetime import datetime

from session_widgets._sandboxes.clouds.contract import Box, BoxInfo, Done, Vendor
from session_widgets._sandboxes.clouds.provider import CloudProvider
from session_widgets.errors import ExecTimeout, SandboxGone, TransportError
from session_widgets.model import Capability, Endpoint


async def ask(*words, given=None):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    process = await asyncio.create_subprocess_exec("docker", *words, **pipes)
    out, err = await process.communicate(given)
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


async def docker(*words, given=None):
    code, out, err = await ask(*words, given=given)
    if code:
        raise (SandboxGone if "No such container" in err else TransportError)(f"docker {words[0]}: {err}")
    return out.strip()


class Container(Box):
    def __init__(self, id):
        self.id = id

    async def exec(self, script, *, timeout):
        limited = ("timeout", "--signal=KILL", str(timeout), "/bin/sh", "-c", script)
        code, out, err = await ask("exec", "--user=0", self.id, *limited)
        if code == 137:
            raise ExecTimeout(f"the command ran longer than {timeout:g} s and was killed.")
        return Done(code, out + err)

    async def write(self, path, data):
        await docker("exec", "--user=0", "--interactive", self.id, "/bin/sh", "-c", 'cat > "$0"', path, given=data)

    async def endpoint(self, port):
        return Endpoint(f"http://{await docker('port', self.id, str(port))}")


class Containers(Vendor):
    name, title, remedy = "containers", "Docker", "https://docs.docker.com/engine/install"
    capabilities, options, boxes = Capability(0), frozenset({"image", "cpus", "memory"}), 100

    async def create(self, spec):
        words = [f"--label={name}={value}" for name, value in spec.labels.items()]
        words += [f"--publish=127.0.0.1::{port}" for port in spec.ports]
        words += [f"--{name}={value}" for name in ("cpus", "memory") if (value := getattr(spec, name))]
        words += ["--entrypoint=sleep", spec.image or os.environ.get("CONTAINERS_IMAGE", "python:3.12")]
        return Container(await docker("run", "--detach", "--init", *words, str(spec.lifetime)))

    async def attach(self, id, spec):
        await docker("start", id)
        return Container(id)

    async def park(self, id, record):
        await docker("stop", "--time=1", id)
        return id

    async def destroy(self, id):
        return id in await docker("rm", "--force", "--volumes", id)

    async def list(self, labels):
        wanted = [f"--filter=label={name}={value}" for name, value in labels.items()]
        ids = (await docker("ps", "--all", "--quiet", "--no-trunc", *wanted)).split()
        for found in json.loads(await docker("inspect", *ids)) if ids else []:
            created = datetime.fromisoformat(found["Created"][:19] + "+00:00")
            yield BoxInfo(found["Id"], found["Config"]["Labels"], found["State"]["Running"], created)


def provider(home):
    return CloudProvider(home, Containers())
