"""What stands around a transaction: the generation that it is committed with, and a call that never comes back."""

import threading
import time

import pytest

from consumer.backoff import Backoff
from consumer.kafka.offsets import GroupMetadata
from consumer.kafka.publisher import PublishError
from consumer.kafka.transactions import Transactions


class FakeConsumer:
    """A consumer whose membership can be set."""

    def __init__(self) -> None:
        self.member, self.generation = "", -1

    def memberid(self) -> str:
        return self.member

    def consumer_group_metadata(self) -> tuple[str, int]:
        return self.member, self.generation


def test_a_consumer_that_its_group_gave_up_keeps_the_generation_that_the_brokers_refuse() -> None:
    consumer = FakeConsumer()
    group = GroupMetadata(consumer, lambda: None)  # type: ignore[arg-type]
    consumer.member, consumer.generation = "m", 7
    assert group.serve()
    consumer.member, consumer.generation = "", -1
    assert group.serve()
    assert group.latest() == ("m", 7)
    consumer.member, consumer.generation = "m", 9
    assert group.serve()
    assert group.latest() == ("m", 9)


def test_a_call_that_never_comes_back_is_noticed_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.kafka.transactions.STUCK_AFTER_S", 0.1)
    released = threading.Event()

    class StuckProducer:
        def send_offsets_to_transaction(self, *_arguments: object) -> None:
            released.wait(30)

    transactions = Transactions(StuckProducer(), 0.1, Backoff(0.1, 1.0, 1.0))  # type: ignore[arg-type]
    transactions.check()
    stuck = threading.Thread(target=transactions.send_offsets, args=({("comments", 0): 1}, None))
    stuck.start()
    time.sleep(0.5)
    with pytest.raises(PublishError, match="does not come back"):
        transactions.check()
    released.set()
    stuck.join()
    transactions.check()
