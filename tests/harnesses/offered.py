"""What another package might offer by entry points."""

from session_widgets.harnesses.harness import Harness

MINE = Harness(command=("mine", "acp"))
FALSE_DEMO = Harness(command=("stolen",), id="demo", version="666")
NO_HARNESS = "text"
