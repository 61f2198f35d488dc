"""`python -m session_widgets.demo`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from session_widgets.demo import login
from session_widgets.demo.agent import DemoAgent
from session_widgets.demo.wire import StdioTransport


async def main() -> None:
    """Serve ACP on stdin and stdout until the end of input or SIGTERM; neither leaves a command running."""
    try:
        transport = await StdioTransport.open()
    except OSError as error:
        sys.exit(f"session_widgets.demo: {error}")
    state_dir = os.environ.get("DEMO_STATE_DIR")
    agent = DemoAgent(transport, Path(state_dir) if state_dir else None)
    serving = asyncio.ensure_future(agent.serve())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()


if __name__ == "__main__":
    if login.ARGUMENT in sys.argv[1:]:
        sys.exit(login.log_in())
    asyncio.run(main())
