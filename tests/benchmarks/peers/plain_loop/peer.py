"""The loop that confluent-kafka's documentation shows for at-least-once, around a transformers pipeline."""

from confluent_kafka import Consumer, Producer

from tests.benchmarks.peers.classifier import BATCH_RECORDS, Classifier, decoded, encoded
from tests.benchmarks.peers.stream_peer import options, stop_on_sigterm


def main() -> None:
    """Classify until SIGTERM; a batch's offsets are committed when its results are acknowledged."""
    told, stopping = options(), stop_on_sigterm()
    classify = Classifier(told.model, told.cache)
    producer = Producer({"bootstrap.servers": told.bootstrap, "enable.idempotence": True, "linger.ms": 5})
    consumer = Consumer(
        {
            "bootstrap.servers": told.bootstrap,
            "group.id": told.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([told.input])
    while not stopping.is_set():
        messages = [message for message in consumer.consume(BATCH_RECORDS, 0.1) if message.error() is None]
        if not messages:
            continue
        for result in classify(decoded([message.value() for message in messages])):
            producer.produce(told.output, value=encoded(result), key=result["id"])
        producer.flush()
        consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main()
