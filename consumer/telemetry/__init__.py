"""Logs and progress: what the process says about itself."""
