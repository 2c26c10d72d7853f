"""What the Perspective API's two methods ask of a request alike: a text, a context, attributes and languages."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from consumer.http.errors import ApiError
from consumer.http.perspective_errors import MOST_NAMES, invalid_request, shown
from consumer.http.perspective_models import MAX_TEXT_BYTES, Context, TextEntry

UNSET_TYPES = (None, "", "TEXT_TYPE_UNSPECIFIED", "SCORE_TYPE_UNSPECIFIED")


def text_of(comment: TextEntry | None) -> str:
    """The text of a comment. Raises `ApiError` where it is empty, too long, or not plain."""
    comment = comment or TextEntry()
    text = comment.text or ""
    if not text.strip():
        raise invalid_request("Comment must be non-empty.", "COMMENT_EMPTY")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise invalid_request(
            f"Comment text too long. At most {MAX_TEXT_BYTES:,} bytes of UTF-8 are read here.", "COMMENT_TOO_LONG"
        )
    if comment.type == "HTML":
        raise invalid_request("Currently, only 'PLAIN_TEXT' comments are supported; send the text without its tags.")
    if comment.type not in (*UNSET_TYPES, "PLAIN_TEXT"):
        raise invalid_request("Unknown text type; send PLAIN_TEXT.")
    return text


def check_context(context: Context | None) -> None:
    """Raise `ApiError` for a context of both kinds at once."""
    if context and context.entries and context.article_and_parent_comment:
        raise invalid_request(
            "Context can have either entries or article_and_parent_comment, but both fields were populated."
        )


def check_score_type(name: str, score_type: str | None) -> None:
    """Raise `ApiError` unless the scores of attribute `name` are to be probabilities."""
    if score_type not in (*UNSET_TYPES, "PROBABILITY"):
        kind = shown(score_type or "")
        raise invalid_request(f"Requested score type {kind} is not supported by attribute {name}; ask for PROBABILITY.")


def unknown_attributes(names: Sequence[str], known: Collection[str]) -> ApiError:
    """The refusal of a request for attributes that no label of the model is mapped to."""
    unknown = ", ".join(map(shown, names[:MOST_NAMES]))
    return invalid_request(
        f"Unknown requested attribute: {unknown}; the model here answers {', '.join(known) or 'none'} "
        "(the setting PERSPECTIVE_ATTRIBUTES maps attributes to its labels)."
    )


def group_of(label: str) -> str:
    """The tag group in a "group.label"."""
    return label.rpartition(".")[0]


def in_languages(
    attributes: Mapping[str, str], requested: Iterable[str], declared: Mapping[str, Sequence[str]]
) -> set[str]:
    """Those of `attributes` (each with its "group.label") whose model knows one of the `requested` languages.

    `declared` are the languages of each tag group's model; one that declares none takes all. A language's region and
    script do not count, nor how it is written: en, EN, en-GB and en_US are one.
    """
    asked = set(map(_primary, requested))
    by_group = {group: set(map(_primary, languages)) for group, languages in declared.items()}
    return {
        name
        for name, label in attributes.items()
        if not asked or not by_group.get(group_of(label)) or asked & by_group[group_of(label)]
    }


def _primary(language: str) -> str:
    """The language alone of a code such as en_US or zh-Hant-TW."""
    return language.replace("_", "-").partition("-")[0].lower()
