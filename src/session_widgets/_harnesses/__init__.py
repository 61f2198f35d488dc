"""Harnesses: the catalog, installation, and the demo agent."""
