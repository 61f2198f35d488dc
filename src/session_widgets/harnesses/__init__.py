"""Agent programs: the catalog of those that can be started, and the demo agent."""
