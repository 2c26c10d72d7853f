from threading import Thread

from consumer.answer import Answer
from consumer.cache.memory import MemoryCache


def answer(number: float) -> Answer:
    return Answer((number,), False)


def test_the_answer_unused_for_longest_goes_first() -> None:
    memory = MemoryCache(2)
    memory.put_many({b"a": answer(0.1), b"b": answer(0.2)})
    memory.get_many([b"a"])
    memory.put_many({b"c": answer(0.3)})
    assert memory.get_many([b"a", b"b", b"c"]) == {b"a": answer(0.1), b"c": answer(0.3)}


def test_an_answer_stored_again_counts_as_used_and_is_replaced() -> None:
    memory = MemoryCache(2)
    memory.put_many({b"a": answer(0.1), b"b": answer(0.2)})
    memory.put_many({b"a": answer(0.9)})
    memory.put_many({b"c": answer(0.3)})
    assert memory.get_many([b"a", b"b"]) == {b"a": answer(0.9)}


def test_a_batch_larger_than_memory_keeps_memory_bounded() -> None:
    memory = MemoryCache(3)
    keys = [bytes([number]) for number in range(10)]
    memory.put_many({key: answer(0.5) for key in keys})
    assert list(memory.get_many(keys)) == keys[-3:]


def test_no_entries_means_no_memory() -> None:
    memory = MemoryCache(0)
    memory.put_many({b"a": answer(0.1)})
    assert memory.get_many([b"a"]) == {}


def test_threads_may_use_it_together() -> None:
    memory = MemoryCache(50)
    wrong: list[object] = []

    def use() -> None:
        for turn in range(300):
            keys = [bytes([(turn + offset) % 200]) for offset in range(20)]
            memory.put_many({key: answer(key[0] / 255) for key in keys})
            wrong.extend(item for item in memory.get_many(keys).items() if item[1] != answer(item[0][0] / 255))

    threads = [Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(memory.get_many(bytes([number]) for number in range(200))) == 50
