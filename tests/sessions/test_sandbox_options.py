"""Sandbox options: passed, stored with the session, restored, and enforced."""

import pytest

import session_widgets as sw
from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sandboxes.images import build_context, tag_of
from session_widgets.errors import BadValue
from tests.support.kernels import Kernel

SECRET = "a-planted-value-of-the-environment"
EAT = "python -c \"data = bytearray(b'x') * (400 << 20); print('ate it')\""
SPIN = "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null | grep nr_throttled"
PRINT = """write hello.py <<EOT
print("hello from " + __import__("sys").executable)
EOT
run python hello.py > out.txt"""
CODE = """
s = sw.open_session("s1", sandbox=sw.Sandbox("local", env={"SEED": "SECRET"}), permissions="allow_all")
print(json.dumps(s.exec("echo $SEED").out))
""".replace("SECRET", SECRET)


def everything_stored():
    return str(sw.store().sql("from v_events").fetchall()) + str(sw.store().sql("from v_sessions").fetchall())


def test_the_environment_outlives_the_kernel_and_is_in_no_store(forked, open_session, home):
    kernel = Kernel(forked, CODE)
    assert kernel.read() == f"{SECRET}\n"
    kernel.kill()
    session = open_session()
    assert session.exec("echo $SEED").out == f"{SECRET}\n"
    assert session.send('run test -n "$SEED"').status == "completed"
    assert SECRET not in everything_stored()
    session.park()
    assert session.exec("echo $SEED").out == f"{SECRET}\n"
    session = open_session(sandbox=sw.Sandbox("local", env={"SEED": "another"}))
    session.send("say hello")
    assert session.exec("echo $SEED").out == "another\n"
    (file,) = (home / "environments").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    stored = [event.payload for event in session.events() if event.kind == "session_sandbox"]
    assert [note["env"] for note in stored] == [["SEED"], ["SEED"]]
    file.unlink()
    session.park()
    assert "Give them again" in session.send("say hello").error
    open_session(sandbox=sw.Sandbox("local", env={"SEED": "a third"}))
    assert session.send("say hello").status == "completed"
    session.delete()
    assert list((home / "environments").iterdir()) == []


def test_what_a_sandbox_does_not_take_is_refused_before_anything_is_made(open_session):
    with pytest.raises(BadValue, match="takes confine=, env=, idle=, mounts=, network= alone; got memory="):
        sw.open_session("s1", sandbox=sw.Sandbox("local", memory="1g"))
    assert sw.store().session("s1") is None
    session = open_session()
    with pytest.raises(BadValue, match="takes confine=, env=, idle=, mounts=, network= alone; got cpus="):
        session.switch(sandbox=sw.Sandbox("local", cpus=1))


@pytest.mark.needs("docker")
def test_python_in_docker_is_there_and_its_bounds_fire(open_session, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "set.csv").write_text("1,2\n")
    given = sw.Sandbox("docker", cpus=0.2, memory="200m", env={"SEED": SECRET}, mounts={data: "/data"})
    session = open_session()
    session.switch(sandbox=given)
    turn = session.send(PRINT)
    assert (turn.status, turn.error) == ("completed", None)
    assert session.files.read_text("out.txt") == "hello from /opt/venv/bin/python\n"
    assert session.exec("echo $SEED; cat /data/set.csv").out == f"{SECRET}\n1,2\n"
    assert "Read-only" in session.exec("touch /data/new").err
    assert session.exec("python -m venv --without-pip /tmp/v && pip --version").code == 0
    ref = session._controller.state.record.sandbox_ref.partition(":")[2]
    with engine() as docker:
        container = docker.api.inspect_container(f"session-widgets-{ref}")
    assert SECRET not in str(container)
    assert (container["HostConfig"]["Memory"], container["HostConfig"]["NanoCpus"]) == (200 << 20, 200_000_000)
    eaten = session.exec(EAT)
    assert (eaten.code, eaten.out) == (137, "")
    throttled = [int(line.split()[1]) for line in session.exec(SPIN).out.splitlines()]
    assert throttled[0] > 0
    assert session.exec("dd if=/dev/zero of=/dev/shm/x bs=1M count=100").code != 0  # the only disk with a bound
    assert session.send("say still here").status == "completed"
    session.switch(sandbox=sw.Sandbox("docker", memory="300m"))
    session.send("say hello")
    ref = session._controller.state.record.sandbox_ref.partition(":")[2]
    with engine() as docker:
        assert docker.api.inspect_container(f"session-widgets-{ref}")["HostConfig"]["Memory"] == 300 << 20


@pytest.mark.needs("docker")
def test_an_image_of_ones_own(open_session):
    with engine() as docker:
        docker.images.get(tag_of(build_context())).tag("session-widgets-own-image", "1")
    try:
        session = open_session(sandbox=sw.Sandbox("docker", image="session-widgets-own-image:1"))
        assert session.exec("true").code == 0
        ref = session._controller.state.record.sandbox_ref.partition(":")[2]
        with engine() as docker:
            inspected = docker.api.inspect_container(f"session-widgets-{ref}")
        assert inspected["Config"]["Image"] == "session-widgets-own-image:1"
        session.delete()
    finally:
        with engine() as docker:
            docker.images.remove("session-widgets-own-image:1")
