"""Helpers of the tests, also of the benchmarks: what more than one folder uses."""
