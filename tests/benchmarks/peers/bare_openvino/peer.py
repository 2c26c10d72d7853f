"""A limit: OpenVINO's forward pass and nothing else, over texts that are tokens already, sorted by length and cut into
batches of at most 1,024 padded tokens.
"""

from collections.abc import Sequence
from functools import lru_cache

from tests.benchmarks.peers.engine_peer import Classify, Scores, serve
from tests.benchmarks.peers.openvino_network import OpenVinoNetwork
from tests.benchmarks.peers.tokens import Batch, batches, by_tokens, reader


def load(model: str, texts: Sequence[str]) -> tuple[Classify, str]:
    """The texts of a call are made tokens once, in the warm-up."""
    tokenizer = reader(model)

    @lru_cache
    def prepared(asked: tuple[str, ...]) -> list[Batch]:
        return batches(tokenizer, asked, by_tokens)

    network = OpenVinoNetwork(model, prepared(tuple(texts)))

    def classify(asked: Sequence[str]) -> Scores:
        return network.run(prepared(tuple(asked)))

    return classify, network.version


if __name__ == "__main__":
    serve(load)
