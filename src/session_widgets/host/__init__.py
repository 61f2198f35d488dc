"""This machine: its directory trees, long-lived programs, and data directory."""
