"""Every effect outside of the kernel's process of opening, parking, switching and deleting, in the order of the code.

A kernel is killed before each of them (`test_kernel.py`), so what it has left is what all before it have made; before
the answer to a request it may or may not have been carried out. A run that meets an effect which is not in it fails,
and so does a table with one that no run meets: add or remove it here, and see that the session still heals.
"""

from __future__ import annotations

Table = dict[str, tuple[str, ...]]
"""The effects by operation."""

SOMETIMES = {
    "commit in updates",
    "signal SIGKILL",
    "wait in local._ready",
    "wait in daemon.stop",
    "wait in containers._wait_ready",
    "wait in sandbox_agent_server.start",
    "wait in mount._mount",
    "wait in mount._let_go",
}
"""Not met if all that the agent says comes together with what it asks, if all has ended by SIGTERM, or if nothing is
left to wait for at the first look, as on a busy machine."""


def answered(*requests: str) -> tuple[str, ...]:
    """Name requests, each with the wait for its answer."""
    return tuple(name for request in requests for name in (request, f"answer to {request}"))


NEW = ("mkdir home", "commit session_opened", "commit turn_started")
FOLDER = ("mkdir workspaces", "mkdir workspaces/S")
FOLDER_REMOVED = ("remove workspaces/S/**", "rmdir workspaces/S/**", "rmdir workspaces/S")
NAMED = ("write installation.*", "link installation", "remove installation.*")

AGENT = (
    "commit out initialize",
    "POST /v1/acp/S-* initialize",
    "commit in response to initialize",
    "commit out session/new",
    "POST /v1/acp/S-* session/new",
    "commit in response to session/new",
    "commit agent_started",
)
PROMPT = (
    "commit memory_restored",
    "POST /v1/acp/S-* session/prompt",
    "commit in request",
    "commit permission_decision",
    "POST /v1/acp/S-*",
    "commit in updates",
    "commit in response to session/prompt",
)
TURN = (*AGENT, *PROMPT)


KEPT = ("mkdir contents", "mkdir contents/S", "rename contents/S/**", "commit files_kept")
KEPT_REMOVED = ("remove contents/S/**", "rmdir contents/S")
FORK_FILES = (
    "mkdir contents/S-fork",
    "link contents/S-fork/**",
    "mkdir workspaces/S-fork",
    "mkdir workspaces/S-fork/**",
    "rename workspaces/S-fork/**",
)


def table(
    attach: tuple[str, ...],
    start: tuple[str, ...],
    stop: tuple[str, ...],
    destroy: tuple[str, ...],
    *,
    turn: tuple[str, ...] = TURN,
    save: tuple[str, ...] = (),
    rest: tuple[str, ...] = (),
    detach: tuple[str, ...] = (),
    remove: tuple[str, ...] = FOLDER_REMOVED,
    kept: tuple[str, ...] = KEPT,
    forget: tuple[str, ...] = KEPT_REMOVED,
    fork: tuple[str, ...] = FORK_FILES,
) -> Table:
    """Put together what sessions do with what a provider and a workspace do.

    Args:
        attach: the workspace is made or brought up to date.
        start: the sandbox is made.
        stop: it is parked.
        destroy: it is removed.
        turn: the agent is started and prompted.
        save: the workspace is saved after a turn.
        rest: it is saved before the sandbox stops.
        detach: it is let go of.
        remove: it is removed.
        kept: the files of a turn's end are kept.
        forget: they are removed.
        fork: they become those of another session.
    """
    gone = (*destroy, "commit sandbox_stopped")
    return {
        "open": (*NEW, *attach, "commit sandbox_started", *start, *turn, *save, "commit turn_ended", *kept),
        "park": (*rest, *stop, "commit sandbox_stopped", *detach),
        "switch": (*rest, *gone, "commit session_changed"),
        "fork": ("mkdir forks", "rename forks/S-fork.json", *fork, "commit the fork", "remove forks/S-fork.json"),
        "delete": (*gone, *remove, *forget, "commit the deletion", "write the store again"),
    }


RUNNER = (
    "mkdir sandboxes",
    "mkdir sandboxes/*",
    "rename sandboxes/*/sandbox.json",
    "mkdir sandboxes/*/state",
    "rename sandboxes/*/runner.json",
    "rename sandboxes/*/config.json",
    "rename sandboxes/*/process.json",
    "start session_widgets.runner",
    "rename sandboxes/*/process.json (2)",
    "wait in local._ready",
)
RUNNER_STOPPED = ("signal SIGTERM", "wait in daemon.stop", "signal SIGKILL")
RUNNER_REMOVED = (
    *RUNNER_STOPPED,
    "remove sandboxes/*/sandbox.json",
    "remove sandboxes/*/process.json",
    "remove sandboxes/*/state/**",
    "rmdir sandboxes/*/state/**",
    "rmdir sandboxes/*/state",
    "remove sandboxes/*/runner.json",
    "rmdir sandboxes/*",
)
LOCAL = table(FOLDER, RUNNER, RUNNER_STOPPED, RUNNER_REMOVED)

RESENT = (
    "commit turn_started",
    "POST /v1/acp/S-* session/prompt",
    "commit in updates",
    "commit prompt_not_delivered",
    *AGENT[:3],
    *(name.replace("session/new", "session/list") for name in AGENT[3:6]),
    *(name.replace("session/new", "session/load") for name in AGENT[3:]),
    *PROMPT[:1],
    *PROMPT[2:],
    "commit turn_ended",
    "rename contents/S/**",
    "commit files_kept",
)
"""A prompt to an agent that exits before it receives it."""

SKILLS_KEPT = ("mkdir skills/S/**", "write skills/S/**", "chmod skills/S/**", "rename skills/S/**")
SKILLS_REMOVED = ("remove skills/S/**", "rmdir skills/S/**")


def values_replaced(commit: str) -> tuple[str, ...]:
    """The new values are put beside the old ones, which are removed after the commit."""
    return ("rename environments/S.json", commit, "rename environments/S.json (2)")


GIVEN: Table = {
    "open": (
        "mkdir skills",
        "mkdir skills/S",
        *SKILLS_KEPT,
        "mkdir environments",
        "rename environments/S.json",
        "PUT /v1/fs/file",  # a skill is put into the workspace
    ),
    "replace": (*SKILLS_KEPT, *SKILLS_REMOVED, *values_replaced("commit session_sandbox")),
    "switch": values_replaced("commit session_changed"),
    "delete": (*SKILLS_REMOVED, "rmdir skills/S", "remove environments/S.json"),
}
"""What happens besides, or in the middle of that, in a session that was given skills and values of an environment."""

DOCKER = table(
    FOLDER,
    (
        "mkdir containers",
        "mkdir containers/*",
        "rename containers/*/sandbox.json",
        "mkdir containers/*/state",
        "chown containers/*/state",
        "chown workspaces/S",
        "write containers/installation.*",
        "link containers/installation",
        "remove containers/installation.*",
        *answered("POST /docker/containers/create"),
        "rename containers/*/runner.json",
        "rename containers/*/state/**",
        *answered("POST /docker/containers/*/start"),
        "wait in containers._wait_ready",
    ),
    answered("POST /docker/containers/*/stop"),
    (
        *answered("DELETE /docker/containers/*"),
        "remove containers/*/sandbox.json",
        "remove containers/*/runner.json",
        "remove containers/*/state/**",
        "rmdir containers/*/state/**",
        "rmdir containers/*/state",
        "rmdir containers/*",
    ),
)

SANDBOX_AGENT = table(
    FOLDER,
    (
        "mkdir sandbox-agent",
        "mkdir sandbox-agent/*",
        "rename sandbox-agent/*/sandbox.json",
        "start sandbox-agent",  # which version it is
        "mkdir sandbox-agent/*/data",
        "mkdir sandbox-agent/*/data/**",
        "write sandbox-agent/*/data/**",
        "chmod sandbox-agent/*/data/**",
        "rename sandbox-agent/*/server.json",
        "rename sandbox-agent/*/process.json",
        "start sandbox-agent (2)",
        "rename sandbox-agent/*/process.json (2)",
        "wait in sandbox_agent_server.start",
    ),
    RUNNER_STOPPED,
    (
        *RUNNER_STOPPED,
        "remove sandbox-agent/*/sandbox.json",
        "remove sandbox-agent/*/data/**",
        "rmdir sandbox-agent/*/data/**",
        "rmdir sandbox-agent/*/data",
        "remove sandbox-agent/*/process.json",
        "remove sandbox-agent/*/server.json",
        "remove sandbox-agent/*/snapshot.json",
        "rmdir sandbox-agent/*",
    ),
    turn=(*AGENT, "rename sandbox-agent/*/snapshot.json", *PROMPT),
)

RELAYED = ("mkdir sync", "mkdir sync/S", "POST /v1/fs/manifest", "rename sync/S/**")
REMOTE = table(
    (),
    (
        "mkdir runners",
        "mkdir runners/*",
        "rename runners/*/sandbox.json",
        "PUT /v1/session",
        *FOLDER,
        *RELAYED,
    ),
    (),
    ("DELETE /v1/session", "remove runners/*/sandbox.json", "rmdir runners/*"),
    save=("POST /v1/tree/read", "mkdir workspaces/S/**", "rename workspaces/S/**"),
    # the processes are stopped, and the files fetched, before the sandbox is parked or removed
    rest=("POST /v1/fs/manifest", "rename sync/S/**", "POST /v1/session/park", "PUT /v1/session"),
    remove=(*FOLDER_REMOVED, "remove sync/S/**", "rmdir sync/S"),
)
"""A runner on another machine, which has room for one session, so none is forked."""

LEASE = answered("PUT /lab/*/.leases/S.json")
IN_BUCKET = ("mkdir contents", "mkdir contents/S", *answered("PUT /lab/*/.contents/S/**"), "commit files_kept")
FORK_OBJECTS = (
    "mkdir contents/S-fork",
    *answered("PUT /lab/*/.contents/S-fork/**", "PUT /lab/*/.leases/S-fork.json", "PUT /lab/*/S-fork/**"),
)
WIPED = (*answered("POST /lab"), *answered("DELETE /lab/*/.leases/S.json"))
SYNC = table(
    ("mkdir sync", "mkdir sync/S", *NAMED, *LEASE, *FOLDER, "rename sync/S/**"),
    RUNNER,
    RUNNER_STOPPED,
    RUNNER_REMOVED,
    save=("POST /v1/fs/manifest", *answered("PUT /lab/*/S/**")),
    rest=("rename sync/S/**", "POST /v1/fs/manifest"),
    detach=LEASE,
    kept=IN_BUCKET,
    forget=("rmdir contents/S",),
    fork=FORK_OBJECTS,
    remove=(*WIPED, *FOLDER_REMOVED, "remove sync/S/**", "rmdir sync/S"),
)

UNMOUNTED = (
    "start umount",
    "wait in mount._let_go",
    "remove mounts/S/keys",
    "remove mounts/S/mount.json",
    "rmdir mounts/S/cache",
)
TRIED = ("mkdir", "write", "rename", "truncate", "symlink", "link", "chmod", "remove", "rmdir")
S3FS = table(
    (
        *NAMED,
        *LEASE,
        *answered("PUT /lab/*/S/**"),
        "mkdir mounts",
        "mkdir mounts/S",
        "mkdir mounts/S/workspace",
        "chmod mounts/S/workspace",
        "mkdir mounts/S/cache",
        "write mounts/S/keys",
        "rename mounts/S/process.json",
        "start s3fs",
        "rename mounts/S/process.json (2)",
        "wait in mount._mount",
        "rename mounts/S/mount.json",
        *(f"{what} mounts/S/workspace/**" for what in TRIED),
        "rename mounts/S/mount.json (2)",
        "commit workspace_attached",
    ),
    RUNNER,
    RUNNER_STOPPED,
    RUNNER_REMOVED,
    save=("POST /v1/fs/manifest",),
    rest=("POST /v1/fs/manifest",),
    detach=(*UNMOUNTED, *LEASE),
    kept=IN_BUCKET,
    forget=("rmdir contents/S",),
    fork=FORK_OBJECTS,
    remove=(*UNMOUNTED, "rmdir mounts/S/workspace", "remove mounts/S/process.json", "rmdir mounts/S", *WIPED),
)
