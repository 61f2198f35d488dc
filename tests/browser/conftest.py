"""One JupyterLab server and one Chromium for all tests; a new browser context, notebook and kernel for each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import needs
from browser.notebook import Notebook
from browser.server import LabServer
from session_widgets.sandboxes.local import LocalProvider
from session_widgets.sessions.loop import private_loop

SHOTS = Path(__file__).parent / "shots"
CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")
FAILED = pytest.StashKey[bool]()

OpenNotebook = Callable[..., Notebook]


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
    private_loop().run(_destroy_sandboxes(server.home))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser context that may ask this machine alone; asking another fails the test."""
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    context.set_default_timeout(20_000)
    context.on("request", lambda request: asked.append(request.url))
    context.on("page", lambda page: page.on("websocket", lambda socket: asked.append(socket.url)))
    yield context
    context.close()
    assert [url for url in asked if not url.startswith(LOCAL)] == []


@pytest.fixture
def open_notebook(context: BrowserContext, server: LabServer, request: pytest.FixtureRequest) -> Iterator[OpenNotebook]:
    """Open an empty notebook on a kernel of its own, by default one with ipykernel 7.4."""
    opened: list[Notebook] = []

    def open_notebook(kernel: str = "ipykernel-7.4") -> Notebook:
        opened.append(Notebook(context.new_page(), server, kernel))
        return opened[-1]

    yield open_notebook
    if request.node.stash.get(FAILED, False):
        SHOTS.mkdir(exist_ok=True)
        for number, page in enumerate(context.pages):
            page.screenshot(path=SHOTS / f"{request.node.name}-{number}.png".replace("/", "-"))
    for notebook in opened:
        notebook.close()
    private_loop().run(_destroy_sandboxes(server.home))


@pytest.fixture
def notebook(open_notebook: OpenNotebook) -> Notebook:
    return open_notebook()


@pytest.fixture
def page(notebook: Notebook) -> Page:
    return notebook.page


async def _destroy_sandboxes(home: Path) -> None:
    provider = LocalProvider(home)
    for info in [info async for info in provider.list()]:
        await provider.destroy(info.ref)
