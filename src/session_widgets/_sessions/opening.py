"""`open_session`: create or resume, by id."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import get_provider
from session_widgets._sandboxes.options import Sandbox
from session_widgets._sessions.continuing import check_continued, drafts, offer
from session_widgets._sessions.controller import SessionController
from session_widgets._sessions.forking import clear
from session_widgets._sessions.host_tool import HostTool, check_tools
from session_widgets._sessions.journal import note
from session_widgets._sessions.limits import TurnLimits, check_limits
from session_widgets._sessions.loop import private_loop
from session_widgets._sessions.mcp_servers import check_harness, check_servers
from session_widgets._sessions.permissions import Policy, check_policy
from session_widgets._sessions.rules import Rules
from session_widgets._sessions.sandbox_options import (
    SandboxOptions,
    check_attachment,
    check_options,
    sandbox_name,
)
from session_widgets._sessions.session import Session
from session_widgets._sessions.skills import Skill, Skills, check_skills
from session_widgets._sessions.state import Stored
from session_widgets._store import Store
from session_widgets._store import store as default_store
from session_widgets.errors import BadValue, SessionConflict
from session_widgets.host.data_directory import data_directory
from session_widgets.kernel import LOSES_REQUESTS, REMEDY, current_kernel, ipykernel_release, loses_requests
from session_widgets.model import check_session_id
from session_widgets.transcript.notes import SandboxStopped, SessionChanged, SessionOpened
from session_widgets.transcript.records import Json, SessionRecord
from session_widgets.workspaces import SCHEME, Workspace, place, remembered

SETTINGS = ("model", "mode", "effort", "title")

LOST = (
    "the permissions of session {id!r} were the function {name!r} of another process. A function cannot be stored, so "
    "the session asks now: open it with permissions=, or call session.set_permissions()."
)

_open: dict[tuple[Path, str], Session] = {}
_opening = threading.Lock()


def open_session(
    id: str,
    *,
    harness: str | Harness | None = None,
    sandbox: str | Sandbox | None = None,
    workspace: str | Path | None = None,
    attachment: str | None = None,
    model: str | None = None,
    mode: str | None = None,
    effort: str | None = None,
    permissions: Policy | None = None,
    limits: TurnLimits | None = None,
    title: str | None = None,
    store: Store | str | Path | None = None,
    token: str | None = None,
    tools: Sequence[Callable[..., Any]] = (),
    mcp_servers: Sequence[Json] | None = None,
    skills: Sequence[str | Path] | None = None,
    continues: str | None = None,
) -> Session:
    """Create a session, or resume the one with this id, with its files, its transcript and its running turn.

    Nothing is started before the first prompt. An existing session is resumed as it is: omitted arguments are taken
    from it.

    Args:
        id: 1 to 128 characters of A-Z, a-z, 0-9, "_" and "-".
        harness: the agent program: "demo" (the default), another name that `harnesses` lists, or a `Harness`.
        sandbox: where it runs: "local" (the default) is this machine, as your user, and isolates nothing: an agent
            there can read what you can, and answer its own permission requests (the turn fails then). "docker" is a
            container, "runner:http://127.0.0.1:9000" another machine (`session-widgets runner`), "sandbox-agent" a
            server of that program, "sandbox-agent:http://127.0.0.1:2468" a running one.
            `Sandbox("local", confine=True)` hides this machine's files and processes from it (Linux, bubblewrap).
            `Sandbox("docker", memory="2g", ...)` adds options; the next turn recreates a sandbox whose options differ.
        workspace: an existing directory, or "s3://bucket/prefix", below which the session gets its own folder; by
            default a new directory that is kept for the session.
        attachment: how a sandbox reaches a workspace in a bucket: "sync" (the default) synchronises a directory with
            it after each turn; "direct" is the same, but a sandbox elsewhere transfers the contents by itself, by
            requests that this machine signs; "fuse:s3fs", "fuse:weed" and "fuse:geesefs" mount it.
        model: id of the harness; None for its default.
        mode: id of the harness; None for its default.
        effort: reasoning effort, as an id of the harness; None for its default.
        permissions: "ask" (the default), "allow_reads", "allow_edits", "allow_all", "deny", or a function that takes a
            `PermissionRequest` and returns an option id, or None to ask. A function is not stored: another process
            that opens the session without one asks, with a warning.
        limits: limits of a turn's time and size; see `TurnLimits`.
        title: shown instead of the id.
        store: a `Store` or the path of its file; by default that of `store()`.
        token: for the runner or sandbox-agent at the address in `sandbox`; stored in a file beside the store, readable
            only by its owner. Default: the stored token, else the variable SESSION_WIDGETS_RUNNER_TOKEN or
            SANDBOX_AGENT_TOKEN.
        tools: functions of this notebook that the agent may call; see `Session.tool`.
        mcp_servers: the agent's MCP servers, in ACP's format: `{"name", "command", "args", "env"}`. They are started in
            the sandbox. They are not stored: pass them again when another process opens the session.
        skills: folders of this machine with a `SKILL.md` each (agentskills.io). They are copied, stored with the
            session, and put into its workspace where its harness reads them. None keeps the session's skills.
        continues: id of an imported session: the new session begins with its turns. Claude Code and Codex load the
            file of an import of their own (`Turn.tier` is "load"); else, and with any other harness, the agent receives
            them as a history with the first prompt ("replay"). Default harness: that of the import. Its files are not
            copied: name their directory as `workspace`.

    Raises:
        BadValue: an argument is invalid; nothing was created.
        SessionConflict: the id exists with another harness, sandbox, workspace or attachment, or was imported: the
            message has the call that goes on from the import.
        SessionGone: the store has no session `continues`.
        StoreBusy: another process holds the store.

    Example:
        >>> session = open_session("parser", permissions="allow_edits")
    """
    check_session_id(id)
    if permissions is not None:
        check_policy(permissions)
    if limits is not None:
        check_limits(limits)
    settings = {"model": model, "mode": mode, "effort": effort, "title": title}
    for name, value in settings.items():
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise BadValue(f"{name} must be text or None; got {value!r:.80}.")
    if store is not None and not isinstance(store, Store | str | Path):
        raise BadValue(f"store must be a Store, the path of its file, or None; got {store!r:.80}.")
    if token is not None and (not isinstance(token, str) or not token.strip()):
        raise BadValue("token must be text or None.")
    offered = check_tools(tools)
    servers = None if mcp_servers is None else check_servers(mcp_servers)
    given = None if skills is None else check_skills(skills)
    held = store if isinstance(store, Store) else default_store(store)
    with _opening:
        known = held.session(id)
        if known is None:
            clear(held, id)
        if known is not None and known.status == "imported":
            raise SessionConflict(offer(held, known, catalog.names()))
        wanted = None if harness is not None or known is not None else catalog.names()
        earlier = None if continues is None else check_continued(held, continues, id, known, wanted)
        before = known or earlier
        chosen = catalog.get(harness if harness is not None else before.harness if before else "demo")
        if offered or servers:
            check_harness(chosen)
        named = sandbox_name(sandbox)
        provider = get_provider(named if named is not None else known.sandbox if known else "local", held.home, token)
        space = _workspace(held, id, known, workspace, attachment)
        check_options(sandbox, provider, space, held.home)
        provider.check(chosen.id, space.location)
        check_attachment(provider, space)
        where = {"workspace": space.location, "attachment": space.attachment}
        if is_new := known is None:
            rules = Rules(permissions or "ask", limits or TurnLimits())
            options = {"harness": chosen.id, "sandbox": provider.name, **where, **settings}
            known = _create(held, id, options, rules, sandbox, given, earlier)
        elif workspace is None and space.location != known.workspace:
            known = _moved(held, known, space.location)
        _check_same(known, {"harness": chosen.id, "sandbox": provider.name, **where})
        _forget_deleted()
        live = _open.get((held.path, id))
        if live is not None and not _is_current(live, held, known):
            private_loop().run(live._controller.mark_deleted() if live.store is held else live._controller.disconnect())
            live = None
        if live is None:
            rules = Rules.of(held, id)
            if rules.lost and permissions is None:
                warnings.warn(LOST.format(id=id, name=rules.lost), stacklevel=2)
            if current_kernel() is not None and loses_requests(ipykernel_release()):
                warnings.warn(f"This ipykernel {LOSES_REQUESTS}: {REMEDY}.", stacklevel=2)
            stored = Stored.read(held, known)
            controller = SessionController(
                stored, held, provider, chosen, space, permissions or rules.permissions, rules.limits
            )
            live = _open[held.path, id] = Session(controller, open_session)
            _offer(live, offered, servers)
            private_loop().run(live._controller.turns.resume())
        else:
            _offer(live, offered, servers)
        if given is not None and not is_new:
            live._controller.skills.keep(given)
        private_loop().run(live._controller.settings.set_rules(permissions, limits))
        if isinstance(sandbox, Sandbox):
            private_loop().run(live._controller.set_sandbox(sandbox))
        _change(live, {name: value for name, value in settings.items() if value not in {None, getattr(known, name)}})
        return live


def opened(store: Store, id: str) -> Session | None:
    """Return the object of a session that is open in this process."""
    return _open.get((store.path, id))


def _offer(session: Session, tools: Sequence[HostTool], servers: Sequence[Json] | None) -> None:
    private_loop().run(session._controller.tools.add(tools, servers))


def _workspace(
    store: Store, id: str, known: SessionRecord | None, given: str | Path | None, attachment: str | None
) -> Workspace:
    if known is None:
        return place(store.home, id, given, attachment, data=data_directory())
    if given is not None:
        alike = str(given).startswith(SCHEME) == known.workspace.startswith(SCHEME)
        return place(store.home, id, given, attachment or (known.attachment if alike else None), data=data_directory())
    space = remembered(store.home, id, known.workspace, known.attachment, data=data_directory())
    if attachment not in {None, space.attachment}:
        raise _conflict(known, "attachment", attachment)
    return space


def _forget_deleted() -> None:
    """Drop deleted sessions from memory."""
    for key in [key for key, session in _open.items() if session.status == "deleted"]:
        del _open[key]


def _is_current(live: Session, store: Store, known: SessionRecord) -> bool:
    """Whether the open object is this session: its store is open, and no other process has deleted it."""
    return (
        live.store is store
        and live.status != "deleted"
        and live._controller.state.record.created_at == known.created_at
    )


def _create(
    store: Store,
    id: str,
    options: Mapping[str, Any],
    rules: Rules,
    sandbox: str | Sandbox | None,
    skills: Sequence[Skill] | None,
    earlier: SessionRecord | None,
) -> SessionRecord:
    """Store a session with all its arguments at once: a kernel that dies leaves no incomplete session."""
    notes = [note(SessionOpened(**options), source="session"), note(rules.stored())]
    if skills is not None:
        Skills(store.home, id).keep(skills)
    if isinstance(sandbox, Sandbox) and (kept := SandboxOptions(store, id).keep(sandbox)) is not None:
        notes.append(kept)
    if earlier is not None:
        notes += drafts(store, earlier, options["workspace"], options["attachment"])
    store.append(id, notes)
    record = store.session(id)
    assert record is not None, "it was just stored"
    return record


def _moved(store: Store, known: SessionRecord, location: str) -> SessionRecord:
    """Record that the data directory was moved: a recorded sandbox is at the old path."""
    notes = [note(SessionChanged(workspace=location))]
    if known.sandbox_ref is not None:
        notes.append(note(SandboxStopped(ref=known.sandbox_ref, reason="gone")))
    store.append(known.id, notes)
    record = store.session(known.id)
    assert record is not None, "it is known"
    return record


def _check_same(known: SessionRecord, wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        if getattr(known, name) != value:
            raise _conflict(known, name, value)


def _conflict(known: SessionRecord, name: str, value: str | None) -> SessionConflict:
    moved = f"open_session({known.id!r}).switch({name}={value!r})"
    remedy = f"move it with {moved}" if name in {"harness", "sandbox"} else "its workspace cannot be moved"
    return SessionConflict(
        f"session {known.id!r} exists with {name}={getattr(known, name)!r}, not {value!r}. Open it without {name}=, "
        f"use another id, or: {remedy}."
    )


def _change(session: Session, changed: dict[str, str | None]) -> None:
    if changed:
        private_loop().run(session._controller.settings.change(changed))
