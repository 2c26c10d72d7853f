"""The tokenizer's own normalisation of a text, ahead of it."""

from collections.abc import Callable

from tokenizers import Tokenizer

_PROBES = (
    "Hello WORLD",
    "Crème Brûlée naïve",
    "İstanbul straße",
    "中文 test",
    "😀 ok",
    "a  b",
    "…™ ½",
    "it's @user #tag",
)


def idempotent_normaliser(tokenizer: Tokenizer) -> Callable[[str], str]:
    """Return the tokenizer's own normalisation, or none where doing it twice is not the same as once.

    The tokenizer normalises again what it is given, so only an idempotent one may run ahead of it.
    """
    normaliser = tokenizer.normalizer
    if normaliser is None:
        return str

    def normalise(text: str) -> str:
        return " ".join(normaliser.normalize_str(text).split())

    for probe in _PROBES:
        once = normalise(probe)
        if normalise(once) != once or tokenizer.encode(once).ids != tokenizer.encode(probe).ids:
            return str
    return normalise
