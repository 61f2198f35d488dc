"""The object store of this data directory."""

from __future__ import annotations

from session_widgets.store import store
from session_widgets.workspaces.local_s3 import LocalS3
from session_widgets.workspaces.local_s3 import local_s3 as start_at


def local_s3(bucket: str = "sessions") -> LocalS3:
    """Start the object store that comes with the extra `s3`, or find it running, and make a bucket in it.

    It listens on this machine alone, outlives the kernel, and keeps everything in the data directory. It takes about
    4 seconds, or none if it runs already. `open_session(..., workspace=local_s3().url)` puts a session's files there.

    Args:
        bucket: the name of the bucket.

    Returns:
        The store, with `url`, `endpoint`, `bucket`, `credentials`, `running` and `stop()`.

    Raises:
        MissingDependency: SeaweedFS is not installed: pip install 'session-widgets[s3]'.
        WorkspaceError: it does not start; the end of its log is in the message.
    """
    return start_at(store().home, bucket)
