"""Texts to token ids."""

from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True)
class Encoded:
    """One tokenised text: its token ids, and whether they are only its beginning."""

    ids: list[int]
    truncated: bool


def prepare_tokenizer(tokenizer: Tokenizer, max_text_tokens: int) -> None:
    """Let it truncate and not pad. Set once and never per call: another thread may be tokenising."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_text_tokens)
    tokenizer.encode_special_tokens = True  # "[SEP]" in a comment is text, not structure


def encode(tokenizer: Tokenizer, texts: list[str], pad_id: int) -> list[Encoded | None]:
    """Tokenise all texts at once; where that raises, one by one, None standing for those that fail."""
    try:
        encodings = tokenizer.encode_batch_fast(texts)
    except Exception:
        if len(texts) == 1:
            return [None]
        return [item for text in texts for item in encode(tokenizer, [text], pad_id)]
    # A tokenizer without special tokens makes nothing of an empty text, but the model needs one token.
    return [Encoded(encoding.ids or [pad_id], bool(encoding.overflowing)) for encoding in encodings]
