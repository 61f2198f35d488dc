"""An account at E2B's stand-in: a process, with the way to its books and faults."""

from __future__ import annotations

from collections.abc import Mapping

from tests.standins.account import Account

KEY = "e2b_a-key-of-the-stand-in"


class E2BAccount(Account):
    """The account."""

    name = "e2b"
    program = "tests.standins.e2b"

    @property
    def environment(self) -> Mapping[str, str]:
        """Where the SDK, or the adapter, finds it."""
        return {"E2B_API_KEY": KEY, "E2B_API_URL": self.url, "E2B_SANDBOX_URL": self.url}

    @property
    def boxes(self) -> dict[str, str]:
        """The states of the boxes that exist, by id."""
        boxes: dict[str, str] = self.books()["boxes"]
        return boxes

    def fault(self, kind: str, route: str, **more: object) -> None:
        """Have the next request of a route (or `times`) fail: "429" (`after`), "html", ..., or be "late" (`seconds`).

        The route is a method and a path such as "POST /v2/sandboxes", "envd /files", "port", or "rename".
        """
        self._post("/standin/faults", {"kind": kind, "route": route, **more})

    def forget_faults(self) -> None:
        """Fail no further request."""
        self._http.delete("/standin/faults").raise_for_status()

    def network(self, what: str) -> None:
        """ "unplug" the vendor with all its boxes, or "plug" it in again."""
        self._post(f"/standin/network/{what}")

    def behind_our_back(self, box: str, what: str) -> None:
        """Let a box be "gone", "expire" as its time ends, "cut" its connections, or be on a bad `Line`: "stall", ...

        "clock3600" has the vendor's clock show an hour more.
        """
        self._post(f"/standin/boxes/{box}/{what}")
