"""Sessions of the demo harness, deleted after each test."""

from tests.support.sessions import bucket, nothing_else_is_touched, nothing_is_left, open_session, way

__all__ = ["bucket", "nothing_else_is_touched", "nothing_is_left", "open_session", "way"]
