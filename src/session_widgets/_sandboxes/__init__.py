"""Sandboxes: providers, their contract, and clients of the runner."""

from session_widgets._sandboxes.contract import Sandbox, SandboxInfo, SandboxProvider, SandboxSpec
from session_widgets._sandboxes.registry import get_provider, provider_names

__all__ = ["Sandbox", "SandboxInfo", "SandboxProvider", "SandboxSpec", "get_provider", "provider_names"]
