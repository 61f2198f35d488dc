"""Bad input, as a session shows it: the turn fails with a remedy, and nothing is made.

| input | e2b, daytona, modal | other providers |
| --- | --- | --- |
| no key, no SDK | test_e2b, test_daytona(_sessions), test_modal_sessions | docker: test_docker_engine |
| wrong key | here | runner: `test_a_wrong_token...`; sandbox-agent: `test_a_wrong_token_is_reported` |
| unknown option, `gpu="T4"` on e2b | here | test_options, test_third_party |
| image without Python, without Node.js | test_provider, once for all | docker: `test_an_image_without_a_runner...` |
| GPU that the vendor does not have | test_daytona, test_modal_adapter | |
| lifetime or idle time above the plan's | here | |
| region or environment that does not exist | here | |
| size that the vendor does not have | here, test_e2b_images, test_daytona | |
| template or image that does not exist | here, test_daytona, test_modal_adapter | docker: `test_a_failed_pull...` |
| box of a newer release | here, with `local`: all keep such records | |
| reference of another vendor | conformance: `others_references_lead_nowhere` | the same, for all providers |
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

import pytest

import session_widgets as sw
from session_widgets._sandboxes import records
from session_widgets._sandboxes.clouds import limits
from session_widgets.errors import BadValue, FilesNotKept
from tests.clouds.journeys import completed
from tests.standins.rented import CLOUDS, rented


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    with ExitStack() as entered:
        yield [entered.enter_context(rented(name, tmp_path_factory.mktemp(name))) for name in CLOUDS]


@pytest.fixture
def account(accounts, monkeypatch):
    """An account at each vendor; in the end no box is left at any."""
    for one in accounts:
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    yield accounts
    for one in accounts:
        one.check()


@pytest.mark.needs("boxes")
@pytest.mark.parametrize(
    ("sandbox", "variables", "words"),
    [
        ("e2b", {"E2B_API_KEY": "e2b_wrong"}, r"E2B refused the key of E2B_API_KEY.*e2b\.dev/dashboard"),
        ("daytona", {"DAYTONA_API_KEY": "dtn_wrong"}, r"refused the key.*app\.daytona\.io/dashboard/keys"),
        ("modal", {"MODAL_TOKEN_SECRET": "as-wrong"}, r"refuses the token.*modal token new"),
        ("daytona", {"DAYTONA_TARGET": "mars"}, r"Region mars not found.*DAYTONA_TARGET names a region"),
        ("modal", {"MODAL_ENVIRONMENT": "mars"}, r"'mars' not found.*MODAL_ENVIRONMENT names one"),
        (sw.Sandbox("e2b", idle="25h", lifetime="30h"), {}, r"refuses the time of idle=.*24 hours.*idle='30m'"),
        (sw.Sandbox("modal", lifetime="25h"), {}, "lifetime: Modal ends every sandbox after 24 hours; got 25 hours"),
        (sw.Sandbox("e2b", image="mine"), {}, "no template 'mine' for this account"),
        (
            sw.Sandbox("e2b", image="base", cpus=4),
            {},
            r"'base' of E2B was set at its build: leave out cpus=",
        ),
        (sw.Sandbox("e2b", cpus=3), {}, r"cpus must be 1, 2, 4, \.\.\.; got 3"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_a_turn_fails_with_the_remedy(account, home, monkeypatch, caplog, sandbox, variables, words):
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        session = sw.open_session("a", sandbox=sandbox)
        turn = session.send("say hello")
    assert (turn.status, turn.text) == ("failed", "")
    assert re.search(words, turn.error), turn.error
    session.files.list()
    assert [one.boxes for one in account] == [[], [], []], "a look at the files makes no sandbox"
    ended = sw.store().sql("select reason, ended_at is null from v_sandboxes").fetchall()
    assert set(ended) <= {("gone", False)}, "what was never there costs nothing"
    with pytest.raises(FilesNotKept):
        _ = turn.files_at_end
    assert "were not kept" not in caplog.text, "the failure of the turn says enough"
    session.delete()


def test_an_option_names_who_has_it_before_anything_is_made(home):
    for name in ("e2b", "docker", "local"):
        with pytest.raises(BadValue, match=r"got gpu=\. Leave that out, .*gpu= is an option of 'daytona', 'modal'"):
            sw.open_session("a", sandbox=sw.Sandbox(name, gpu="T4"))
    assert sw.store().sessions() == []


def test_a_box_of_a_newer_release_is_left_as_it_is(home):
    session = sw.open_session("a", sandbox="local", permissions="allow_all")
    completed(session.send("write a <<EOT\nx\nEOT"))
    session.park()
    (record,) = home.glob("**/sandbox.json")
    made = record.read_text()
    newer = json.dumps({"form": records.FORM + 1, "owned_by": json.loads(made)["session"]})
    record.write_text(newer)
    turn = session.send("remember")
    assert turn.status == "failed"
    assert "was made by a newer release of session-widgets: update it here too" in turn.error
    assert record.read_text() == newer
    record.write_text(made)
    assert "1 earlier turn" in completed(session.send("remember")).text
    session.delete()
