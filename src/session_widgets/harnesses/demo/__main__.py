"""`python -m session_widgets.harnesses.demo`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from session_widgets.harnesses.demo.agent import DemoAgent
from session_widgets.harnesses.demo.wire import StdioTransport


async def main() -> None:
    """Serve ACP on stdin and stdout until the end of input."""
    state_dir = os.environ.get("DEMO_STATE_DIR")
    await DemoAgent(await StdioTransport.open(), Path(state_dir) if state_dir else None).serve()


if __name__ == "__main__":
    asyncio.run(main())
