"""Texts to token ids."""

from dataclasses import dataclass
from functools import partial

from tokenizers import Tokenizer

from consumer.answer import Unanswerable
from consumer.one_text import is_a_texts_fault, of_one_text


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


def encode(tokenizer: Tokenizer, texts: list[str], pad_id: int) -> list[Encoded | Unanswerable]:
    """Tokenise all texts at once; where that fails, one by one, and those that fail alone are Unanswerable.

    Raises what is no text's fault.
    """
    try:
        return [*_encoded(tokenizer, texts, pad_id)]
    except BaseException as error:  # a panic in Rust is no Exception
        if not is_a_texts_fault(error):
            raise
    return [of_one_text(partial(_encoded_alone, tokenizer, pad_id), text, named="the tokenizer") for text in texts]


def _encoded_alone(tokenizer: Tokenizer, pad_id: int, text: str) -> Encoded:
    return _encoded(tokenizer, [text], pad_id)[0]


def _encoded(tokenizer: Tokenizer, texts: list[str], pad_id: int) -> list[Encoded]:
    # A tokenizer without special tokens makes nothing of an empty text, but the model needs one token.
    return [
        Encoded(encoding.ids or [pad_id], bool(encoding.overflowing)) for encoding in tokenizer.encode_batch_fast(texts)
    ]
