"""File systems that show one prefix of a bucket as a directory of this machine."""

from session_widgets.workspaces.mounts.drivers import DRIVERS
from session_widgets.workspaces.mounts.mount import Mount
from session_widgets.workspaces.mounts.probe import Abilities, probe

__all__ = ["DRIVERS", "Abilities", "Mount", "probe"]
