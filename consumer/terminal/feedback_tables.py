"""What `moderate feedback collect` shows at its end."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from consumer.terminal.printing import SafeConsole, counted, say
from consumer.terminal.text import printable

IDS_SHOWN = 5
MODERATORS_SHOWN = 3


def show_dataset(report: Mapping[str, Any], *, accepted: int, rejected: int, known: int) -> None:
    """Print what this run read and what the dataset amounts to, and say what somebody should look at."""
    table = Table(title="Feedback", show_header=False, title_justify="left", min_width=60)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("accepted now", f"{accepted:,}")
    table.add_row("rejected now", f"{rejected:,}")
    table.add_row("read again, known", f"{known:,}")
    table.add_row("corrections that stand", f"{report['corrections']:,} of {report['comments']:,} comments")
    table.add_row("moderators", _moderators(report["moderators"], report["moderator_shares"]))
    table.add_row("rows to train on", f"{report['rows']:,}")
    for group, counts in report["labels"].items():
        table.add_row(f"  {group}", ", ".join(f"{label} {count:,}" for label, count in counts.items()))
    table.add_row("conflicts", _count_and_ids(report["conflicts"], report["conflicting_comment_ids"]))
    if report["compared_with_results"]:
        table.add_row("never tagged", _count_and_ids(report["never_tagged"], report["never_tagged_comment_ids"]))
    else:
        table.add_row("never tagged", "not compared; --against-results does")
    table.add_row("version", report["version"][:12])
    SafeConsole().print(table)
    for sentence in report["warnings"]:
        say(f"warning: {sentence}")
    if report["never_tagged"]:
        say(
            f"warning: {counted(report['never_tagged'], 'correction')} left out, of texts that are not among the "
            "results; the ids of their comments are in report.json"
        )


def _moderators(count: int, shares: Sequence[Mapping[str, Any]]) -> str:
    shown = [f"{share['moderator'] or 'unknown'} {share['share']:.0%}" for share in shares[:MODERATORS_SHOWN]]
    return f"{count:,}{_listed(shown, count)}"


def _count_and_ids(count: int, comment_ids: Sequence[str]) -> Text:
    return Text(f"{count:,}{_listed([printable(of) for of in comment_ids[:IDS_SHOWN]], len(comment_ids))}")


def _listed(shown: Sequence[str], count: int) -> str:
    if not shown:
        return ""
    return f" ({', '.join(shown)}{', …: all in report.json' if count > len(shown) else ''})"
