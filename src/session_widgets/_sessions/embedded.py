"""The object store of this data directory."""

from __future__ import annotations

from session_widgets._store import store
from session_widgets.workspaces.local_s3 import LocalS3
from session_widgets.workspaces.local_s3 import local_s3 as start_at


def local_s3(bucket: str = "sessions") -> LocalS3:
    """Start the object store of the extra `s3`, if it does not run, and create a bucket in it.

    It listens only on this machine, outlives the kernel, and stores everything in the data directory. A start takes
    about 4 seconds. `open_session(..., workspace=local_s3().url)` puts a session's files there.

    Args:
        bucket: the name of the bucket.

    Returns:
        The store, with `url`, `endpoint`, `bucket`, `credentials`, `running` and `stop()`.

    Raises:
        MissingDependency: SeaweedFS is not installed: pip install 'session-widgets[s3]'.
        WorkspaceError: it does not start; the message has the end of its log.
    """
    return start_at(store().home, bucket)
