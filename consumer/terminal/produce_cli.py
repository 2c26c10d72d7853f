"""`moderate produce`, the command."""

from typing import Annotated

import typer

from consumer.settings_parsing import load_settings
from consumer.terminal.errors import EXIT_FAILED, complain, readable_errors, require_brokers
from consumer.terminal.printing import tell


def produce(
    file: Annotated[
        str,
        typer.Argument(
            help="JSON lines, a table (CSV, TSV and the like) with a `text` column, or text with one comment a line; "
            "`.gz` too; `-` is stdin."
        ),
    ] = "-",
) -> None:
    """Send comments from a file or standard input to the input topic, and count what Kafka acknowledges."""
    with readable_errors():
        settings = load_settings()
        require_brokers(settings.kafka_bootstrap_servers)
        from consumer.files import size_bytes
        from consumer.kafka.clients import make_producer, producer_config
        from consumer.kafka.topics import require_topics
        from consumer.terminal.inputs import read_records
        from consumer.terminal.produce import produce as produce_records
        from consumer.terminal.screens import produce_progress

        require_topics(settings)
        records = read_records(file)
        with produce_progress(size_bytes(file)) as on_progress:
            produced = produce_records(
                make_producer(producer_config(settings)), settings.input_topic, records, on_progress
            )
        tell(f"{produced.acknowledged:,} of {produced.sent:,} records acknowledged by {settings.input_topic}")
        if produced.failed:
            complain(f"{produced.failed:,} records were not taken; the first because: {produced.first_error}")
        if produced.unread:
            complain(f"{produced.unread} What stands before it was sent.")
        if produced.failed or produced.unread:
            raise typer.Exit(EXIT_FAILED)
