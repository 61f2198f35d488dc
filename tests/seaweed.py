"""The real object store for tests: one SeaweedFS a worker, started as users start theirs."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

import needs
from session_widgets.workspaces.local_s3 import LocalS3, local_s3

BUCKET = "lab"


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalS3]:
    """A store with the bucket "lab", for all tests of a worker: do not stop it, and stay below a prefix of your own.

    One for all workers lost objects: what several of them wrote at once was not always there to read.
    """
    if why := needs.missing("seaweedfs"):
        pytest.skip(why)
    store = local_s3(tmp_path_factory.mktemp("s3"), BUCKET)
    yield store
    store.stop()


@pytest.fixture
def lab(seaweed: LocalS3, monkeypatch: pytest.MonkeyPatch) -> str:
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
    return f"{seaweed.url}/{uuid4().hex[:8]}"
