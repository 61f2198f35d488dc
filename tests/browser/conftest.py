"""One JupyterLab, open in one page of one Chromium, for all tests; a notebook and its kernel for each."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support import needs
from tests.support.jupyter_server import LabServer
from tests.support.local_sandboxes import destroy_sandboxes
from tests.support.notebook import CHROMIUM, Notebook

SHOTS = Path(__file__).parent / "shots"
LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A time limit that ends one test of a browser ends its browser: each has time for a machine that is busy."""
    for item in items:
        if item.path.is_relative_to(SHOTS.parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))


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


class Lab:
    """The page of JupyterLab, which takes four seconds of computing to load; after a test that failed, another one."""

    def __init__(self, browser: Browser, server: LabServer) -> None:
        self._browser = browser
        self._server = server
        self._page: Page | None = None
        self._asked: list[str] = []

    @contextmanager
    def opened(self, kernel: str, name: str, request: pytest.FixtureRequest) -> Iterator[Notebook]:
        """Open an empty notebook in a page that may ask this machine alone; asking another is an error."""
        if self._page is None:
            context = self._browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
            context.set_default_timeout(20_000)
            context.on("request", lambda request: self._asked.append(request.url))
            self._page = context.new_page()
            self._page.on("websocket", lambda socket: self._asked.append(socket.url))
        try:
            notebook = Notebook(self._page, self._server, kernel, name)
            yield notebook
            notebook.close()
            failed = request.session.testsfailed != 0
        except BaseException:
            failed = True
            raise
        finally:
            destroy_sandboxes(self._server.home)
            if failed:
                self.close()
        asked, self._asked = self._asked, []
        assert [url for url in asked if not url.startswith(LOCAL)] == []

    def close(self) -> None:
        if self._page is not None:
            self._page.context.close()
            self._page = None


@pytest.fixture(scope="package")
def lab_page(browser: Browser, server: LabServer) -> Iterator[Lab]:
    lab = Lab(browser, server)
    yield lab
    lab.close()


@pytest.fixture
def notebook(lab_page: Lab, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """An empty notebook with ipykernel 7.4."""
    with lab_page.opened("ipykernel-7.4", request.node.name, request) as notebook:
        yield notebook


@pytest.fixture(scope="module", params=["6.31", "7.3", "7.4"])
def kernel(lab_page: Lab, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """A notebook for each ipykernel that delivers clicks in its own way; the tests of a module share it."""
    name = f"ipykernel-{request.param}"
    with lab_page.opened(name, name, request) as notebook:
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
