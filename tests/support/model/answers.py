"""The scripted model's answers to the prompts of a notebook, by their beginning."""

from __future__ import annotations

from typing import Any

FIT = """\
def line(xs, ys):
    \"\"\"Return slope and intercept of the straight line with the least squared distance from the points.\"\"\"
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)
    return slope, y - slope * x
"""
NOTES = "A straight line is wrong if the residuals have a shape. It is also wrong beyond the data.\n"
TEST = """\
apply_patch <<'EOT'
*** Begin Patch
*** Add File: test_fit.py
+from fit import line
+
+
+def test_points_of_a_line():
+    assert line([0, 1, 2], [1, 3, 5]) == (2, 1)
*** End Patch
EOT"""
"""How Codex writes a file: a command that it takes for an edit, and asks for as one."""

HARNESSES: dict[str, list[dict[str, Any]]] = {
    "Write fit.py": [{"text": "I write the function.", "write": ["fit.py", FIT]}, {"text": "`line` is in fit.py."}],
    "Do the readings": [
        {"text": "I ask for them.", "call": ["mcp__notebook__readings", {"sensor": "left"}]},
        {"text": "Yes: they rise by about 0.05 V a day."},
    ],
    "Write notes.md": [{"text": "I write them down.", "write": ["notes.md", NOTES]}, {"text": "They are in notes.md."}],
    "In one sentence": [{"text": "You have a fit, a drift, and notes."}],
    "Write test_fit.py": [{"text": "I write the test.", "run": TEST}, {"text": "The test is in test_fit.py."}],
}
"""Of 03_harnesses, where Claude Code begins and Codex goes on."""
