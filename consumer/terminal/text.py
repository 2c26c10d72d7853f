"""Other people's text on a terminal."""


def printable(text: str) -> str:
    """The text on one line, with what could move a terminal's cursor or change its colours made visible."""
    return "".join(character if character.isprintable() else "␣" if character.isspace() else "·" for character in text)
