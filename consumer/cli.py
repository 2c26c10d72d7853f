"""What a person types: `moderate …`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from consumer import __version__
from consumer.settings_parsing import load_settings
from consumer.terminal.bench_cli import bench
from consumer.terminal.dead_letters_cli import dead_letters_app
from consumer.terminal.errors import EXIT_FAILED, complain, readable_errors, require_brokers
from consumer.terminal.feedback_cli import feedback_app
from consumer.terminal.printing import SafeConsole, tell
from consumer.terminal.produce_cli import produce
from consumer.terminal.reprocess_cli import reprocess
from consumer.training.commands import train_app

app = typer.Typer(
    name="moderate",
    help="Tag the comments of a Kafka topic with sentiment and toxicity, decide allow, review or reject, and "
    "never lose one. "
    "Start with `moderate demo`: it needs no Kafka, no Redis and no network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
topics_app = typer.Typer(help="The topics in Kafka.", no_args_is_help=True)
schemas_app = typer.Typer(help="The event contracts.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(schemas_app, name="schemas")
app.add_typer(train_app, name="train")
app.add_typer(feedback_app, name="feedback")
app.add_typer(dead_letters_app, name="dead-letters")


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"moderate {__version__}")
        raise typer.Exit


@app.command()
def run() -> None:
    """Be a member of the consumer group: read, tag, decide, publish, commit.

    Configured by environment variables and `.env` (see `moderate settings`). With HTTP_PORT it also answers HTTP
    callers, and shows its health and metrics. Stops cleanly on SIGTERM or Ctrl-C: it finishes and commits
    what is in flight within SHUTDOWN_TIMEOUT_S and leaves the group. A second signal ends it at once. Exit status 0
    after a clean stop.
    """
    from consumer.terminal.service import run_service

    run_service("run")


@app.command()
def serve() -> None:
    """Answer HTTP callers, without Kafka: POST /predict, health, metrics, and /docs.

    Configured like `moderate run`; listens on HTTP_HOST (127.0.0.1) and HTTP_PORT (8000). Stops cleanly on SIGTERM or
    Ctrl-C. Try: curl -d '{"text": "Lovely!"}' localhost:8000/predict
    """
    from consumer.terminal.service import run_service

    run_service("serve")


@app.command()
def demo(
    input_file: Annotated[
        str,
        typer.Option(
            "--input",
            help="Your own comments: JSON lines in the input contract, a table (CSV, TSV and the like) with a `text` "
            "column, or text with one comment a line; `.gz` too; `-` is stdin.",
        ),
    ] = "",
    output_file: Annotated[
        str,
        typer.Option(
            "--output",
            help="Write one tagged event a line here; dead letters are listed beside it in `….dead-letters.jsonl`.",
        ),
    ] = "",
) -> None:
    """Run the whole stream on this machine, on an embedded broker and cache, and account for every record.

    Without `--input` it feeds a few hundred comments written for this project, some of them broken on purpose.
    Exits non-zero, and says what is missing, unless in = tagged + dead letters.
    """
    with readable_errors():
        from consumer.files import size_bytes
        from consumer.signals import StopOnSignal
        from consumer.terminal.demo import built_in_records, run_demo
        from consumer.terminal.inputs import read_records
        from consumer.terminal.outcome_files import refuse_to_overwrite
        from consumer.terminal.screens import LiveScreen, summary

        console = SafeConsole()
        built_in = not input_file
        records = built_in_records() if built_in else read_records(input_file)
        total = len(list(built_in_records())) if built_in else size_bytes(input_file)
        stop = StopOnSignal()
        output = Path(output_file) if output_file else None
        if output:
            refuse_to_overwrite(input_file, output)
        with LiveScreen(console, total, by_bytes=not built_in) as screen:
            ledger, elapsed_s = run_demo(records, screen, output, built_in=built_in, stopping=stop.stopping)
        console.print()
        console.print(summary(ledger, elapsed_s))
        problems = ledger.problems()
        for problem in problems:
            complain(problem)
        if stop.stopping() or problems:
            raise typer.Exit(EXIT_FAILED)
        console.print(
            Text.assemble(
                ("ok", "green"),
                f" every record came out exactly once: {ledger.sent:,} in = {ledger.tagged:,} "
                f"tagged + {sum(ledger.dead_letters.values()):,} dead letters",
            )
        )


app.command()(produce)


@app.command()
def watch(
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as it is, one a line.")] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest result instead of the next one.")
    ] = False,
) -> None:
    """Tail the results topic until Ctrl-C. Reads beside the subscribers without disturbing them."""
    with readable_errors():
        settings = load_settings()
        require_brokers(settings.kafka_bootstrap_servers)
        from consumer.signals import StopOnSignal
        from consumer.terminal.watch import watch as watch_results

        watch_results(settings, as_json=as_json, from_beginning=from_beginning, stopping=StopOnSignal().stopping)


@app.command()
def classify(
    texts: Annotated[
        list[str],
        typer.Argument(
            help="Texts to classify; put each in quotes. A single `-` reads comments or tagged comments from standard "
            "input, one JSON object a line.",
            metavar="TEXT...",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    explained: Annotated[
        bool, typer.Option("--explain", help="Show which words carried each tag; needs the extra `explain`.")
    ] = False,
) -> None:
    """Show the tags and the decision for texts given here, without Kafka.

    Example: moderate watch --json | head -1 | moderate classify --explain -
    """
    with readable_errors():
        from consumer.terminal.classify import classify_texts
        from consumer.terminal.event_texts import event_texts

        settings = load_settings()
        if texts == ["-"]:
            texts = event_texts(sys.stdin.buffer, "standard input")
        classify_texts(settings, texts, as_json=as_json, explained=explained)


app.command()(reprocess)
app.command()(bench)


@topics_app.command("create")
def topics_create() -> None:
    """Create the input, results, dead-letter and feedback topics; those that exist are left as they are."""
    with readable_errors():
        settings = load_settings()
        require_brokers(settings.kafka_bootstrap_servers)
        from consumer.kafka.topics import create_topics

        for name, created in create_topics(settings).items():
            tell(f"{name}: {'created' if created else 'is there already'}")


@schemas_app.command("export")
def schemas_export(
    directory: Annotated[Path, typer.Argument(help="Where to write the files.")] = Path("schemas-export"),
) -> None:
    """Write the JSON Schemas of the events and the AsyncAPI document of the topics."""
    from schemas.export import write

    for path in write(directory):
        tell(str(path))


@app.command("settings")
def show_settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the table in README.md.")] = False,
    env: Annotated[bool, typer.Option("--env", help="As .env.example.")] = False,
) -> None:
    """List every setting with its default and meaning."""
    from consumer.terminal.settings_table import as_env, as_markdown, as_table

    if markdown or env:
        typer.echo(as_markdown() if markdown else as_env(), nl=False)
    else:
        SafeConsole().print(as_table())


@app.command("metrics")
def show_metrics(
    markdown: Annotated[bool, typer.Option("--markdown", help="As deploy/METRICS.md.")] = False,
) -> None:
    """List every metric that `GET /metrics` shows, with its labels and meaning."""
    from consumer.terminal.metrics_table import as_markdown, as_table

    if markdown:
        typer.echo(as_markdown(), nl=False)
    else:
        SafeConsole().print(as_table())
