"""Keys of a bucket that are no paths: listed apart, never fetched, whatever store lets them in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from session_widgets.errors import BadValue
from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.bucket_location import BucketLocation


class Client:
    """A store that lets any key in; SeaweedFS refuses or rewrites these."""

    def __init__(self, *keys: str) -> None:
        self.rows = [
            {
                "Key": f"p/s1/{key}",
                "Size": 0 if key.endswith("/") else 1,
                "ETag": '"e"',
                "LastModified": datetime.now(UTC),
            }
            for key in keys
        ]

    def list_objects_v2(self, **_: object) -> dict[str, object]:
        return {"Contents": self.rows, "IsTruncated": False}


@pytest.mark.parametrize(
    "key", ["../s2/x", "a/../../etc/passwd", "..", ".", "./x", "a//b", "/etc/passwd", "a\\b", "nul\0", "a/.."]
)
def test_a_key_that_is_no_path_is_strange(key):
    listing = Prefix(Client(key, "good"), "b", "p/s1/").listing()
    assert set(listing.objects) == {"good"}
    assert listing.strange == (key,)


def test_markers_of_folders_count_only_where_the_folder_is_empty():
    listing = Prefix(Client("", "a/", "a/b", "empty/", "deep/x/", "deep/x/y/z"), "b", "p/s1/").listing()
    assert {path: info.kind for path, info in listing.objects.items()} == {
        "a/b": "file", "empty": "directory", "deep/x/y/z": "file",
    }  # fmt: skip


def test_a_marker_with_a_content_of_its_own_is_not_taken_for_an_empty_folder():
    client = Client("x/")
    client.rows[0]["Size"] = 9
    listing = Prefix(client, "b", "p/s1/").listing()
    assert (listing.objects, listing.strange) == ({}, ("x",))


def test_a_key_that_is_a_file_and_a_folder_keeps_the_file():
    listing = Prefix(Client("a", "a/b", "a/c/d", "ab"), "b", "p/s1/").listing()
    assert set(listing.objects) == {"a", "ab"}
    assert set(listing.strange) == {"a/b", "a/c/d"}


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///x", "s3://UPPER/x", "s3://a", "s3://lab/../x", "s3://lab/a//b", "s3://lab/a\nb", "http://lab/x"],
)
def test_a_url_that_names_no_place_is_refused(tmp_path, url):
    with pytest.raises(BadValue, match="s3://bucket/prefix"):
        BucketLocation.place(tmp_path, tmp_path, "s1", url)


@pytest.mark.parametrize(
    ("url", "location"),
    [("s3://lab", "s3://lab/s1"), ("s3://lab/", "s3://lab/s1"), ("s3://lab/a/b/", "s3://lab/a/b/s1")],
)
def test_a_session_gets_a_folder_of_its_own(tmp_path, url, location):
    objects = BucketLocation.place(tmp_path, tmp_path, "s1", url)
    assert objects.location == location
    assert BucketLocation.place(tmp_path, tmp_path, "s1", location.removesuffix("s1")).location == location
