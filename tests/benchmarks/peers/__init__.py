"""The others: each in a folder of its own, written the way its own documentation recommends."""
