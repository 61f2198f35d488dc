"""This machine: its directory trees, its long-lived programs, and where our data lies on it."""
