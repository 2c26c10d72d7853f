"""How events look on a terminal."""

from collections import deque

from rich.table import Table
from rich.text import Text

from consumer.terminal.text import printable
from schemas import TaggedComment

ACTION_STYLES = {"allow": "green", "review": "yellow", "reject": "bold red", "dead letter": "magenta"}
TEXT_WIDTH = 60


def shortened(text: str, width: int = TEXT_WIDTH) -> str:
    """The beginning of a text that fits in a column."""
    line = printable(text.strip())
    return line if len(line) <= width else line[: width - 1] + "…"


def tag_summary(event: TaggedComment) -> str:
    """Every tag group's label and score, such as `negative 0.91, toxic 0.98`; a known language goes without saying."""
    shown = (tag for group, tag in event.tags.items() if (group, tag.label) != ("language", "known"))
    return ", ".join(f"{printable(tag.label)} {tag.score:.2f}" for tag in shown)


def event_line(event: TaggedComment) -> Text:
    """One tagged comment as one coloured line."""
    style = ACTION_STYLES[event.decision.action]
    text = event.comment.text if event.comment.text is not None else f"(text left out) {event.comment.id}"
    return Text.assemble(
        (f"{event.decision.action:<7}", style),
        (f" {tag_summary(event):<32}", "cyan"),
        (f" {event.answered_by:<6} ", "dim"),
        shortened(text, 100),
    )


class LiveRows:
    """The last rows of the live table."""

    def __init__(self, rows: int) -> None:
        self._rows: deque[tuple[str | Text, ...]] = deque(maxlen=rows)

    def add_event(self, event: TaggedComment) -> None:
        """Show a tagged comment."""
        text = event.comment.text if event.comment.text is not None else event.comment.id
        action = event.decision.action
        self._rows.append(
            (Text(shortened(text)), Text(tag_summary(event)), Text(action, ACTION_STYLES[action]), event.answered_by)
        )

    def add_dead_letter(self, value: bytes | None, reason: str) -> None:
        """Show a dead letter with what can be shown of its bytes."""
        shown = "(no value)" if value is None else value[:200].decode("utf-8", "backslashreplace")
        self._rows.append(
            (Text(shortened(shown), "dim"), "", Text("dead letter", ACTION_STYLES["dead letter"]), reason)
        )

    def table(self) -> Table:
        """The rows as a table, newest last."""
        table = Table(expand=True, header_style="bold", pad_edge=False)
        table.add_column("comment", ratio=1, no_wrap=True)
        table.add_column("tags", no_wrap=True, style="cyan", min_width=28)
        table.add_column("decision", no_wrap=True)
        table.add_column("answered by", no_wrap=True, style="dim", min_width=16)
        for row in self._rows:
            table.add_row(*row)
        return table
