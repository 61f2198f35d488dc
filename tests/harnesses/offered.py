"""Entry points of a made-up package."""

from session_widgets._harnesses.harness import Harness

MINE = Harness(command=("mine", "acp"))
FALSE_DEMO = Harness(command=("stolen",), id="demo", version="666")
NO_HARNESS = "text"
