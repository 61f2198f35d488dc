"""The catalog: commands, the notebook's variables, and helpful errors."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint

import pytest

from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness, RuntimePaths
from session_widgets._sandboxes.images import build_context
from session_widgets.errors import BadValue
from session_widgets.version import __version__
from tests.harnesses.driver import Conversation, DemoProcess

PLACE = RuntimePaths("/opt/python", "/opt/node", "/opt/harness/x/node_modules", "/opt/bin:/bin", "linux-x64")
REAL = ["claude", "codex", "opencode", "pi", "gemini", "qwen", "copilot"]
NOTEBOOK = {
    "ANTHROPIC_API_KEY": "key-1",
    "OPENAI_API_KEY": "key-2",
    "GEMINI_API_KEY": "key-3",
    "COPILOT_PROVIDER_API_KEY": "key-4",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    "AWS_SECRET_ACCESS_KEY": "planted-secret",
    "DATABASE_PASSWORD": "planted-secret",
    "HOME": "/home/planted",
    "PATH": "/planted/bin",
    "LD_PRELOAD": "/planted.so",
}


@pytest.fixture
def others(monkeypatch):
    """Have other packages offer harnesses."""

    def others(**values):
        points = [EntryPoint(name, value, catalog.GROUP) for name, value in values.items()]
        monkeypatch.setattr(catalog, "entry_points", lambda group: points)
        _forget()

    yield others
    monkeypatch.undo()
    _forget()


def _forget():
    catalog._known.cache_clear()
    catalog._others.cache_clear()


def test_these_exist():
    assert catalog.names() == ["demo", *REAL]
    assert [catalog.get(name).id for name in catalog.names()] == catalog.names()
    assert catalog.get("demo").installs is False


def test_the_entry_is_plain_json_for_the_runner():
    entry = catalog.get("demo").entry("/workspace/", PLACE)
    assert json.loads(json.dumps(entry)) == {
        "command": ["/opt/python", "-P", "-m", "session_widgets.demo"],
        "env": {"DEMO_STATE_DIR": "/workspace/.harness/demo"},
        "version": __version__,
        "keys": [],
    }


def test_the_entry_starts_the_agent_and_workspace_files_are_no_modules(tmp_path):
    (tmp_path / "asyncio.py").write_text("raise SystemExit('a file of the workspace was imported')")
    entry = catalog.get("demo").entry(str(tmp_path), RuntimePaths(sys.executable))
    agent = DemoProcess(entry["command"], env=entry["env"], cwd=tmp_path)
    session = Conversation(agent, tmp_path)
    assert agent.close() == 0
    assert (tmp_path / ".harness" / "demo" / f"{session.id}.jsonl").is_file()


@pytest.mark.parametrize("name", REAL)
def test_a_harness_is_given_its_keys_its_own_settings_and_nothing_else_of_the_notebook(name):
    harness = catalog.get(name)
    entry = harness.entry("/workspace", PLACE, NOTEBOOK)
    given = {key for key in entry["env"] if entry["env"][key] == NOTEBOOK.get(key)}
    assert given == NOTEBOOK.keys() & {*harness.keys, *harness.env_passthrough}
    assert given & set(harness.keys)
    assert set(entry["env"]) == {*harness.env, *given}
    assert "planted" not in json.dumps(entry)
    assert "{" not in json.dumps([entry["command"], list(entry["env"].values())])
    assert entry["env"]["PATH"].endswith("/opt/bin:/bin")
    folders = [value for value in entry["env"].values() if "/.harness/" in value]
    assert folders
    assert all(value.startswith(f"/workspace/.harness/{name}") for value in folders)
    assert entry["command"][0].startswith("/opt/")


@pytest.mark.parametrize("name", REAL)
def test_no_key_stands_in_the_settings_files_nor_in_the_command(name):
    harness = catalog.get(name)
    given = harness.passed({key: f"secret-of-{key}" for key in harness.keys} | {"OPENAI_BASE_URL": "http://u/v1"})
    files = harness.settings(given, "some-model") if harness.settings else {}
    assert "secret-of" not in json.dumps(dict(files))
    assert "secret-of" not in json.dumps(harness.entry("/w", PLACE, given)["command"])
    assert all(not path.startswith("/") and ".." not in path for path in files)


def test_the_gateway_is_only_set_where_the_notebook_names_one():
    for name in ("codex", "opencode", "pi"):
        settings = catalog.get(name).settings
        assert "http" not in json.dumps(dict(settings({}, None)))
        assert "http://gate/v1" in json.dumps(dict(settings({"OPENAI_BASE_URL": "http://gate/v1"}, "gpt-x")))


@pytest.mark.parametrize(
    ("command", "id"),
    [(["my-agent", "acp"], "my-agent"), (("/opt/my/agent.sh",), "agent.sh"), (["a"], "a")],
)
def test_any_program_can_be_one_and_its_id_is_its_name(command, id):
    harness = Harness(command=command)
    assert (harness.id, harness.title, harness.keys, harness.installs) == (id, id, (), False)
    assert catalog.get(harness) is harness
    entry = harness.entry("/w", PLACE, NOTEBOOK)
    assert (entry["command"], entry["env"]) == (list(command), {})
    assert Harness(command=command, id="mine").state_folder("/w") == "/w/.harness/mine"


@pytest.mark.parametrize(
    "options",
    [
        {"command": "my-agent acp"},
        {"command": []},
        {"command": ["my-agent", 3]},
        {"command": ["/opt/my agent"]},
        {"command": ["/opt/agent/"]},
        {"command": ["a"], "id": "../up"},
        {"command": ["a"], "id": ".hidden"},
        {"command": ["a"], "id": "x" * 65},
    ],
)
def test_what_cannot_be_a_harness_is_refused(options):
    with pytest.raises(BadValue, match=r"must be a list of words|needs an id of"):
        Harness(**options)


def test_another_package_may_offer_one_but_not_replace_ours(others):
    others(mine="tests.harnesses.offered:MINE", demo="tests.harnesses.offered:FALSE_DEMO")
    assert catalog.names() == ["demo", *REAL, "mine"]
    assert catalog.get("mine").command == ("mine", "acp")
    assert catalog.get("demo").version == __version__


MODELS = [
    ("demo", NOTEBOOK, ()),
    ("claude", {"ANTHROPIC_API_KEY": "k"}, ("api.anthropic.com",)),
    ("claude", NOTEBOOK, ("127.0.0.1:9",)),
    ("claude", {"ANTHROPIC_BASE_URL": "https://gateway.example.com/x"}, ("gateway.example.com:443",)),
    ("claude", {"ANTHROPIC_BASE_URL": "http://gateway"}, ("gateway:80",)),
    ("claude", {"ANTHROPIC_BASE_URL": "http://[::1]:8"}, ()),
    ("claude", {"ANTHROPIC_BASE_URL": "http://a:port"}, ()),
    ("codex", {"CODEX_API_KEY": "k"}, ("api.openai.com",)),
    (
        "opencode",
        {"GEMINI_API_KEY": "k", "OPENROUTER_API_KEY": "k"},
        ("generativelanguage.googleapis.com", "openrouter.ai"),
    ),
    ("opencode", {"GEMINI_API_KEY": "k", "OPENAI_BASE_URL": "https://g.example.com:8443"}, ("g.example.com:8443",)),
    ("pi", {}, ()),
    ("gemini", {"GEMINI_API_KEY": "k"}, ("generativelanguage.googleapis.com",)),
    ("qwen", {"OPENAI_API_KEY": "k"}, ("api.openai.com",)),
    ("copilot", {"COPILOT_GITHUB_TOKEN": "k"}, ("api.github.com", "*.githubcopilot.com")),
]


@pytest.mark.parametrize(("name", "env", "hosts"), MODELS)
def test_a_harness_knows_where_its_model_is(name, env, hosts):
    assert catalog.get(name).model_hosts(env) == hosts


@pytest.mark.parametrize("name", REAL)
def test_each_key_leads_to_a_host_or_to_an_address_that_is_given(name):
    harness = catalog.get(name)
    assert harness.base_url in harness.env_passthrough
    assert harness.hosts.keys() <= set(harness.keys)
    assert set(harness.keys) - harness.hosts.keys() <= {"COPILOT_PROVIDER_API_KEY"}


def test_a_broken_package_is_reported_and_affects_no_other(others):
    others(
        broken="tests.harnesses.no_such_module:X",
        wrong="tests.harnesses.offered:NO_HARNESS",
        mine="tests.harnesses.offered:MINE",
    )
    assert catalog.names() == ["demo", *REAL, "mine"]
    with pytest.raises(BadValue, match="'broken' of another package cannot be loaded: ModuleNotFoundError"):
        catalog.get("broken")
    with pytest.raises(BadValue, match="'wrong' of another package cannot be loaded: expected a Harness, got 'text'"):
        catalog.get("wrong")


@pytest.mark.parametrize("name", ["nope", "", "DEMO", "../demo", None, 3])
def test_unknown_name_lists_what_exists(name):
    with pytest.raises(BadValue, match=r"there is no harness .*'demo', 'claude', .*Harness\(command="):
        catalog.get(name)


def test_the_sandbox_image_holds_the_demo_alone_so_that_another_catalog_makes_no_other_image():
    inside = build_context()
    assert len([name for name in inside if name.startswith("session_widgets/demo/")]) > 5
    assert [name for name in inside if name.startswith("session_widgets/_harnesses/")] == []


def test_an_unknown_name_is_not_repeated_at_length():
    with pytest.raises(BadValue) as caught:
        catalog.get("x" * 10_000)
    assert len(str(caught.value)) < 300
