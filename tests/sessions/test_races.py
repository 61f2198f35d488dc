"""Concurrent use of one session by two kernels, two threads or an impatient person."""

import threading
import time

import psutil
import pytest

import session_widgets as sw
from session_widgets._sessions.loop import private_loop
from session_widgets._store.file_queue import FileQueue
from session_widgets.errors import SandboxError, SessionBusy, SessionGone
from tests.support.kernels import Kernel, exactly_once
from tests.support.waiting import until

THEIRS = """
s = sw.open_session("s1", permissions="allow_all")
t = s.start("wait 2\\nsay theirs", idempotency_key="k")
print(json.dumps("begun"))
t.wait(30)
print(json.dumps([t.status, t.text]))
"""


@pytest.fixture
def rival(forked, open_session):
    """A session with nobody watching, while another kernel runs a turn of it."""
    session = open_session()
    session.send("say mine")
    kernel = Kernel(forked, THEIRS)
    assert kernel.read() == "begun"
    yield session
    assert kernel.end() == (0, [["completed", "theirs"]])


def test_the_turn_of_another_kernel_can_be_waited_for(rival):
    assert rival.turns[-1].wait(20).text == "theirs"


def test_a_key_that_another_kernel_used_gives_its_turn(rival):
    turn = rival.send("wait 2\nsay theirs", idempotency_key="k", timeout=20)
    assert (turn.index, turn.text) == (2, "theirs")


def test_park_leaves_the_turn_of_another_kernel_alone(rival):
    with pytest.raises(SessionBusy, match="turn 2"):
        rival.park()


def test_a_session_that_another_kernel_deleted_is_gone(forked, open_session):
    session = open_session()
    session.send("say x")
    assert Kernel(forked, 'sw.open_session("s1").delete()').end() == (0, [])
    with pytest.raises(SessionGone, match="s1"):
        session.send("say y")
    assert session.status == "deleted"
    assert session.events() == []
    again = open_session()
    assert again is not session
    assert again.send("say z").text == "z"
    exactly_once(again.events())


def test_delete_wins_over_file_listings(open_session, home):
    session = open_session()
    session.send("say x")
    over = threading.Event()

    def look():
        while not over.is_set():
            try:
                session.files.list()
            except (SandboxError, SessionGone):
                time.sleep(0.001)

    viewers = [threading.Thread(target=look) for _ in range(4)]
    for viewer in viewers:
        viewer.start()
    session.delete()
    over.set()
    for viewer in viewers:
        viewer.join()
    assert list((home / "sandboxes").iterdir()) == []
    assert list((home / "workspaces").iterdir()) == []
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(home) in " ".join(p.info["cmdline"] or ())]


def test_a_store_closed_in_mid_turn_lets_the_file_go_and_the_turn_goes_on(open_session):
    session = open_session()
    turn = session.start("stream 20000\nwait 1\nsay done")
    until(lambda: "chunk 10 " in turn.text)
    sw.store().close()
    assert turn.wait(20).status == "failed"
    assert "closed" in turn.error
    again = open_session()
    assert again is not session
    assert again.turns[-1].wait(30).text.endswith("done")
    exactly_once(again.events())


def test_stop_twice_while_the_end_is_being_stored(open_session):
    session = open_session()
    turn = session.start("say x")
    line = FileQueue(session.store.path)
    assert line.enter(time.monotonic() + 10)  # from here on a commit waits
    until(lambda: not session.store._file._attached)
    clicks = [threading.Thread(target=session.cancel) for _ in range(3)]
    for click in clicks:
        click.start()
        time.sleep(0.1)
    line.leave()
    for click in clicks:
        click.join()
    assert turn.wait(10).status == "cancelled"
    again = session.send("say y", timeout=20)
    assert (again.text, again.error) == ("y", None)


def test_an_unsubscribed_reader_of_the_past_gets_no_more_events(open_session):
    session = open_session()
    heard = []
    line = FileQueue(session.store.path)
    until(lambda: not session.store._file._attached)
    assert line.enter(time.monotonic() + 10)  # from here on a read waits
    session.subscribe(heard.extend)()
    line.leave()
    session.send("say x")
    assert heard == []


def test_a_turn_cancelled_before_it_takes_its_first_step_has_a_stored_end(open_session):
    session = open_session()

    async def at_once(core):
        turn = await core.turns._begin([{"type": "text", "text": "wait 30"}], None)
        await core.turns.cancel()
        return turn

    assert private_loop().run(at_once(session._controller)).status == "cancelled"
    assert session.send("say usable", timeout=20).text == "usable"
