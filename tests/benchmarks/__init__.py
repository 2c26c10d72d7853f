"""Benchmarks: each is a script that prints ratios against a baseline of the same run."""
