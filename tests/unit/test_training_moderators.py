"""Shares of moderators: exact for who has the key, and nothing to follow for who has not."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from consumer.training.corrections import Correction, Opinions, opinions_of
from consumer.training.feedback_record import entry_of
from consumer.training.moderators import Share, shares, unseal, warnings
from tests.corrections import SENT_MS, record, value

KEY = b"k" * 32
pseudonym = partial(unseal, key=KEY)


def correction(offset: int, comment_id: str, moderator: str, text: str = "", **labels: str) -> Correction:
    raw = value(comment_id, text or f"text of {comment_id}", offset, moderator, **labels)
    entry = entry_of(record(offset, raw), KEY, SENT_MS)
    assert isinstance(entry, Correction)
    return entry


def opinions(*corrections: Correction) -> Opinions:
    return opinions_of(corrections)


def test_a_moderator_has_one_pseudonym_for_who_has_the_key_and_none_for_others() -> None:
    given_by = [correction(n, f"c-{n % 3}", f"m-{n % 2}", toxicity="toxic") for n in range(12)]
    assert {pseudonym(entry) for entry in given_by} == {pseudonym(given_by[0]), pseudonym(given_by[1])}
    assert len({entry.sealed for entry in given_by}) == 12, "no two lines show that one moderator wrote them"
    assert len({unseal(entry, b"x" * 32) for entry in given_by}) == 12


def test_two_lines_of_the_same_two_moderators_do_not_differ_by_the_same_bits() -> None:
    """Masks that were the same for both moderators of a comment would cancel out, and pairs could be followed."""
    differences = set()
    for n in range(0, 20, 2):
        one, other = (
            correction(n, f"c-{n}", "m-1", toxicity="toxic"),
            correction(n + 1, f"c-{n}", "m-2", toxicity="toxic"),
        )
        differences.add(int(str(one.sealed), 16) ^ int(str(other.sealed), 16))
    assert len(differences) == 10


def test_shares_count_the_labels_of_the_rows_and_the_labels_that_are_stood_by() -> None:
    found = shares(
        opinions(
            correction(0, "c-1", "m-1", toxicity="toxic", sentiment="negative"),
            correction(1, "c-2", "m-1", toxicity="toxic"),
            correction(2, "c-2", "m-2", toxicity="clean"),
            correction(3, "c-3", "m-2", toxicity="clean"),
            correction(4, "c-3", "m-2", toxicity="toxic"),
            correction(5, "c-4", "m-3", text="text of c-3", toxicity="clean"),
        ),
        pseudonym,
    )
    assert [(share.corrections, share.labels, share.share) for share in found] == [
        (3, 2, 0.5),
        (2, 1, 0.25),
        (1, 1, 0.25),
    ]


def test_who_is_outvoted_is_who_stands_against_most_of_three() -> None:
    labels = ["toxic", "clean", "clean"]
    rows = [
        correction(3 * comment + m, f"c-{comment}", f"m-{m}", toxicity=labels[m])
        for comment in range(30)
        for m in range(3)
    ]
    by_name = {share.moderator: share for share in shares(opinions(*rows), pseudonym)}
    alone, other = by_name[pseudonym(rows[0])], by_name[pseudonym(rows[1])]
    assert (alone.judged_by_three, alone.outvoted, other.judged_by_three, other.outvoted) == (30, 30, 30, 0)
    assert warnings(list(by_name.values())) == [
        f"moderator {alone.moderator} was outvoted in 30 of the 30 labels that two others gave too"
    ]
    two = [entry for n, entry in enumerate(rows) if n % 3 < 2]
    assert all(share.judged_by_three == 0 for share in shares(opinions(*two), pseudonym)), "two are no majority"


def test_warnings_wait_for_a_hundred_labels_and_pass_over_who_is_unknown() -> None:
    def of(moderator: str | None, labels: int, total: int) -> Share:
        return Share(moderator, labels, labels, labels / total, 0, 0)

    assert warnings([of("a", 60, 99), of("b", 39, 99)]) == []
    assert warnings([of("a", 50, 100), of("b", 50, 100)]) == []
    assert len(warnings([of("a", 51, 100), of("b", 49, 100)])) == 1
    assert warnings([of(None, 90, 100), of("b", 10, 100)]) == []
    assert warnings([]) == []


def test_lines_of_an_earlier_version_count_for_nobody_in_particular() -> None:
    old = correction(0, "c-1", "m-1", toxicity="toxic").model_copy(update={"sealed": None})
    [share] = shares(opinions(old), pseudonym)
    assert (share.moderator, share.labels) == (None, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["m-1", "m-2", "m-3"]), st.sampled_from(["clean", "toxic"])),
        max_size=30,
    )
)
def test_shares_add_up(given_labels: list[tuple[str, str, str]]) -> None:
    found = shares(
        opinions(*(correction(n, comment, m, toxicity=label) for n, (comment, m, label) in enumerate(given_labels))),
        pseudonym,
    )
    assert sum(share.labels for share in found) == len({comment for comment, _, _ in given_labels})
    assert sum(share.corrections for share in found) == len({(comment, m) for comment, m, _ in given_labels})
    assert not given_labels or abs(sum(share.share for share in found) - 1) < 1e-9
    assert all(share.outvoted <= share.judged_by_three <= share.corrections for share in found)
