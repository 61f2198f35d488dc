"""`session-widgets compare` and `stats`."""

from __future__ import annotations

import json

from tests.analysis.stored import store_run


def test_sessions_are_compared_and_counted_in_the_terminal(forked, home):
    store_run("one", ["completed", "failed"], turns=2)
    store_run("two", ["completed"])
    done = forked.command("compare", "one", "two")
    assert done.returncode == 0, done.stderr
    assert ["tool", "calls", "4", "1", "(-3)"] in [line.split() for line in done.stdout.splitlines()]
    assert "4 + 1 actions in 4 columns" in done.stdout
    said = json.loads(forked.command("compare", "one", "two", "--json").stdout)
    assert [run["tool_calls"] for run in said["metrics"]] == [4, 1]
    assert said["divergence"]["edit"] == {"column": None, "detail": "no difference"}
    assert len(said["columns"]) == 8
    (row,) = json.loads(forked.command("stats", "--json").stdout)
    assert (row["harness"], row["sessions"], row["tool_calls"], row["output_tokens"]) == ("demo", 2, 5, None)
    assert "demo" in forked.command("stats").stdout


def test_one_session_or_an_unknown_one_is_an_error_with_a_remedy(forked, home):
    store_run("one", ["completed"])
    for ids, words in [(["one"], "2 to 8 different sessions"), (["one", "nope"], "no session 'nope'")]:
        done = forked.command("compare", *ids)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert words in done.stderr


def test_an_empty_store_says_how_to_start(forked, home):
    assert "No sessions yet" in forked.command("stats").stdout
