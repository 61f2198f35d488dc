"""Checks of the repository as a whole."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import session_widgets as sw
from tests.support.guard import NetworkRefused
from tests.support.paths import ROOT

STATIC = ROOT / "src" / "session_widgets" / "static"
BUNDLES = {"chat", "compare", "files", "panel", "replay", "sandboxes", "search"}
BUNDLE_BYTES = 250_000
FILE_LINES = 600
TEST_FILE_LINES = 400
PUBLIC = {
    "Chat", "Compare", "Event", "ExecResult", "FileBrowser", "FileChange", "FileInfo", "Harness", "PermissionRequest",
    "QuestionRequest", "Replay", "Sandbox", "Search", "Session", "SessionPanel", "Step", "Store", "Transcript", "Turn",
    "TurnLimits", "Usage", "__version__", "analysis", "errors", "harnesses", "install_harness", "local_s3",
    "open_session", "sandbox_providers", "sandboxes", "search", "sessions", "store",
}  # fmt: skip

UNCLEAR = {
    r"who(m)?ever": "name the person or the process",
    r"anew": "again, new, recreated, rewritten",
    r"(is|are|was|were|be|been|being)( not| never)? told": "receives, is sent, reports",
    r"shall": "will, must, or the present tense",
    r"none that": "no, without",
    r"(what|whatever) (becomes|became) of": "name the outcome",
    r"hears? (of|nothing|no)": "receives, is notified of",
}
"""Regular expressions, with the words to use instead (CONTRIBUTING.md, *Words*): only words that no sentence needs."""
TEXTS = (
    "*.md", "Makefile", ".ci/*", "docs/*.md", "sandbox-image/*",
    "js/src/**/*.ts", "js/src/**/*.css", "js/tests/*.ts",
    "src/session_widgets/**/*.py", "tests/**/*.py", "benchmarks/*.py",
)  # fmt: skip


def tracked(*patterns: str) -> list[Path]:
    """The files of the repository, as git or, in an unpacked archive, the disk knows them."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("needs a git checkout")
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def test_the_public_names_are_these_and_all_of_them_load():
    assert set(sw.__all__) == PUBLIC
    assert {name for name in PUBLIC if getattr(sw, name) is not None} == PUBLIC


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'open_sesion'"):
        sw.open_sesion  # noqa: B018 - the access is the test


def test_importing_takes_less_than_half_a_second():
    code = "import time; start = time.perf_counter(); import session_widgets; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.5


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        (
            "session_widgets",
            "acp anywidget asyncio boto3 duckdb httpx importlib.metadata ipywidgets obstore pandas psutil pydantic "
            "starlette session_widgets.analysis session_widgets.model session_widgets._sessions.harness_info",
        ),
        ("session_widgets.analysis, session_widgets.analysis.stats", "acp duckdb httpx numpy pandas scipy"),
        (
            "session_widgets.demo.__main__",
            "acp httpx importlib.metadata psutil pydantic starlette session_widgets.model session_widgets.runner",
        ),
        (
            "session_widgets._sessions.controller",
            "acp anywidget boto3 botocore docker ipywidgets pandas pydantic starlette uvicorn websockets",
        ),
        (
            "session_widgets.runner.app, session_widgets.runner.newcomers",
            "acp duckdb httpx importlib.metadata pydantic websockets session_widgets.model "
            "session_widgets._harnesses.catalog",
        ),
    ],
)
def test_a_start_loads_nothing_heavy(module, heavy):
    code = f"import sys, {module}; print(sorted(set({heavy.split()}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"


@pytest.mark.parametrize("name", sorted(BUNDLES))
def test_a_bundle_exists_is_small_and_makes_no_request(name):
    code = (STATIC / f"{name}.js").read_text()
    assert 1_000 < len(code.encode()) <= BUNDLE_BYTES
    assert (STATIC / f"{name}.css").stat().st_size > 100
    assert not re.search(r"\bimport\s*\(?\s*[\"']|\bfrom\s*[\"']https?:|\beval\(|new Function\(", code)


def test_there_is_no_bundle_without_a_widget():
    assert {path.stem for path in tracked("src/session_widgets/static/*.js")} == BUNDLES


def test_no_source_file_is_too_long():
    sources = [path for path in tracked("*.py", "*.ts", "*.css") if STATIC not in path.parents]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources}
    limits = {name: TEST_FILE_LINES if name.startswith("tests/") else FILE_LINES for name in lengths}
    assert {name: lines for name, lines in lengths.items() if lines > limits[name]} == {}


def test_tests_are_a_package_and_no_test_module_imports_another():
    """What two modules need stands in `tests/support`, or beside them if only their folder needs it."""
    sources = tracked("tests/*.py")
    folders = {path.parent for path in sources}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
    another = re.compile(r"^\s*(from|import) tests\S*(\.(test_|conftest)| import .*\btest_)", re.MULTILINE)
    assert [str(path) for path in sources if path.name != "__init__.py" and another.search(path.read_text())] == []


def test_no_folder_of_tests_hides_a_package():
    """`tests/acp` would hide the package `acp` where `tests` is on the path."""
    assert ROOT / "tests" not in {Path(entry).resolve() for entry in sys.path}


def test_the_tree_names_no_machine_and_no_registry():
    found = []
    names = re.compile(r"/work/(?:main|shared)|/root/|/home/\w+/|registry\.npmjs|pypi\.org|pythonhosted|file:///opt")
    for path in tracked():
        if path.suffix in {".png", ".woff2"} or path == Path(__file__):
            continue
        text = path.read_text(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in names.finditer(text)]
    assert found == []


def test_no_sentence_uses_an_unclear_word():
    unclear = re.compile("|".join(rf"\b{word}\b" for word in UNCLEAR), re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in sorted(path for pattern in TEXTS for path in ROOT.glob(pattern))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for match in unclear.finditer(line)
    ]
    assert not found, f"use instead {UNCLEAR}: " + "\n".join(found)


@pytest.mark.parametrize("name", ["requirements/demo.txt", "requirements/dev.txt", "sandbox-image/requirements.txt"])
def test_every_pin_has_its_hashes(name):
    pins = re.split(r"^(?=[A-Za-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    assert len(pins) >= 10
    assert [pin.split()[0] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_what_is_installed_for_development_is_checked_and_runs_no_script_of_a_package():
    files = [
        ROOT / "Makefile",
        ROOT / ".ci" / "kernels",
        ROOT / ".ci" / "harnesses",
        ROOT / "sandbox-image" / "Dockerfile",
    ]
    commands = " ".join(file.read_text().replace("\\\n", " ") for file in files).splitlines()
    installs = [line for line in commands if re.search(r"(install|PIP\)).*( -r| --requirement) ", line)]
    assert len(installs) >= 5
    assert [line for line in installs if "--require-hashes" not in line] == []
    assert [line for line in commands if re.search(r"\bci --", line) and "--ignore-scripts" not in line] == []


def test_tests_reach_no_other_machine():
    with pytest.raises(NetworkRefused):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(NetworkRefused):
        socket.getaddrinfo("example.com", 80)


def test_tests_reach_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
