"""Sessions of the demo harness in the local sandbox, ended after each test."""

import shutil

import pytest

import session_widgets as sw
from tests.support.sessions import bucket, nothing_else_is_touched, nothing_is_left, open_session, way

__all__ = ["bucket", "nothing_else_is_touched", "nothing_is_left", "open_session", "way"]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SESSION_WIDGETS_HOME", str(tmp_path_factory.mktemp("lasting")))
        session = sw.open_session("lasting", permissions="allow_all")
        assert session.send("say warm").status == "completed"
        yield session
        session.delete()
        session.store.close()


@pytest.fixture
def session(lasting):
    """One session for the tests of a file that are not about its life: idle, its directory empty, all allowed."""
    lasting.set_permissions("allow_all")
    yield lasting
    lasting.cancel()
    for path in lasting.workspace.glob("*"):
        if path.name != ".harness":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
