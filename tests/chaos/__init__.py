"""What is done to the stream to show that it keeps its promises: each module is one row, run as
`python -m tests.chaos.kill`; all of them by `python -m tests.chaos`."""
