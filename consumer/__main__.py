"""`python -m consumer` is the command `moderate`."""

from consumer.cli import app

app(prog_name="moderate")
