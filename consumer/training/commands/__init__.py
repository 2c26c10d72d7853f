"""The commands of `moderate train`: from labelled comments to a model directory the stream loads, with numbers."""

import typer

from consumer.training.commands.average import average
from consumer.training.commands.calibrate import calibrate
from consumer.training.commands.evaluate import evaluate
from consumer.training.commands.fit import fit
from consumer.training.commands.package import package
from consumer.training.commands.prepare import prepare

train_app = typer.Typer(
    no_args_is_help=True,
    help="Train a model on labelled comments, and measure it: prepare, fit, average, calibrate, evaluate, package.",
)
for command in (prepare, fit, average, calibrate, evaluate, package):
    train_app.command()(command)
