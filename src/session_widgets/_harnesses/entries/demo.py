"""The demo agent: no model, no key, nothing to install."""

from __future__ import annotations

from session_widgets._harnesses.harness import Harness
from session_widgets.demo.suggestions import ASK, LOOK, WRITE
from session_widgets.version import __version__

HARNESS = Harness(
    id="demo",
    title="Demo",
    description="A real ACP agent without a model: it follows a small script, or looks around and takes notes.",
    command=("{python}", "-P", "-m", "session_widgets.demo"),  # -P: prevents imports from the workspace
    env={"DEMO_STATE_DIR": "{state}"},
    install="comes with session-widgets",
    version=__version__,
    resumes="resume",
    suggestions=(LOOK, WRITE, ASK),
)
