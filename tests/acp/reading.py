"""What a connection has received."""

from session_widgets.acp import AcpConnection, Received

SERVER_ID = "a5f0"


async def read(connection: AcpConnection) -> list[Received]:
    """Everything until the agent exits."""
    return [received async for batch in connection.batches() for received in batch]


def texts(received: list[Received]) -> list[str]:
    return [r.message["params"]["update"]["content"]["text"] for r in received if "update" in r.message["params"]]
