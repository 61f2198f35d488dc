"""Exports sessions of the store to files."""
