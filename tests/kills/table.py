"""Every effect outside of the kernel's process of opening, parking, switching and deleting, by the order of the code.

A kernel is killed before each of them (`test_kernel.py`), so what it left is what all before it have made. A run that
meets an effect which is not in this table fails, and so does a table with an effect that no run meets: add or remove it
here, and see that the session still heals.
"""

from __future__ import annotations

SOMETIMES = {"commit in updates"}
"""Met unless all that the agent says comes together with what it asks, or with its answer."""

TURN = (
    "commit out initialize",
    "POST /v1/acp/S-* initialize",
    "commit in response to initialize",
    "commit out session/new",
    "POST /v1/acp/S-* session/new",
    "commit in response to session/new",
    "commit agent_started",
    "PUT /v1/fs/snapshots/turn-1",
    "commit turn_tier",
    "POST /v1/acp/S-* session/prompt",
    "commit in request",
    "commit permission_decision",
    "POST /v1/acp/S-*",
    "commit in updates",
    "commit in response to session/prompt",
    "commit turn_ended",
)

OPENED = ("mkdir home", "commit session_opened", "commit turn_started", "mkdir workspaces", "mkdir workspaces/S")

SWEPT = ("remove workspaces/S/**", "rmdir workspaces/S/**", "rmdir workspaces/S", "commit the deletion")

LOCAL_STOPPED = ("signal SIGTERM",)
LOCAL_REMOVED = (
    *LOCAL_STOPPED,
    "remove sandboxes/*/sandbox.json",
    "remove sandboxes/*/process.json",
    "remove sandboxes/*/state/**",
    "rmdir sandboxes/*/state/**",
    "rmdir sandboxes/*/state",
    "remove sandboxes/*/runner.json",
    "rmdir sandboxes/*",
    "commit sandbox_stopped",
)

LOCAL = {
    "open": (
        *OPENED,
        "commit sandbox_started",
        "mkdir sandboxes",
        "mkdir sandboxes/*",
        "rename sandboxes/*/sandbox.json",
        "mkdir sandboxes/*/state",
        "rename sandboxes/*/runner.json",
        "rename sandboxes/*/config.json",
        "rename sandboxes/*/process.json",
        "start session_widgets.runner",
        "rename sandboxes/*/process.json (2)",
        *TURN,
    ),
    "park": (*LOCAL_STOPPED, "commit sandbox_stopped"),
    "switch": (*LOCAL_REMOVED, "commit session_changed"),
    "delete": (*LOCAL_REMOVED, *SWEPT),
}
