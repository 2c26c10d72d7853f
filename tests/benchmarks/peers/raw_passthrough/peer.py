"""The limit: records go from topic to topic as they are, and nobody looks into them."""

from collections.abc import Callable

from confluent_kafka import Consumer, Message, Producer

from tests.benchmarks.peers.stream_peer import Options, options, stop_on_sigterm

RECORDS_AT_ONCE = 500
MOST_UNSENT = 200_000


def consumer(told: Options) -> Consumer:
    """Its offsets are stored and committed by librdkafka."""
    return Consumer(
        {"bootstrap.servers": told.bootstrap, "group.id": told.group, "auto.offset.reset": "earliest"}
        | {"fetch.wait.max.ms": told.fetch_wait_max_ms}
    )


def producer(told: Options) -> Producer:
    """Sends at once when idle; under load its queue fills batches by itself."""
    return Producer(
        {"bootstrap.servers": told.bootstrap, "linger.ms": 0, "compression.type": "lz4", "batch.size": 200_000}
        | {"queue.buffering.max.messages": 2 * MOST_UNSENT}
    )


def pass_on(value_of: Callable[[Message], str | bytes | None]) -> None:
    """Pass records on until SIGTERM, each with its key and the value that `value_of` makes of it."""
    told, stopping = options(), stop_on_sigterm()
    source, target = consumer(told), producer(told)
    produce, output = target.produce, told.output
    source.subscribe([told.input])
    while not stopping.is_set():
        # `consume` waits until it has all that it may take: the first record is waited for alone.
        if (first := source.poll(0.1)) is None:
            continue
        for message in (first, *source.consume(RECORDS_AT_ONCE - 1, 0)):
            produce(output, value_of(message), message.key())
        target.poll(0)
        while len(target) > MOST_UNSENT:
            target.poll(0.01)
    target.flush()
    source.close()


if __name__ == "__main__":
    pass_on(Message.value)
