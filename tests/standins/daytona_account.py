"""An account at Daytona's stand-in: a process, with the way to its books and faults."""

from __future__ import annotations

from collections.abc import Mapping

from tests.standins.account import Account

KEY = "key-of-the-stand-in"
PREVIEW_TOKEN = "x-daytona-preview-token"


class DaytonaAccount(Account):
    """The account."""

    name = "daytona"
    program = "tests.standins.daytona"

    @property
    def environment(self) -> Mapping[str, str]:
        """Where the SDK, or the adapter, finds it."""
        return {"DAYTONA_API_KEY": KEY, "DAYTONA_API_URL": f"{self.url}/api", "DAYTONA_TARGET": "us"}

    @property
    def boxes(self) -> dict[str, str]:
        """The states of the boxes that exist, by name."""
        return {box["name"]: box["state"] for box in self.books()["boxes"].values()}

    def fault(self, kind: str, route: str, **more: object) -> None:
        """Have the next request of a route fail.

        Args:
            kind: "429" (`after`), "html" (`status`), "502", "refused" (`status`, `message`); of a creation, which does
                make the box: "late" (`seconds`), "lost", "broken".
            route: its method, and how its path begins.
            more: as above.
        """
        self._post("/standin/faults", {"kind": kind, "route": route, **more})

    def forget_faults(self) -> None:
        """Fail no further request."""
        self._http.delete("/standin/faults").raise_for_status()

    def set_aside(self, snapshot: str) -> None:
        """Let two weeks pass without use of a snapshot."""
        self._post(f"/standin/snapshots/{snapshot}/inactive")

    def behind_our_back(self, box: str, what: str) -> None:
        """Have something happen to a box that nobody asked for.

        Args:
            box: its id.
            what: "gone", "cut" (its connections), "stall", "repeat", "unplug", "plug" (see `Line`),
                "error-recoverable", "error-final", "pass-10" (minutes without use),
                "clock3600" (the vendor's clock shows an hour more).
        """
        self._post(f"/standin/boxes/{box}/{what}")
