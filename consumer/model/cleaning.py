"""The text cleaning that training and the live stream share.

What a model learned holds only for texts cleaned the same way, so the version below is stored with every model.
"""

import re
import unicodedata

from consumer.model.disguise import undisguise
from consumer.model.emoji_names import named
from consumer.model.escapes import unfolded
from schemas import MAX_TEXT_CHARACTERS

CLEANING_VERSION = 2
"""Raised by every change that alters what `clean` returns for some text that a person might write.

It stayed when limits came for what took long: they alter hostile texts alone, and those beyond 10,000 characters.
"""

_DEEPEST_NESTING = 4  # escapes nested beyond two levels are an attack, not a comment

_LINK = re.compile(r"[hHwW](?:(?<=[hH])[tT]{2}[pP][sS]?://|(?<!\w[wW])(?<=[wW])[wW]{2}\.)\S*")
# A row of mentions says no more than one does, and some replies begin with fifty of them.
_MENTION = re.compile(r"@(?![uU][sS][eE][rR]\b)")
_MENTIONS = re.compile(r"@(?<![\w@]@)\w+(?:\s+@\w+)*")
_MOST_MENTIONS = 300  # rows of them; more only lose their signs
_INVISIBLE = (
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are not white space
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\ue000-\uf8ff"  # lone surrogates and private use, too
)
_OTHER_THAN_ASCII = re.compile(r"[^ -~\u0130\u0131\u017f\u212a]")  # these four are the same as ASCII letters to `re`
_NOT_SHOWN = re.compile(
    rf"[{_INVISIBLE}"
    r"\U0001f3fb-\U0001f3ff"  # skin tones: the same face must get the same tags
    r"\U000e0000-\U000e0fff"  # tags and variation selectors
    r"\U000f0000-\U0010ffff]"  # private use
)
# All of those and the emoji, and a little more: a hint.
_NO_LETTER = re.compile(
    rf"[{_INVISIBLE}\u20e3\xa9\xae\u200d\u2122-\u2bff\u3030-\u303d\u3297-\u3299\U0001f000-\U0010ffff]"
)
# NFKC takes up to 1 µs for a character that it changes, a table 0.06. So each is looked up before NFKC sees the text.
_PLAIN_FORMS = {
    point: form
    for block in ((0xA0, 0x3400), (0xF900, 0x10000), (0x10780, 0x107C0), (0x1D100, 0x1F300), (0x2F800, 0x2FA20))
    for point in range(*block)
    if (form := unicodedata.normalize("NFKC", chr(point))) != chr(point)
}
_OTHER_FORM = re.compile(
    f"[{''.join(chr(point) for point in _PLAIN_FORMS if point < 0x10000)}\U00010780-\U0001f2ff\U0002f800-\U0002fa1f]"
)
# And NFKC puts marks in order by insertion: 20,480 of them took 0.4 s. Thirty in a row are more than any language
# writes (Stream-Safe Text Format, UAX 15).
_MARK = "".join(chr(point) for point in range(0x10000) if unicodedata.combining(chr(point))) + "\U00010000-\U0001e94f"
_MAYBE_MARKS = re.compile(f"[{_MARK}](?<![{_MARK}]{{2}})[{_MARK}]{{30,}}")
_MOST_MARKS = 30
_MARK_CLASSES = re.compile(rb"[^\0]{31,}")


def clean(text: str) -> str:
    """Return the beginning of `text` as the model reads it; empty when nothing readable is left there.

    Never raises, is idempotent, and takes time in proportion to the text, of which it reads and returns no more than
    MAX_TEXT_CHARACTERS.

    Entities and literal `\\uXXXX` escapes become characters, compatibility forms (full width, mathematical letters,
    ligatures) plain ones (NFKC), links "http", mentions "@user" and emoji their names, because a BERT vocabulary
    has none; invisible characters go, words in disguise are written plainly (`disguise`) and white space is collapsed.
    """
    text, levels = text[:MAX_TEXT_CHARACTERS], _DEEPEST_NESTING
    while True:
        if _is_plain(text):
            cleaned = undisguise(text)
        else:
            inner = text
            while levels and (unfolded_once := unfolded(inner)) != inner:
                inner, levels = unfolded_once, levels - 1
            if not levels:
                # What is escaped deeper stays unread: without these two characters nothing unfolds any more.
                inner = inner.replace("&", " ").replace("\\", " ")
            normal = _normal(inner)
            # Before blanks are collapsed: two of them part "s p a c e d  o u t" into words.
            cleaned = " ".join(undisguise(_in_words(normal)).split())
            if cleaned == normal and "&" not in cleaned and "\\u" not in cleaned:
                return cleaned  # every step would leave it as it is
        if cleaned == text:
            return text
        text = cleaned


def _is_plain(text: str) -> bool:
    """Whether `text` has nothing but disguises to write plainly, as most comments."""
    if not (text.isascii() and text.isprintable()) and _OTHER_THAN_ASCII.search(text):
        return False
    if "&" in text or "  " in text or text != text.strip(" "):
        return False
    small = text.lower()
    return not ("\\u" in small or ("@" in small and _MENTION.search(text)) or _has_link(text, small))


def _has_link(text: str, small: str) -> bool:
    return ("://" in small or "www." in small) and _LINK.search(text) is not None


def _normal(text: str) -> str:
    """Return the text in NFKC, with runs of marks that are too long for any language cut short."""
    if text.isascii():
        return text
    if _OTHER_FORM.search(text):
        text = text.translate(_PLAIN_FORMS)[:MAX_TEXT_CHARACTERS]  # one character can become eighteen
    return unicodedata.normalize("NFKC", _MAYBE_MARKS.sub(_with_fewer_marks, text))[:MAX_TEXT_CHARACTERS]


def _in_words(text: str) -> str:
    """Return the text without what no reader sees, and with words for emoji, links and mentions."""
    if not (text.isascii() and text.isprintable()) and _NO_LETTER.search(text):
        text = named(_NOT_SHOWN.sub("", text))
    if "://" in text or "www." in text.lower():
        text = _LINK.sub("http", text)
    if "@" in text:
        mentioned, rows = _MENTIONS.subn("@user", text, _MOST_MENTIONS)
        text = mentioned if rows < _MOST_MENTIONS else text.replace("@", " ")
    return text[:MAX_TEXT_CHARACTERS]


def _with_fewer_marks(run: re.Match[str]) -> str:
    classes = bytes(map(unicodedata.combining, run[0]))  # 0 for what is no mark
    kept, start = [], 0
    for marks in _MARK_CLASSES.finditer(classes):
        kept.append(run[0][start : marks.start() + _MOST_MARKS])
        start = marks.end()
    return "".join([*kept, run[0][start:]])
