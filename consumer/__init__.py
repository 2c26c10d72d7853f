"""The comment moderation stream: comments in, tagged events out."""

__version__ = "0.1.0"
