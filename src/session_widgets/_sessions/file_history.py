"""The files of a session at several times, compared. Lives on the private loop."""

from __future__ import annotations

import asyncio

from session_widgets._sessions.file_diff import Diff, compare, described
from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._sessions.turn import Turn
from session_widgets.errors import BadValue, FilesNotKept


async def files_at(moment: Turn | KeptFiles) -> KeptFiles:
    """Return the files at the end of a turn, or the given ones.

    Raises:
        BadValue: it is neither.
        FilesNotKept: the files of the turn were not kept.
    """
    if isinstance(moment, KeptFiles):
        return moment
    if not isinstance(moment, Turn):
        raise BadValue(f"expected a turn, such as session.turns[0], or its files_at_end; got {moment!r:.80}.")
    return await moment.kept_files()


async def diff(session_turns: list[Turn], moment: Turn | KeptFiles, other: Turn | KeptFiles | None) -> Diff:
    """Compare the files of two times; without `other`, those before a turn with those at its end.

    Args:
        session_turns: all turns of the session, oldest first.
        moment: the earlier time.
        other: the later time.
    """
    files = await files_at(moment)
    if other is not None:
        return await _between(files, await files_at(other))
    if not isinstance(moment, Turn):
        raise BadValue("diff() of files needs two of them: diff(files, other).")
    earlier = [turn for turn in session_turns if turn.index < moment.index]
    if earlier:
        try:
            return await _between(await files_at(earlier[-1]), files)
        except FilesNotKept:
            pass
    found = await asyncio.to_thread(described, moment.files, files)
    return Diff(found, f"the start of turn {moment.index}", files.when)


async def _between(before: KeptFiles, after: KeptFiles) -> Diff:
    left_out = frozenset(before.left_out) | frozenset(after.left_out)
    found = await asyncio.to_thread(compare, before, after, left_out)
    return Diff(found, before.when, after.when, len(left_out))
