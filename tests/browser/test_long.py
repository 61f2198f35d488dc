"""Much text: all of it arrives, the page stays small, and so does the notebook."""

from __future__ import annotations

from playwright.sync_api import expect

CHUNKS = 20_000
TEXT = "".join(f"chunk {i} " for i in range(CHUNKS))
WATCH_FOR_GAPS = """() => {
  window.gaps = 0;
  new MutationObserver(() => { if (document.querySelector(".sw-banner")) window.gaps += 1; })
    .observe(document.body, { childList: true, subtree: true });
}"""


def test_20_000_chunks_arrive_and_the_notebook_stays_small(notebook):
    panel = notebook.open_session()
    notebook.page.evaluate(WATCH_FOR_GAPS)
    panel.prompt(f"stream {CHUNKS}")
    expect(panel.ends).to_contain_text("Done", timeout=30_000)
    more = panel.root.get_by_role("button", name="Show more")
    expect(more).to_contain_text(f"of {len(TEXT) / 1000:.0f}k characters left")
    more.click()
    expect(more).to_have_count(0)
    expect(panel.transcript).to_contain_text(f"chunk {CHUNKS - 1}")
    shown = panel.transcript.locator(".sw-message").inner_text()
    assert shown.split() == TEXT.split()
    assert notebook.page.evaluate("window.gaps") == 0

    notebook.kernel_says("for number in range(200): s.send(f'say answer {number}')")
    expect(panel.transcript).to_contain_text("answer 199")
    assert panel.root.locator("*").count() < 4000

    saved = notebook.saved()
    summaries = [
        output.data["text/html"]
        for cell in saved.cells
        for output in cell.outputs
        if "data-sw-for" in output.get("data", {}).get("text/html", "")
    ]
    assert len(summaries) == 1
    assert "answer 199" in summaries[0]
    assert len(summaries[0].encode()) <= 150_000
    state = saved.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    for model in state.values():
        kept = {name: value for name, value in model["state"].items() if name not in ("_esm", "_css")}
        assert len(str(kept)) < 2000
    assert notebook.file.stat().st_size < 500_000
