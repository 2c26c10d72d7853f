"""All that knows confluent-kafka: reading, publishing, checkpointing, topics and the embedded broker."""
