"""One line below a cell, or in a terminal, that says what a slow call does."""

from __future__ import annotations

import sys
import threading

from session_widgets.kernel import current_kernel
from session_widgets.printing import one_line

TICKER_WIDTH = 100


class Ticker:
    """Shows the current operation of a blocking call, in one line that is overwritten and erased at the end.

    Only people see it: in a notebook below the cell, in a terminal on standard error.
    """

    def __init__(self) -> None:
        self._shown = ""

    def show(self, activity: str | None) -> None:
        """Write `activity`, None erases it; does nothing without a viewer."""
        text = one_line(activity or "", TICKER_WIDTH)
        out = sys.stdout if current_kernel() is not None else sys.stderr
        if text == self._shown or threading.current_thread() is not threading.main_thread():
            return
        if current_kernel() is None and not (out is not None and out.isatty()):
            return
        out.write(f"\r{text.ljust(len(self._shown))}" + ("" if text else "\r"))
        out.flush()
        self._shown = text
