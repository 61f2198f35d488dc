"""A click while a cell runs: each ipykernel delivers it in its own way, and a permission is answered in all of them.

6.31 delivers no click before the cell has ended, 7.3 delivers it at once, 7.4 while a cell awaits, not while it blocks.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.notebook import STDIN, Notebook, Panel

pytestmark = pytest.mark.needs("chromium", "kernels")
WRITE = "write {0}.txt <<EOT\\ntext of {0}\\nEOT"


@pytest.fixture(scope="module")
def panel(kernel: Notebook) -> Panel:
    """Of the session `s`, also where tests have drawn panels of others below."""
    kernel.open_session(permissions="ask", shown=False)
    return Panel(kernel.run("s"))


def test_an_ipykernel_that_loses_requests_is_named_once_where_a_session_is_opened(kernel):
    opening = f"import session_widgets as sw\nfor n in range(2): sw.open_session(f'named-{{n}}-{kernel.id}')"
    said = re.findall("This ipykernel loses a request .* pip install 'ipykernel>=7.4'", kernel.kernel_says(opening))
    assert len(said) == (kernel.kernel == "ipykernel-7.3")


def asks_in_cell(kernel: Notebook, *, awaited: bool) -> bool:
    return kernel.kernel in ({"ipykernel-6.31"} if awaited else {"ipykernel-6.31", "ipykernel-7.4"})


def test_the_kernel_is_the_one_that_is_meant(kernel):
    assert f"ipykernel-{kernel.kernel_says('import ipykernel; print(ipykernel.__version__)')}".startswith(kernel.kernel)


@pytest.mark.parametrize(
    ("call", "awaited"),
    [("s.send({!r})", False), ("await s.aio.send({!r})", True), ("s.start({!r}).wait()", False)],
    ids=["send", "aio.send", "wait"],
)
def test_a_permission_is_given_while_a_cell_waits(kernel, panel, call, awaited, request):
    name = request.node.callspec.id.split("-", 1)[1].replace(".", "_")
    cell = kernel.begin(f"turn = {call.format(WRITE.format(name).encode().decode('unicode_escape'))}")
    if asks_in_cell(kernel, awaited=awaited):
        expect(cell).to_contain_text(f"+text of {name}")
        expect(cell).to_contain_text("Allow?")
        kernel.answer("nonsense")
        kernel.answer("o")
    else:
        expect(panel.asks).to_contain_text(f"{name}.txt")
        expect(cell.locator(STDIN)).to_have_count(0)
        panel.button("allow_once").click()
    kernel.ended(cell)
    assert kernel.kernel_says(f"print(s.files.read_text('{name}.txt'))").strip() == f"text of {name}"


def test_a_permission_is_refused_while_a_cell_waits(kernel, panel):
    cell = kernel.begin(f"turn = s.send('{WRITE.format('refused')}')")
    if asks_in_cell(kernel, awaited=False):
        kernel.answer("r")
    else:
        panel.button("reject_once").click()
    kernel.ended(cell)
    said = kernel.kernel_says("print([file.name for file in s.files.list()], turn.status, turn.files)")
    assert "refused.txt" not in said
    assert "completed ()" in said


def test_a_permission_is_given_while_nothing_runs(kernel, panel):
    kernel.run(f"turn = s.start('{WRITE.format('idle')}')")
    expect(panel.asks).to_contain_text("idle.txt")
    panel.button("allow_once").click()
    expect(panel.asks).to_have_count(0)
    assert kernel.kernel_says("print(turn.wait(10).status, turn.files[0].path)").split() == ["completed", "idle.txt"]


def test_a_turn_that_already_asks_is_answered_where_it_is_waited_for(kernel, panel):
    kernel.run(f"turn = s.start('{WRITE.format('later')}')")
    expect(panel.asks).to_contain_text("later.txt")
    cell = kernel.begin("turn.wait()")
    if asks_in_cell(kernel, awaited=False):
        kernel.answer("o")
    else:
        panel.button("allow_once").click()
    kernel.ended(cell)
    assert kernel.kernel_says("print(turn.status)").strip() == "completed"


def test_a_turn_in_the_background_is_answered_in_the_panel(kernel, panel):
    kernel.run(f"import asyncio; task = asyncio.create_task(s.aio.send('{WRITE.format('behind')}'))")
    expect(panel.asks).to_contain_text("behind.txt")
    panel.button("allow_once").click()
    expect(panel.asks).to_have_count(0)
    assert "behind.txt" in kernel.run("print((await task).files)").inner_text()


def test_without_a_panel_an_awaiting_cell_asks_by_itself(kernel):
    kernel.run(f"import session_widgets as sw\nbare = sw.open_session('bare-{kernel.id}')")
    cell = kernel.begin("turn = await bare.aio.send('run echo $((6 * 7))')")
    expect(cell).to_contain_text("$ echo $((6 * 7))")
    kernel.answer("once")
    kernel.ended(cell)
    assert "42" in kernel.kernel_says("print(turn.steps)")


@pytest.mark.parametrize("call", ["s.send({})", "await s.aio.send({})"], ids=["send", "aio.send"])
def test_interrupting_the_cell_cancels_the_turn(kernel, panel, call):
    word = "awaited" if "await" in call else "begun"
    cell = kernel.begin(call.format(f"'say {word}\\nwait 50'"))
    expect(panel.transcript).to_contain_text(re.compile(rf"say {word}.*{word}", re.DOTALL))
    kernel.command("notebook:interrupt-kernel")
    kernel.ended(cell)
    expect(cell).to_contain_text(re.compile("KeyboardInterrupt|CancelledError"))
    again = kernel.run("print(s.turns[-1].status, s.send('say next').text)")
    expect(again).to_contain_text("cancelled next")
    expect(panel.transcript).to_contain_text(re.compile(rf"say {word}.*Stopped.*say next", re.DOTALL))


def test_interrupting_the_question_cancels_the_turn(kernel, panel):
    cell = kernel.begin(f"s.send('{WRITE.format('interrupted')}')")
    expect(cell.locator(STDIN) if asks_in_cell(kernel, awaited=False) else panel.asks).to_be_visible()
    kernel.command("notebook:interrupt-kernel")
    kernel.ended(cell)
    assert kernel.kernel_says("print(s.turns[-1].status, s.send('say on').text)").split() == ["cancelled", "on"]


ASKED_BEFORE_HEARD = """
import threading, time
from IPython.display import display
others = [sw.open_session(f"{{s.id}}-{{n}}") for n in range({others})]
for other in others: display(other)
asked = sw.open_session(s.id + "-asked-{name}", permissions="ask")
turn = asked.start({prompt!r})
while not asked.pending: time.sleep(0.05)
for _ in range({views}): display(asked)
page = asked.control.page  # as if its messages were still on their way, also when one arrives now
unheard = property(lambda page: False, lambda page, value: None)
page.__class__ = type("Unheard", (type(page),), {{"__slots__": (), "heard_apart": unheard}})
turn.wait()
"""


ANSWERED_BY_A_THREAD = """
from pathlib import Path
def answer():
    while not Path({go!r}).exists(): time.sleep(0.05)
    asked.pending[0].allow()
threading.Thread(target=answer).start()
turn.wait()
input("name? ")
"""


@pytest.mark.parametrize(
    ("others", "views", "kind", "files"),
    [(0, 1, "allow_once", "clicked.txt"), (3, 2, "reject_once", "")],
    ids=["allowed", "refused-among-several-panels"],
)
def test_a_click_answers_what_the_cell_asks(kernel, panel, others, views, kind, files):
    code = ASKED_BEFORE_HEARD.format(others=others, views=views, name=kind, prompt="write clicked.txt <<EOT\nx\nEOT")
    cell = kernel.begin(code)
    expect(cell.locator(STDIN)).to_be_visible()
    clicked = Panel(cell)
    expect(clicked.asks).to_contain_text("The cell asks too: answer here or there.")
    clicked.button(kind).click()
    kernel.ended(cell)
    expect(cell.locator(STDIN)).to_have_count(0)
    expect(clicked.asks).to_have_count(0)
    expect(cell).to_contain_text("(in the panel)")
    kernel.run("told = ' '.join([turn.status, *(file.path for file in turn.files)])")  # no field keeps it from running
    assert kernel.kernel_says("print(told)").strip() == f"completed {files}".strip()
    by = "print({e.payload['decided_by'] for e in asked.events() if e.kind == 'permission_decision'})"
    assert kernel.kernel_says(by).strip() == "{'user'}"


def test_an_answer_from_python_ends_the_question_of_the_cell(kernel, panel):
    go = kernel.file.with_suffix(".go")
    asking = ASKED_BEFORE_HEARD.format(others=0, views=1, name="python", prompt="write python.txt <<EOT\nx\nEOT")
    cell = kernel.begin(asking.replace("turn.wait()", ANSWERED_BY_A_THREAD.format(go=str(go))))
    expect(Panel(cell).asks).to_contain_text("The cell asks too")
    go.touch()
    expect(cell).to_contain_text("This was answered elsewhere.")
    expect(cell.locator(".jp-Stdin-prompt").last).to_have_text(re.compile("name\\?"))
    expect(cell.locator(STDIN)).to_have_count(1)
    kernel.answer("Ada")
    kernel.ended(cell)
    expect(cell).to_contain_text("'Ada'")


def test_a_question_is_answered_in_the_panel_while_the_cell_asks(kernel, panel):
    asking = ASKED_BEFORE_HEARD.format(others=0, views=1, name="form", prompt="question Which one? | red | blue")
    cell = kernel.begin(asking.replace("asked.pending", "asked.questions"))
    expect(cell.locator(STDIN)).to_be_visible()
    form = Panel(cell).root.get_by_role("group", name="Question of the agent")
    expect(form).to_contain_text("The cell asks too: answer here or there.")
    form.get_by_label("blue").check()
    form.get_by_test_id("question-accept").click()
    kernel.ended(cell)
    expect(cell.locator(STDIN)).to_have_count(0)
    kernel.run("told = turn.text")
    assert "blue" in kernel.kernel_says("print(told)")


def test_stop_ends_a_turn_that_no_cell_waits_for(kernel, panel):
    panel.prompt("say going\nwait 50")
    expect(panel.transcript).to_contain_text(re.compile("say going.*going", re.DOTALL))
    panel.stop.click()
    expect(panel.transcript).to_contain_text(re.compile("say going.*Stopped", re.DOTALL))
    panel.prompt("say onward")
    expect(panel.transcript).to_contain_text(re.compile("Stopped.*say onward.*onward.*Done", re.DOTALL))
