"""The file browser and the panel in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from session_widgets.widgets import FileBrowser, SessionPanel
from session_widgets.widgets._protocol import MAX_CHUNK
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

pytestmark = pytest.mark.needs("chromium")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f00050001ff"
    "89993d1d0000000049454e44ae426082"
)


@pytest.fixture
def files(page: Page, session: Scripted, tmp_path: Path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("import os\n\n# a comment\nprint('<b>hi</b>')\n")
    (tmp_path / "b.txt").write_text("plain words\n")
    bench = Bench(page, FileBrowser(session))
    bench.sees("b.txt")
    yield bench
    bench.widget.close()
    assert bench.errors == []


def node(files: Bench, name: str):
    return files.page.get_by_role("treeitem").filter(has=files.page.get_by_text(name, exact=True))


def preview(files: Bench) -> str:
    return str(files.page.inner_text(".sw-preview")) if files.page.locator(".sw-preview").count() else ""


def test_folders_open_when_asked_and_text_has_line_numbers(files):
    assert "a.py" not in files.words()
    node(files, "src").click()
    files.sees("a.py")
    node(files, "a.py").click()
    files.sees("print('<b>hi</b>')")
    assert files.page.inner_text(".sw-numbers").split() == ["1", "2", "3", "4"]
    assert files.page.locator(".sw-hl-comment").inner_text() == "# a comment"
    files.until(lambda: files.widget.selected == "src/a.py")


def test_an_empty_workspace_is_said_to_be_empty(page, session):
    bench = Bench(page, FileBrowser(session))
    bench.sees("No files yet")
    bench.widget.close()


def test_a_parked_session_shows_the_files_of_its_folder(page, session, tmp_path):
    (tmp_path / "kept.txt").write_text("x")
    session.note("sandbox_stopped", ref="local:1", reason="parked")
    session.status = "parked"
    bench = Bench(page, FileBrowser(session))
    bench.sees("Read from the folder; the sandbox is parked.")
    bench.sees("kept.txt")
    bench.widget.close()


def test_a_deleted_session_has_no_files(page, session, tmp_path):
    (tmp_path / "gone.txt").write_text("x")
    bench = Bench(page, FileBrowser(session))
    bench.sees("gone.txt")
    session.status = "deleted"
    session.control.page.tell()
    bench.sees("The session was deleted.")
    assert "gone.txt" not in bench.words()
    bench.widget.close()


def test_escape_keeps_a_file_that_was_about_to_be_deleted(files, tmp_path):
    node(files, "b.txt").click()
    files.sees("plain words")
    files.page.get_by_role("button", name="Delete").click()
    files.sees("Delete it?")
    expect(files.page.get_by_role("button", name="Keep")).to_be_focused()
    files.page.keyboard.press("Escape")
    files.until(lambda: "Delete it?" not in files.words())
    assert (tmp_path / "b.txt").exists()


def test_files_of_a_parked_session_come_from_its_bucket(page, session, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    session.live("s3://lab/x", "sync")
    session.note("sandbox_started", ref="docker:1")
    bench = Bench(page, FileBrowser(session))
    bench.sees("a.txt")
    assert "Read from the bucket" not in bench.words()
    session.status = "parked"
    session.note("sandbox_stopped", ref="docker:1", reason="parked")
    bench.sees("Read from the bucket; no sandbox is running.")
    bench.widget.close()


def test_the_harness_s_own_state_comes_last_and_is_no_news(files, session, tmp_path):
    session.begin("hello")
    (tmp_path / ".harness" / "demo").mkdir(parents=True)
    (tmp_path / "new.py").write_text("x")
    session.tool("t", title="Write", status="completed")
    files.sees("new.py")
    names = [item.get_attribute("data-path") for item in files.page.get_by_role("treeitem").all()]
    assert names == ["src", "b.txt", "new.py", ".harness"]
    expect(node(files, "new.py")).to_have_attribute("data-mark", "new")
    assert node(files, ".harness").get_attribute("data-mark") is None


def test_the_keyboard_walks_the_tree(files):
    files.page.locator("[role=treeitem][tabindex='0']").focus()
    files.page.keyboard.press("ArrowRight")
    files.sees("a.py")
    files.page.keyboard.press("ArrowDown")
    files.page.keyboard.press("Enter")
    files.sees("import os")
    files.page.keyboard.press("ArrowLeft")
    files.page.keyboard.press("ArrowLeft")
    files.until(lambda: node(files, "a.py").count() == 0)


def test_what_the_agent_writes_appears_marked_and_an_open_file_follows(files, session, tmp_path):
    node(files, "b.txt").click()
    files.sees("plain words")
    session.begin("hello")
    (tmp_path / "new.py").write_text("x")
    (tmp_path / "b.txt").write_text("other words\n")
    session.tool("t", title="Write", status="completed")
    files.sees("new.py")
    expect(node(files, "new.py")).to_have_attribute("data-mark", "new")
    files.until(lambda: "other words" in preview(files))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.txt", b"", "This file is empty"),
        ("blob.bin", b"\x00\x01\x02" * 100, "not text"),
        ("latin.txt", "caf\xe9".encode("latin-1"), "café"),
        ("rtl.txt", "a\u202eb".encode(), "a⟨U+202E⟩b"),
        ("page.html", b"<script>document.title='owned'</script>", "<script>"),
    ],
)
def test_files_of_every_kind_are_shown_or_explained(files, tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    files.page.get_by_role("button", name="Refresh").click()
    files.sees(name)
    node(files, name).click()
    files.until(lambda: says in preview(files))
    assert files.page.title() == ""


def test_of_a_huge_file_only_the_start_is_fetched(files, tmp_path):
    with (tmp_path / "huge.log").open("wb") as file:
        file.write(b"first line\n" * 40_000)
        file.truncate(2**30)
    files.page.get_by_role("button", name="Refresh").click()
    files.sees("1.1 GB")
    node(files, "huge.log").click()
    files.sees("Only the first 262 kB of 1.1 GB are shown")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("dot.png", PNG),
        ("v.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9' onload='parent.document.title=1'/>"),
    ],
)
def test_an_image_is_drawn_from_its_bytes(files, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    files.page.get_by_role("button", name="Refresh").click()
    files.sees(name)
    node(files, name).click()
    files.until(lambda: files.page.evaluate("document.querySelector('.sw-stage img')?.naturalWidth > 0"))
    assert files.page.get_attribute(".sw-stage img", "src").startswith(("blob:", "data:image/svg+xml"))
    assert files.page.title() == ""


def test_names_are_hostile_too(files, session, tmp_path):
    name = "<img src=x onerror=document.title=1>\u202etxt.exe"
    (tmp_path / name).write_text("x")
    files.page.get_by_role("button", name="Refresh").click()
    files.sees("⟨U+202E⟩txt.exe")
    assert files.page.locator("#view img").count() == 0


def test_upload_and_download_carry_every_byte_in_chunks(files, tmp_path, tmp_path_factory):
    data = os.urandom(MAX_CHUNK + 17)
    local = tmp_path_factory.mktemp("local") / "big.bin"
    local.write_bytes(data)
    with files.page.expect_file_chooser() as chooser:
        files.page.get_by_role("button", name="Upload files").click()
    chooser.value.set_files(local)
    files.sees("4.2 MB", seconds=20)
    assert (tmp_path / "big.bin").read_bytes() == data
    node(files, "big.bin").click()
    files.sees("not text")
    downloads = []
    files.page.on("download", lambda download: downloads.append(download))
    files.page.get_by_role("button", name="Download").click()
    files.until(lambda: downloads, seconds=20)
    assert Path(downloads[0].path()).read_bytes() == data


def test_delete_asks_first(files, tmp_path):
    node(files, "b.txt").click()
    files.sees("plain words")
    files.page.get_by_role("button", name="Delete").click()
    files.page.get_by_role("button", name="Keep").click()
    assert (tmp_path / "b.txt").exists()
    files.page.get_by_role("button", name="Delete").click()
    files.page.get_by_role("button", name="Delete", exact=True).click()
    files.until(lambda: not (tmp_path / "b.txt").exists() and "b.txt" not in files.words())


def test_a_refusal_is_shown_in_words(files, session):
    session.files.read_bytes = lambda *_, **__: (_ for _ in ()).throw(OSError("the sandbox said no"))
    node(files, "b.txt").click()
    files.sees("the sandbox said no")


def test_a_changed_file_opens_from_the_chat(page, session, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "made.py").write_text("made = True\n")
    bench = Bench(page, SessionPanel(session), width=1060)
    session.begin("hello")
    session.end(files=[{"path": "deep/made.py", "change": "created", "size": 12}])
    bench.until(lambda: page.locator(".sw-chip").count())
    page.locator(".sw-chip").click()
    bench.sees("made = True")
    bench.until(lambda: bench.widget.selected == "deep/made.py")
    bench.widget.close()


def test_the_divider_moves_by_mouse_and_keys_and_is_remembered(page, session):
    bench = Bench(page, SessionPanel(session), width=1000)
    bench.sees("What should")
    divider = page.get_by_role("separator")
    box = divider.bounding_box()
    page.mouse.move(box["x"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] - 200, box["y"] + 100, steps=5)
    page.mouse.up()
    bench.until(lambda: bench.widget.divider == pytest.approx(0.42, abs=0.01))
    divider.focus()
    page.keyboard.press("ArrowRight")
    bench.until(lambda: bench.widget.divider == pytest.approx(0.44, abs=0.01))
    bench.widget.divider = 0.7
    bench.widget.close()


def test_a_narrow_cell_shows_one_half_at_a_time(page, session, tmp_path):
    (tmp_path / "only.txt").write_text("x")
    bench = Bench(page, SessionPanel(session), width=420)
    bench.sees("What should")
    assert "only.txt" not in bench.words()
    page.get_by_role("tab", name="Files").click()
    bench.sees("only.txt")
    assert "What should" not in bench.words()
    assert page.evaluate("document.querySelector('.sw').scrollWidth") <= 420
    bench.widget.close()


def test_a_drawing_that_is_opened_in_a_tab_reaches_nothing_of_the_notebook(page, session, tmp_path):
    script = "<script>window.ran = true; localStorage.setItem('stolen', document.cookie)</script>"
    (tmp_path / "a.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>{script}</svg>")
    url = "http://notebook.test/"
    page.route(url, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    files = Bench(page, FileBrowser(session), url=url)
    files.sees("a.svg")
    node(files, "a.svg").click()
    image = page.locator(".sw-stage img")
    files.until(image.count)
    expect(image).to_have_js_property("complete", True)
    source = image.get_attribute("src")
    assert str(source).startswith("data:"), "a blob has the origin of the page that made it"
    tab = page.context.new_page()
    tab.goto(str(source))  # what "Open image in new tab" does; no page may open it
    assert tab.evaluate("[window.ran, self.origin]") == [True, "null"]
    assert page.evaluate("localStorage.getItem('stolen')") is None
    tab.close()
    files.widget.close()
