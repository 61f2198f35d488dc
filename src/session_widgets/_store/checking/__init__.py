"""Checks of a whole store, which change nothing."""
