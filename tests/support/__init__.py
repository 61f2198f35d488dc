"""Helpers shared by several folders of tests, and by the benchmarks."""
