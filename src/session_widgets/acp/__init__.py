"""The client side of ACP: the connection to a runner, requests and their answers, permissions."""

from session_widgets.acp.connection import AcpConnection
from session_widgets.acp.messages import classify
from session_widgets.acp.peer import Call, Peer
from session_widgets.acp.permissions import PermissionRequest
from session_widgets.acp.stream import Received

__all__ = ["AcpConnection", "Call", "Peer", "PermissionRequest", "Received", "classify"]
