"""Which corrected texts came out of the stream: a comparison with its results that remembers what it found.

What a moderator corrects was tagged first. A correction whose comment never was, or had another text, comes from
elsewhere: whoever may write to the feedback topic could teach the model any text.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from consumer.text_limit import judged_part
from consumer.training.corrections import Correction
from consumer.training.feedback_files import damaged, replace

TAGGED = "tagged.txt"
"""In the dataset: a keyed digest a line, of each comment and text that was found among the results."""

_DIGEST_BYTES = 16
_Digest = bytes


class TaggedTexts:
    """The comparison; it keeps two digests of 16 bytes a correction, however large the results are."""

    def __init__(self, found: Iterable[_Digest], key: bytes) -> None:
        self._key = key
        self._found = set(found)
        self._missing: dict[_Digest, set[_Digest]] = {}

    def look_for(self, corrections: Iterable[Correction]) -> None:
        """Say which corrections are to be found, but for those that were found before."""
        for correction in corrections:
            if not self.holds(correction):
                comment = self._digest(correction.comment_id)
                self._missing.setdefault(comment, set()).add(self._digest(correction.comment_id, correction.text))

    @property
    def is_complete(self) -> bool:
        """Whether everything was found."""
        return not self._missing

    def compare(self, value: bytes | None) -> None:
        """Take note of what a record of the results topic says was tagged; what is no tagged comment says nothing.

        A result without its text (RESULTS_INCLUDE_TEXT=false) speaks for every text of its comment.
        """
        comment_id, text = _tagged(value)
        if comment_id is None:
            return
        comment = self._digest(comment_id)
        wanted = self._missing.get(comment)
        if wanted is None:
            return
        found = set(wanted) if text is None else wanted & {self._digest(comment_id, text)}
        self._found |= found
        wanted -= found
        if not wanted:
            del self._missing[comment]

    def holds(self, correction: Correction) -> bool:
        """Whether the correction's comment was tagged with this text."""
        return self._digest(correction.comment_id, correction.text) in self._found

    def save(self, directory: Path) -> None:
        """Keep what was found. Raises TrainingError when the disk does not take it."""
        replace(directory / TAGGED, b"".join(digest.hex().encode() + b"\n" for digest in sorted(self._found)))

    def _digest(self, comment_id: str, text: str | None = None) -> _Digest:
        """Both sides are cut where the stream stops reading, and white space around a text is no part of it."""
        judged = None if text is None else judged_part(text.strip())[0].strip()
        identity = json.dumps([comment_id, judged]).encode()
        return hashlib.blake2b(identity, key=self._key, digest_size=_DIGEST_BYTES, person=b"tagged").digest()


def read_tagged_texts(directory: Path, key: bytes) -> TaggedTexts | None:
    """What earlier comparisons found; None where there was none. Raises TrainingError when the file is damaged."""
    path = directory / TAGGED
    if not path.exists():
        return None
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found.append(bytes.fromhex(line.decode()))
        except ValueError:
            raise damaged(path, number) from None
    return TaggedTexts(found, key)


def _tagged(value: bytes | None) -> tuple[str | None, str | None]:
    try:
        event: Any = from_json(value or b"")
    except ValueError:
        return None, None
    comment = event.get("comment") if isinstance(event, dict) else None
    if not isinstance(comment, dict):
        return None, None
    comment_id, text = comment.get("id"), comment.get("text")
    return comment_id if isinstance(comment_id, str) else None, text if isinstance(text, str) else None
