"""Cleaning, tokenising and running the model: all that knows torch and transformers."""

from consumer.model.engine import Engine
from consumer.model.errors import ModelError
from consumer.model.load import load_engine

__all__ = ["Engine", "ModelError", "load_engine"]
