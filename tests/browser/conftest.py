"""One JupyterLab server and one Chromium for all tests; a browser context, notebook and kernel for each."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.support import needs
from tests.support.jupyter_server import LabServer
from tests.support.local_sandboxes import destroy_sandboxes
from tests.support.notebook import CHROMIUM, Notebook

SHOTS = Path(__file__).parent / "shots"
LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.needs("chromium", "kernels"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


# Playwright keeps a loop running in this thread: it must be gone before another folder's async tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs.chromium(), headless=True, args=CHROMIUM)
        yield browser
        browser.close()
    expect.set_options(timeout=5000)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    server = LabServer(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()
    destroy_sandboxes(server.home)


@contextmanager
def _opened(browser: Browser, server: LabServer, kernel: str, name: str) -> Iterator[Notebook]:
    """Open an empty notebook in a browser context that may ask this machine alone; asking another is an error."""
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    context.set_default_timeout(20_000)
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("websocket", lambda socket: asked.append(socket.url))
    notebook = Notebook(page, server, kernel, name)
    try:
        yield notebook
    finally:
        notebook.close()
        context.close()
        destroy_sandboxes(server.home)
    assert [url for url in asked if not url.startswith(LOCAL)] == []


@pytest.fixture
def notebook(browser: Browser, server: LabServer, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """An empty notebook with ipykernel 7.4."""
    with _opened(browser, server, "ipykernel-7.4", request.node.name) as notebook:
        yield notebook


@pytest.fixture(scope="module", params=["6.31", "7.3", "7.4"])
def kernel(browser: Browser, server: LabServer, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """A notebook for each ipykernel that delivers clicks in its own way; the tests of a module share it."""
    name = f"ipykernel-{request.param}"
    with _opened(browser, server, name, name) as notebook:
        yield notebook


@pytest.fixture(autouse=True)
def screenshot(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave a picture of what a failed test saw, and nothing running."""
    used = [request.getfixturevalue(name) for name in ("notebook", "kernel") if name in request.fixturenames]
    yield
    if request.node.stash.get(FAILED, False):
        SHOTS.mkdir(exist_ok=True)
        for notebook in used:
            notebook.page.screenshot(path=SHOTS / f"{request.node.name.replace('/', '-')}.png")
            if "kernel" in request.fixturenames:  # which the next test shares
                notebook.command("notebook:interrupt-kernel")
