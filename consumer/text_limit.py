"""How much of a text is judged, and which characters do not count towards it."""

import re

from schemas import MAX_TEXT_CHARACTERS

UNSEEN = (
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are not white space
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010ffff"  # tags, lone surrogates, private use
)
"""A set of characters, as a regular expression has it between brackets, that show nothing."""

_RUN = re.compile(rf"[\s{UNSEEN}]{{2,}}")
_BLANK = re.compile(r"\s")


def judged_part(text: str) -> tuple[str, bool]:
    """The part of a text that is judged, and whether there is more.

    Of a text that is too long, a run of blanks counts as one and a run of what nobody sees as none: an insult behind
    20,480 of them would be all that a reader sees. No more is read than what is judged, and the runs before it.
    """
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text, False
    parts: list[str] = []
    room, at = MAX_TEXT_CHARACTERS, 0
    while room > 0 and at < len(text):
        beginning = _RUN.search(text, at, at + room + 2)
        run = _RUN.match(text, beginning.start()) if beginning else None
        part = text[at : run.start()] + (" " if _BLANK.search(run[0]) else "") if run else text[at : at + room]
        at = run.end() if run else at + room
        parts.append(part)
        room -= len(part)
    judged = "".join(parts)
    return judged[:MAX_TEXT_CHARACTERS], at < len(text) or len(judged) > MAX_TEXT_CHARACTERS
