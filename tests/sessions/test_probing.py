"""Options of harnesses before the first prompt."""

import tempfile

import psutil
import pytest

import session_widgets as sw
from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness
from session_widgets._sessions import probing


def of(found, name):
    return next(info for info in found if info.id == name)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Where directories for a while are made; the test sees that none is left, nor what ran in it."""
    place = tmp_path / "for a while"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    assert list(place.iterdir()) == []
    assert [p for p in psutil.process_iter(["cwd"]) if str(place) in (p.info["cwd"] or "")] == []


def test_a_harness_tells_what_it_offers_and_leaves_nothing(home, monkeypatch):
    asked = []
    ask = probing.ask_options
    monkeypatch.setattr(catalog, "names", lambda: ["demo"])
    monkeypatch.setattr(probing, "ask_options", lambda harness: asked.append(harness.id) or ask(harness))
    assert of(sw.harnesses(), "demo").options == {}
    assert asked == []
    told = of(sw.harnesses(probe=True), "demo")
    assert [choice.id for choice in told.options["model"]] == ["demo-small", "demo-large"]
    assert [choice.id for choice in told.options["mode"] if choice.current] == ["ask"]
    assert list(told.options) == ["mode", "model", "effort"]
    assert told.problem == ""
    assert asked == ["demo"]
    assert of(sw.harnesses(probe=True), "demo").options == of(sw.harnesses(), "demo").options == told.options
    assert asked == ["demo"], "it is remembered"
    assert sorted(path.name for path in home.iterdir()) == ["options"], "and nothing else is left"


def test_another_version_or_key_is_asked_again(home, monkeypatch):
    harness = Harness(
        ("{python}", "-P", "-m", "session_widgets.demo"), id="mine", version="1", keys=("MY_KEY", "OTHER_KEY")
    )
    monkeypatch.setenv("MY_KEY", "value-of-my-key")
    assert probing.known_options(harness) is None
    options, problem = probing.ask_options(harness)
    assert (problem, probing.known_options(harness)) == ("", options)
    monkeypatch.setenv("OTHER_KEY", "value-of-other-key")
    assert probing.known_options(harness) is None
    assert "value-of-" not in "".join(path.read_text() for path in (home / "options").iterdir())
    monkeypatch.delenv("OTHER_KEY")
    assert probing.known_options(harness) == options
    assert probing.known_options(Harness(harness.command, id="mine", version="2")) is None


@pytest.mark.parametrize(
    "command", [("{python}", "-c", "raise SystemExit('no way')"), *[("sh", "-c", "echo no way >&2; exit 1")] * 3]
)
def test_one_that_does_not_start_says_why_and_is_not_remembered(home, command):
    """A shell exits before the first request is sent to it, mostly."""
    harness = Harness(command, id="mine")
    options, problem = probing.ask_options(harness)
    assert options == {}
    assert "no way" in problem
    assert "\n" not in problem
    assert probing.known_options(harness) is None
