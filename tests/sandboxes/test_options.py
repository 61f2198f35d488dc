"""`Sandbox`: its options and its errors."""

import importlib.util

import orjson
import pytest

import session_widgets as sw
from session_widgets._sandboxes.network import reached
from session_widgets._sandboxes.options import check_taken
from session_widgets.errors import BadValue
from session_widgets.transcript.notes import SessionSandbox
from tests.support.paths import ROOT

WRONG = [
    ({"name": ""}, "name must be"),
    ({"image": "two words"}, "image must be"),
    ({"image": 3}, "image must be"),
    ({"cpus": 0}, "cpus must be"),
    ({"cpus": True}, "cpus must be"),
    ({"cpus": float("nan")}, "cpus must be"),
    ({"cpus": "2"}, "cpus must be"),
    ({"memory": "lots"}, "memory must be"),
    ({"memory": "1m"}, "at least 64 MB"),
    ({"memory": -1}, "memory must be"),
    ({"memory": True}, "memory must be"),
    ({"env": ["A=b"]}, "env must be"),
    ({"env": {"A B": "c"}}, "variable of env"),
    ({"env": {"SESSION_WIDGETS_X": "c"}}, "variable of env"),
    ({"env": {"SEED": 7}}, "Numbers: str"),
    ({"mounts": "/tmp:/data"}, "mounts must be"),
    ({"mounts": {"relative": "/data"}}, "absolute path that exists"),
    ({"mounts": {"/not/there": "/data"}}, "absolute path that exists"),
    ({"mounts": {"/": "data"}}, "'/data' would do"),
    ({"mounts": {"/": "/"}}, "'/data' would do"),
    ({"mounts": {"/": "/workspace/data"}}, "'/data' would do"),
    ({"mounts": {"/": "/run"}}, "'/data' would do"),
    ({"mounts": {"/": "/data/../run"}}, "'/data' would do"),
    ({"gpu": "two words"}, "gpu must be"),
    ({"gpu": 4}, "gpu must be"),
    ({"setup": "pip install x"}, "setup must be a list"),
    ({"setup": [" "]}, "setup must be a list"),
    ({"ports": 8000}, "ports must be a list"),
    ({"ports": ["8000"]}, "ports must be a list"),
    ({"ports": [0]}, "from 1 to 65535"),
    ({"idle": "soon"}, "idle must be"),
    ({"idle": 59}, "from a minute"),
    ({"lifetime": "2y"}, "lifetime must be"),
    ({"lifetime": True}, "lifetime must be"),
    ({"network": "closed"}, "network must be"),
    ({"network": []}, "network must be"),
    ({"network": ["a host"]}, "network must be"),
    ({"network": ["10.0.0.0/"]}, "network must be"),
    ({"network": ["10.0.0.0/33"]}, "network must be"),
    ({"network": ["name/24"]}, "network must be"),
    ({"network": ["-a.example.com"]}, "network must be"),
    ({"network": ["a.*.example.com"]}, "network must be"),
    ({"network": ["300.1.1.1"]}, "network must be"),
    ({"network": [7]}, "network must be a list of text"),
    ({"network": ["10.0.0.7/8"]}, r"beyond its length: '10\.0\.0\.0/8' would do"),
    ({"network": ["https://api.example.com/v1"]}, r"Leave out the scheme and the path: 'api\.example\.com'"),
    ({"network": ["api.example.com:8443"]}, r"leave out the port: 'api\.example\.com'"),
    ({"network": ["2001:db8::/32"]}, "IPv6 is not reached"),
    ({"network": ["none", "api.example.com"]}, "'none' stands alone: network='none'"),
    ({"network": ["*"]}, "network='open' means everything"),
    ({"confine": "yes"}, "confine must be True or False"),
]


@pytest.mark.parametrize(
    ("network", "with_model"),
    [
        ("open", "open"),
        ("none", ("api.example.com", "gateway.test")),
        (("a.test", "gateway.test"), ("a.test", "gateway.test", "api.example.com")),
    ],
)
def test_a_restricted_network_has_the_models_hosts(network, with_model):
    assert reached(network, ("api.example.com", "gateway.test:8443")) == with_model
    assert reached(network, ()) == network


@pytest.mark.parametrize(("options", "words"), WRONG, ids=str)
def test_what_is_wrong_is_said(options, words):
    with pytest.raises(BadValue, match=words):
        sw.Sandbox(**{"name": "docker", **options})


def test_values_are_kept_in_one_form(tmp_path):
    made = sw.Sandbox("docker", memory="1.5 GiB", env={"A": "secret"}, mounts={tmp_path: "/data/"}, cpus=2)
    assert made.memory == made.memory_bytes == 3 << 29
    assert made.mounts == {str(tmp_path): "/data"}
    assert "secret" not in repr(made) + str(made.stored())
    assert made.stored().env == ("A",)
    assert made == sw.Sandbox(**made.json())
    assert made.given == ("cpus", "memory", "env", "mounts")
    with pytest.raises(AttributeError):
        made.cpus = 3


def test_options_of_clouds_are_kept_in_one_form():
    made = sw.Sandbox(
        "e2b",
        setup=["true"],
        ports=[80, 80],
        idle="1.5m",
        lifetime="4h",
        network=["*.example.org", "10.0.0.0/8"],
        gpu="T4",
    )
    assert (made.idle, made.lifetime, made.ports, made.network) == (90, 14_400, (80,), ("*.example.org", "10.0.0.0/8"))
    assert made.given == ("gpu", "setup", "ports", "idle", "lifetime", "network")
    assert SessionSandbox.decode(orjson.loads(orjson.dumps(made.stored().encode()))) == made.stored()
    assert made == sw.Sandbox(**made.json())
    assert sw.Sandbox("e2b").given == ()
    assert sw.Sandbox("e2b").stored().network is None


def test_a_confined_one_is_kept_and_others_have_the_fingerprint_of_before():
    made = sw.Sandbox("local", confine=True)
    assert made.given == ("confine",)
    assert SessionSandbox.decode(orjson.loads(orjson.dumps(made.stored().encode()))) == made.stored()
    assert made == sw.Sandbox(**made.json())
    assert "confine" not in sw.Sandbox("docker", cpus=1).json()


def test_a_provider_that_takes_less_says_what():
    check_taken(sw.Sandbox("local", env={"A": "b"}), frozenset({"env"}))
    with pytest.raises(
        BadValue, match=r"'local' takes env= alone; got image=, memory=\. .*image= is an option of .*'docker'"
    ):
        check_taken(sw.Sandbox("local", image="x", memory="1g", env={"A": "b"}), frozenset({"env"}))
    with pytest.raises(BadValue, match="takes no options; got cpus="):
        check_taken(sw.Sandbox("mine", cpus=1), frozenset())


def test_the_table_of_the_documentation_is_what_providers_say():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert tables.sandboxes() in (ROOT / "docs" / "sandboxes.md").read_text(), "make docs"
