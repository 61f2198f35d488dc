"""What a cell asks of a store: SQL, one session, search, annotations and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import duckdb

from session_widgets._store import (
    annotating,
    annotation_queries,
    price_queries,
    prices,
    querying,
    sandbox_rate_queries,
    sandbox_rates,
)
from session_widgets._store.annotating import Sessions
from session_widgets._store.connection import StoreFile
from session_widgets._store.frames import tables
from session_widgets._store.hits import Hits
from session_widgets._store.result import Result
from session_widgets._store.search_filters import Filters, wanted
from session_widgets._store.searching import Search
from session_widgets._store.snapshots import Snapshots
from session_widgets._store.stored_transcript import StoredTranscript
from session_widgets.errors import BadValue
from session_widgets.model import check_session_id


class StoredData:
    """A store's file as data; base of `Store`.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = StoreFile(path)
        self._snapshots = Snapshots(self._file)

    def transcript(self, session_id: str) -> StoredTranscript:
        """Return the steps, turns, tool calls, model calls and files of a session: live, stored or imported.

        Args:
            session_id: of the session.

        Returns:
            `.steps`, `.turns`, `.tool_calls`, `.llm_calls` and `.files`, each a sequence with `.df()`, whose items have
            the columns of the view of this name. They are read at the first use; call this again for what came later.

        Raises:
            SessionGone: the store has no such session.

        Example:
            >>> store().transcript("parser").tool_calls[0].command  # doctest: +SKIP
        """
        return StoredTranscript(self.sql, check_session_id(session_id))

    def search(
        self,
        text: str,
        *,
        limit: int = 100,
        timeout: float = 10.0,
        **filters: Unpack[Filters],
    ) -> Hits:
        """Search the text of all steps, the input and output of tools, of live and imported sessions.

        Interrupting the cell stops it. It blocks no other process. A step that forks or imports copied is found once,
        in the original session, unless `session` is given.

        Args:
            text: to search for; upper and lower case are the same.
            regex: it is a regular expression in RE2's syntax, which takes linear time; `^` and `$` match at lines.
            case: distinguish upper and lower case.
            harness: name or names, such as "codex".
            model: a part of the model's name, such as "sonnet".
            tool: kind of a tool in ACP's words ("execute", "edit"), or its own name; one or several.
            kind: of steps: "message", "tool_call", "user" and so on; one or several.
            error: only steps that failed (True) or did not (False).
            file: a part of the path of a file that the tool call names.
            since: the step began then or later; without a zone it is UTC.
            until: the step began before.
            session: id or ids.
            limit: of hits; the newest are kept.
            timeout: seconds after which it stops with the hits so far.

        Returns:
            The hits, newest first, each with the text around it. `.complete` says whether there are no others, and
            `.reason` why there may be.

        Raises:
            BadValue: the expression is wrong, or an argument is malformed.
            StoreBusy: another process held the file for 10 s.
            StoreError: the file cannot be read, for example because it is damaged.

        Example:
            >>> store().search("connection refused", harness="codex", tool="execute")  # doctest: +SKIP
        """
        if limit < 1:
            raise BadValue(f"limit must be a number of hits from 1; got {limit}.")
        return Search(self, wanted(text, filters), limit, timeout).run()

    def annotate(
        self,
        step: str | Callable[[StoredTranscript], Any],
        label: str,
        *,
        until: str | None = None,
        note: str | None = None,
        author: str | None = None,
        session: Sessions = None,
    ) -> list[str]:
        """Give a step, or a span of steps, a label; it is in `v_annotations`.

        A rebuild and another import of the file keep it; `delete_session` deletes it. The same steps, label and author
        again replace the annotation.

        Args:
            step: `step_uid` of a step. Or a function that receives each transcript and returns the steps to annotate:
                their rows or uids, or pairs of the first and the last one.
            label: such as "loop".
            until: `step_uid` of the last step of a span.
            note: a remark.
            author: default: this user; for a function `function:NAME`.
            session: id of the step's session, if several have it. For a function: id or ids; default all sessions.

        Returns:
            The ids of the annotations.

        Raises:
            BadValue: there is no such step, or several sessions have it.
            StoreBusy: another process held the file for 10 s.

        Example:
            >>> store().annotate(hit.step_uid, "loop", note="three times the same")  # doctest: +SKIP
            >>> store().annotate(lambda t: [c for c in t.tool_calls if c.exit_code == 137], "killed")  # doctest: +SKIP
        """
        if callable(step):
            spans = annotating.chosen(self._transcripts(session), step)
            return annotating.annotate(self._file, spans, label, note, author or annotating.named(step))
        if session is not None and not isinstance(session, str):
            raise BadValue("session must be the id of the step's session.")
        return annotating.annotate(self._file, [annotating.Span(step, until, session)], label, note, author)

    def remove_annotations(self, ids: Sequence[str]) -> int:
        """Delete annotations by `annotation_id`; return how many there were."""
        with self._file.transaction() as connection:
            return annotation_queries.delete_annotations(connection, ids)

    def score(
        self,
        session: Sessions,
        name: str,
        value: float | Callable[[StoredTranscript], Any],
        *,
        note: str | None = None,
        author: str | None = None,
    ) -> None:
        """Store a score of a session; it is in `v_scores`.

        A rebuild and another import of the file keep it; `delete_session` deletes it. A score of the same session,
        name and author is replaced.

        Args:
            session: id or ids; None for all sessions.
            name: such as "tests_pass".
            value: a number, or True or False; or a function that receives each transcript and returns one, or None.
            note: a remark.
            author: default: this user; for a function `function:NAME`.

        Raises:
            BadValue: a value is no finite number.
            SessionGone: the store has no such session.
            StoreBusy: another process held the file for 10 s.

        Example:
            >>> store().score("parser", "tests_pass", 1.0)  # doctest: +SKIP
            >>> store().score(None, "calls", lambda transcript: len(transcript.tool_calls))  # doctest: +SKIP
        """
        if callable(value):
            values = annotating.scored(self._transcripts(session), value)
            author = author or annotating.named(value)
        else:
            values = [(each, annotating.number(value)) for each in self._ids(session)]
        annotating.score(self._file, values, name, note, author)

    def remove_scores(self, session_id: str, name: str, *, author: str | None = None) -> int:
        """Delete the scores of a session by name, of all authors or of one; return how many there were."""
        with self._file.transaction() as connection:
            return annotation_queries.delete_scores(connection, session_id, name, author)

    def prices(self, table: Any = prices.LIST) -> Result:
        """Set the prices by which `v_llm_calls` estimates the cost of model calls (`cost_estimated`).

        Nothing is priced before the first call, and no placeholder and no unknown model ever: `v_unpriced` has the
        calls without a price, with the reason. After an import with new models call it again.

        Args:
            table: "genai-prices" for the list of that package (`pip install 'session-widgets[prices]'`), which needs
                no network: the standard prices of the models of this store, in USD. Or your own table, whose rows
                have priority over the list: pandas, polars, Arrow, a list of dictionaries. Its columns: `model`,
                `input` and `output`; if you want `provider`, `from_date` (of the price's first day),
                `above_input` (the row is for calls with more input tokens), `currency` (default USD), `cache_read`,
                `cache_write`, `cache_write_1h`. Prices are of a million tokens. An empty table removes yours.

        Returns:
            All prices, as in `v_prices`.

        Raises:
            BadValue: the table lacks a column or has a wrong value.
            MissingDependency: genai-prices is not installed.
            StoreBusy: another process held the file for 10 s.

        Example:
            >>> store().prices()  # doctest: +SKIP
            >>> store().prices([{"model": "our-model", "input": 0.5, "output": 2, "currency": "EUR"}])  # doctest: +SKIP
        """
        if isinstance(table, str) and table != prices.LIST:
            raise BadValue(f"prices must be {prices.LIST!r} or a table; got {table!r}.")
        own = not isinstance(table, str)
        if own:
            new = prices.of_user(table)
        else:
            with self._file.looking() as connection:
                models = price_queries.models(connection)
            new = prices.of_list(models)
        with self._file.transaction() as connection:
            price_queries.replace(connection, own, new)
        return self.sql("from v_prices order by all")

    def sandbox_rates(self, table: Any = None) -> Result:
        """Return the rates by which `v_sandboxes` estimates the cost of sandboxes, or set your own.

        Without a call of this, the rates are those that E2B, Daytona and Modal published; `price_date` says when.

        Args:
            table: your rates, which replace all of the providers that they name: pandas, polars, Arrow, a list of
                dictionaries. Its columns: `provider`; `resource`, which is "cpu", "memory", "disk" or the name of a
                GPU; `per_second`, the price of one CPU, GiB or GPU for a second; if you want `default_amount` (what a
                sandbox has whose options do not say it), `currency` (default USD), `price_date`. An empty table removes
                yours. None changes nothing.

        Returns:
            All rates, as in `v_sandbox_rates`.

        Raises:
            BadValue: the table lacks a column or has a wrong value.
            StoreBusy: another process held the file for 10 s.

        Example:
            >>> rates = {"cpu": 0.04 / 3600, "memory": 0.01 / 3600}
            >>> own = [{"provider": "e2b", "resource": name, "per_second": rate} for name, rate in rates.items()]
            >>> store().sandbox_rates(own)  # doctest: +SKIP
        """
        if table is not None:
            new = sandbox_rates.of_user(table)
            with self._file.transaction() as connection:
                sandbox_rate_queries.replace(connection, new)
        return self.sql("from v_sandbox_rates order by all")

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a plain read-only DuckDB connection to a copy of the store as of now.

        It is for `%sql`, ibis, marimo, Polars and other programs that need a connection.
        It blocks no writer, however long it is open; other processes wait only while the copy is made, 0.1 to 0.3 s for
        100 MB. Until something is written, the next call uses the same copy. The copy is deleted with its last
        connection, even if the process is killed.

        Raises:
            StoreBusy: another process held the file for 10 s.
            StoreError: there is no room for a copy, or the file is damaged.

        Example:
            >>> polars.read_database("from v_runs", store().connect())  # doctest: +SKIP
        """
        return self._snapshots.connect()

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        frames: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run a query over the views (`v_sessions`, `v_turns`, `v_events`, `v_steps`, ...) and return its result.

        A long query blocks no other process: when one needs the file, the query continues on a copy.
        Interrupting the cell stops it.

        Args:
            query: one SELECT in DuckDB's SQL; the store is attached read-only.
            params: values for `?` or `$1` (a sequence) or for `$name` (a mapping).
            frames: tables to join, by the name that the query uses: pandas, polars, Arrow, a list of dictionaries, or
                the result of another query.
            timeout: seconds after which the query is stopped; None for no limit.

        Returns:
            A relation over a copy of the result in memory: `.df()`, `.fetchall()`, `.show()`, `.filter(...)`
            and so on work as long as it exists, and hold no lock on the store. `.pl()` and `.arrow()` need
            `pip install 'session-widgets[frames]'`. A cell shows it as a table. Times are UTC.

        Raises:
            BadValue: a frame is no table, or has the name of a view.
            duckdb.Error: the query is wrong, or would write.
            TimeoutError: the query was not finished after `timeout` seconds.
            StoreBusy: another process held the file for 10 s.
            StoreError: the file cannot be read, for example because it is damaged.
        """
        return querying.run(self._file, query, params, timeout, tables(frames))

    def _ids(self, session: Sessions) -> list[str]:
        every = session
        if every is None:
            every = [name for (name,) in self.sql("select session_id from v_sessions order by all").fetchall()]
        return [every] if isinstance(every, str) else list(every)

    def _transcripts(self, session: Sessions) -> Iterator[StoredTranscript]:
        return (self.transcript(each) for each in self._ids(session))
