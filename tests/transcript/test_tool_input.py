"""The edits of a tool call, whatever its harness calls them."""

from __future__ import annotations

import pytest

from session_widgets.transcript.tool_input import FileEdit, edits_of

DIFF = {"type": "diff", "path": "/w/a", "oldText": "one", "newText": "two"}
UNIFIED = """Index: /w/a
===================================================================
--- /w/a
+++ /w/a
@@ -1,2 +1,2 @@
 one
-two
+three
\\ No newline at end of file
@@ -9 +9,0 @@
-nine
"""


@pytest.mark.parametrize(
    ("raw_input", "content", "expected"),
    [
        ({"file_path": "/w/b", "new_string": "x"}, [DIFF, {"type": "content"}], [FileEdit("/w/a", "one", "two")]),
        ({}, [{**DIFF, "oldText": None}], [FileEdit("/w/a", None, "two")]),
        ({"file_path": "/w/a", "old_string": "one", "new_string": "two"}, (), [FileEdit("/w/a", "one", "two")]),
        ({"filePath": "/w/a", "content": "two"}, (), [FileEdit("/w/a", None, "two")]),
        ({"path": "/w/a", "edits": [{"oldText": "one", "newText": "two"}]}, (), [FileEdit("/w/a", "one", "two")]),
        ({"path": "/w/a", "old_str": "one", "new_str": ""}, (), [FileEdit("/w/a", "one", "")]),
        (
            {"filepath": "/w/a", "diff": UNIFIED},
            (),
            [FileEdit("/w/a", "one\ntwo\n", "one\nthree\n"), FileEdit("/w/a", "nine\n", "")],
        ),
        ({"filepath": "/w/a", "diff": "@@ -0,0 +1 @@\n+one\n"}, (), [FileEdit("/w/a", None, "one\n")]),
        ({"file_path": "/w/a"}, (), []),
        ({"new_string": 7, "edits": "none", "diff": ["@@"]}, (), []),
        ("a text", (), []),
        (None, [{"type": "diff"}], [FileEdit(None, None, None)]),
    ],
)
def test_edits(raw_input, content, expected):
    assert edits_of(raw_input, content) == expected
