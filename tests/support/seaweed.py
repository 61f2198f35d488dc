"""The real object store for tests: one SeaweedFS a run, started as users start theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.local_s3 import LocalS3, local_s3
from tests.support import needs

BUCKET = "lab"
OTHERS = "of-another-test"


def directory_of_run(config: pytest.Config) -> Path:
    """The temporary directory that the workers of a run share; they work in directories below it."""
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    return base.parent if hasattr(config, "workerinput") else base


@pytest.fixture(scope="session")
def seaweed(pytestconfig: pytest.Config) -> Iterator[LocalS3]:
    """A store with the bucket "lab", for the whole run: do not stop it, and stay below a prefix of your own."""
    if why := needs.missing("seaweedfs"):
        pytest.skip(why)
    store = local_s3(directory_of_run(pytestconfig), BUCKET)
    yield store
    if not hasattr(pytestconfig, "workerinput"):
        store.stop()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the store when all workers are done with it."""
    if not hasattr(config, "workerinput"):
        LocalS3(directory_of_run(config), BUCKET).stop()


@pytest.fixture(scope="session")
def others(seaweed: LocalS3) -> Prefix:
    """An object beside the folders of the tests, which none of them may touch."""
    prefix = Prefix(seaweed.client(), BUCKET, f"{OTHERS}/")
    prefix.put("kept", b"", 0, metadata={}, if_match=None)
    return prefix


@pytest.fixture
def lab(seaweed: LocalS3, others: Prefix, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """ "s3://lab/<a folder of this test>", which the AWS settings of this test lead to."""
    keys = seaweed.credentials
    settings = {
        "AWS_ENDPOINT_URL_S3": seaweed.endpoint,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SESSION_WIDGETS_WEED_FILER": seaweed.filer,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield f"{seaweed.url}/{uuid4().hex[:8]}"
    if others.head("kept") is None:
        others.put("kept", b"", 0, metadata={}, if_match=None)
        pytest.fail("a test that runs now deletes what is not below its own prefix", pytrace=False)
