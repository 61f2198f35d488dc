"""`session-widgets s3`, and `sw.local_s3()` on the same store."""

from __future__ import annotations

import pytest

import session_widgets as sw
from session_widgets.workspaces.local_s3 import LocalS3

pytestmark = [pytest.mark.needs("seaweedfs"), pytest.mark.timeout(120)]


@pytest.fixture
def cli(home, forked):
    yield lambda *arguments: forked.command("s3", *arguments, timeout=90)
    LocalS3(home).stop()


def test_start_status_stop_and_the_notebook_finds_the_same_store(cli, home):
    assert (cli("status").returncode, cli("status").stdout.splitlines()[0]) == (1, "never started")
    started = cli("start", "lab")
    assert (started.returncode, started.stderr) == (0, "")
    store = sw.local_s3("lab")
    assert (store.running, store.place) == (True, home / "s3")
    assert store.endpoint in started.stdout
    assert 'workspace="s3://lab"' in started.stdout
    assert store.credentials.access_key not in started.stdout
    assert store.credentials.secret_key not in started.stdout

    shown = cli("start", "lab", "--show-keys").stdout
    assert f"export AWS_SECRET_ACCESS_KEY={store.credentials.secret_key}" in shown
    assert f"export AWS_ENDPOINT_URL_S3={store.endpoint}" in shown

    status = cli("status")
    assert (status.returncode, "s3://lab" in status.stdout, store.endpoint in status.stdout) == (0, True, True)
    assert cli("stop").stdout == "stopped\n"
    assert not store.running
    assert cli("status").stdout.startswith("not running; its files are in")
    assert cli("stop").stdout == "it did not run\n"


def test_a_bad_name_is_one_line_and_starts_nothing(cli, home):
    done = cli("start", "No_Bucket")
    assert done.returncode == 1
    assert done.stderr.startswith("session-widgets: a bucket's name")
    assert not (home / "s3").exists()
