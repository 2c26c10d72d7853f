import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from consumer.answer import Answer
from consumer.cache import AnswerCache, AnswerCodec, RedisStore, SharedCache
from consumer.cache.embedded import embedded_cache
from tests.services import missing
from tests.waiting import wait_until

PARENT = """
import tempfile, time
from pathlib import Path
from consumer.cache.embedded import embedded_cache
with embedded_cache() as cache:
    print(cache.url, *Path(tempfile.gettempdir()).iterdir(), sep="\\n", end="\\n\\n", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def redis_server_on_the_path() -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server is not on the PATH")


def answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            client.ping()
    except redis.ConnectionError:
        return False
    return True


def assert_two_members_share(url: str) -> None:
    # Scores whose bytes hold line ends, which a careless server would take for the end of a value.
    awkward = {b"key\r\n%d" % number: Answer((number / 65535, 0.5), False) for number in range(500)}
    codec = AnswerCodec(2, "", [])
    writer = AnswerCache(0, codec, SharedCache(RedisStore(url, 60), timeout_s=30))
    writer.store(awkward)
    with redis.Redis.from_url(url) as client:
        wait_until(lambda: client.dbsize() == len(awkward))
    reader = AnswerCache(0, codec, SharedCache(RedisStore(url, 60), timeout_s=30))
    found = reader.lookup(awkward)
    assert {key: answer.truncated for key, (answer, _) in found.items()} == dict.fromkeys(awkward, False)
    assert all(abs(found[key][0].scores[0] - answer.scores[0]) < 1e-6 for key, answer in awkward.items())
    writer.close()
    reader.close()


@pytest.mark.usefixtures("redis_server_on_the_path")
def test_it_is_redis_server_where_that_is_installed_and_ends_with_the_context() -> None:
    with embedded_cache() as cache:
        assert cache.kind == "redis-server"
        assert_two_members_share(cache.url)
    assert not answers(cache.url)


def test_it_is_fakeredis_elsewhere_and_ends_with_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with embedded_cache() as cache:
        assert cache.kind == "fakeredis"
        assert_two_members_share(cache.url)
    assert not answers(cache.url)


@pytest.mark.usefixtures("redis_server_on_the_path")
def test_it_ends_and_leaves_nothing_when_the_parent_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    url, directory = parent.stdout.readline().strip(), Path(parent.stdout.readline().strip())
    assert answers(url)
    assert directory.is_dir()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not answers(url) and not directory.exists())
