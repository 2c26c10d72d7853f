"""The bundled model as an ordinary Hugging Face directory, so that peers load the very same weights."""

import shutil
from pathlib import Path

from transformers import AutoTokenizer

from consumer.model.base import base_directory
from consumer.model.engine import Engine
from consumer.model.load import load_engine
from consumer.model.source import BUNDLED

CACHE = Path(__file__).parent / "peers" / ".environments" / "models"


def exported(engine: Engine | None = None, cache: Path = CACHE) -> Path:
    """Return the directory with fp32 weights and tokenizer; made when it is not there yet.

    `engine` is `plain_engine()` where the caller has it already. A transformers pipeline that is not told otherwise
    answers with the sigmoid of each logit: over sentiment and toxicity together, softmax would mean nothing.
    """
    engine = engine or plain_engine()
    directory = cache / engine.version
    if not directory.exists():
        unfinished = cache / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        network = engine.network
        network.config.problem_type = "multi_label_classification"
        network.save_pretrained(unfinished)
        tokenizer = AutoTokenizer.from_pretrained(base_directory(), local_files_only=True)
        tokenizer.model_max_length = network.config.max_position_embeddings
        tokenizer.backend_tokenizer.no_padding()  # as shipped it pads and truncates everything to 128 tokens
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(directory)
    return directory


def plain_engine() -> Engine:
    """The bundled model in PyTorch and fp32, without calibration: what the others must agree with."""
    return load_engine(BUNDLED, device="cpu", dtype="float32", backend="torch", raw=True)
