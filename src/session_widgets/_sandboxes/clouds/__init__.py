"""Sandboxes of clouds: one provider (`provider.py`) on the few calls of a vendor's adapter (`contract.py`)."""
