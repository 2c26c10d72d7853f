"""`moderate watch`: tails the results topic."""

from collections.abc import Callable
from uuid import uuid4

import typer
from confluent_kafka import KafkaError, KafkaException
from pydantic import ValidationError

from consumer.kafka.clients import KafkaUnavailableError, make_consumer, reader_config
from consumer.kafka.passing import reading_passes
from consumer.kafka.refusals import describe
from consumer.settings import Settings
from consumer.terminal.display import event_line
from consumer.terminal.printing import SafeConsole
from consumer.terminal.text import printable_json
from schemas import TaggedComment


def watch(settings: Settings, *, as_json: bool, from_beginning: bool, stopping: Callable[[], bool]) -> None:
    """Print results as they come until `stopping()`; commits nothing and disturbs no group.

    Raises `KafkaUnavailableError` when the topic cannot be read.
    """
    consumer = make_consumer(
        reader_config(settings, f"moderate-watch-{uuid4()}", "earliest" if from_beginning else "latest")
    )
    consumer.subscribe([settings.results_topic])
    console = SafeConsole(soft_wrap=True)
    try:
        while not stopping():
            message = consumer.poll(0.2)
            if message is None:
                continue
            if error := message.error():
                _raise_unless_passing(error, settings)
                continue
            _show(message.value() or b"", console, as_json=as_json)
    except KafkaException as error:
        raise KafkaUnavailableError(f"{settings.results_topic} cannot be read: {describe(error)}.") from None
    finally:
        consumer.close()


def _show(value: bytes, console: SafeConsole, *, as_json: bool) -> None:
    if as_json:
        # The same JSON: what a terminal would obey is escaped in it.
        typer.echo(printable_json(value.decode("utf-8", "backslashreplace")))
        return
    try:
        console.print(event_line(TaggedComment.model_validate_json(value)))
    except ValidationError:
        console.print("(a record that is not a tagged comment; see it with --json)", style="dim")


def _raise_unless_passing(error: KafkaError, settings: Settings) -> None:
    if not reading_passes(error):
        raise KafkaUnavailableError(
            f"{settings.results_topic} cannot be read: {describe(error)}. Create the topics with "
            "`moderate topics create`."
        )
