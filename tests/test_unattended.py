"""In an unattended notebook a permission is rejected, with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.local_sandboxes import destroy_sandboxes

CALLS = ["s.send({!r})", "await s.aio.send({!r})", "s.start({!r}).wait()", "await s.start({!r})"]
DECISIONS = "sw.store().sql('select option_kind, decided_by, reason from v_permissions').fetchall()"


@pytest.fixture(autouse=True)
def nothing_left(home) -> Iterator[None]:
    yield
    destroy_sandboxes(home)


@pytest.mark.parametrize("drawn", [False, True], ids=["no panel", "panel"])
def test_nobody_to_ask_means_no(drawn):
    import nbformat
    from nbclient import NotebookClient  # both are slower to load than all the rest

    sources = ["import session_widgets as sw\ns = sw.open_session('unattended', permissions='ask')"]
    sources += ["s"] if drawn else []
    sources += [f"turn = {call.format('run touch made')}\nassert turn.status == 'completed'" for call in CALLS]
    sources += [f"for decision in {DECISIONS}: print(*decision)\nassert 'made' not in s.exec('ls').out"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(made, timeout=30, kernel_name="python3").execute()
    decisions = made.cells[-1].outputs[0].text.splitlines()
    assert len(decisions) == len(CALLS)
    for decision in decisions:
        assert decision.startswith(
            "reject_once policy:ask nobody could be asked: no click arrives while this cell runs"
        )
