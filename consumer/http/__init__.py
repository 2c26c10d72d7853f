"""The HTTP server: health, metrics, and the synchronous way in."""
