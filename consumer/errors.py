"""The base of every error that is meant for the person who runs this."""


class ReaderError(Exception):
    """What happened, to which record or setting, and what to do, in sentences; shown without a traceback."""


class NotTakenError(ReaderError):
    """Kafka did not take a correction; worth another try a little later."""
