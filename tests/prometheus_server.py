"""A real Prometheus for tests: our configuration and rules, asking one member every second."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.http_serving import free_port, wait_until
from tests.promql import DEPLOY, RULES_FILE
from tests.services import missing

TIMEOUT_S = 60.0


class PrometheusServer:
    """Answers questions at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of one call of its API, such as `query`. Raises OSError where it refuses."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """What an expression brings now."""
        series: list[Any] = self.ask("query", query=expression)["result"]
        return series


@contextmanager
def prometheus_asking(member_port: int, directory: Path) -> Iterator[PrometheusServer]:
    """Run it until the context ends; skips the test where none is installed."""
    if not shutil.which("prometheus"):
        missing("prometheus is not on the PATH (Debian: apt install prometheus)")
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    config["rule_files"] = [str(RULES_FILE)]
    [job] = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{member_port}"]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    paths = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *paths, f"--web.listen-address={address}"], stderr=log)
        try:
            yield _ready(PrometheusServer(f"http://{address}"), process)
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def _ready(server: PrometheusServer, process: "subprocess.Popen[bytes]") -> PrometheusServer:
    def has_seen_the_member() -> bool:
        assert process.poll() is None, "Prometheus has ended"
        try:
            # A rate needs two scrapes, and a recorded one a look at its rule after them.
            return bool(server.query("count_over_time(job:moderation_end_to_end:rate5m[1m]) > 1"))
        except OSError:
            return False

    wait_until(has_seen_the_member)
    return server
