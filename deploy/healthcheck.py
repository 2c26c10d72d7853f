"""Ask this container's own HTTP server whether it is alive: the image's HEALTHCHECK.

    python -I -S healthcheck.py

Exits with 0 when /healthz answers 200, or when HTTP_PORT is 0 and so there is nobody to ask; with 1 otherwise. Prints
what was answered, or why nothing was: `docker inspect` keeps it. It runs every few seconds, hence the standard library
only (about 40 ms), and http.client, since urllib would put the question to HTTP_PROXY.
"""

import http.client
import os

ANSWER_TIMEOUT_S = 4.0
"""Less than the HEALTHCHECK's own, which would end this process before it has said anything."""

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses to ask, not to listen on


def ask(host: str, port: int) -> tuple[bool, str]:
    """Whether /healthz of that server says that all is well, and what it said."""
    connection = http.client.HTTPConnection(LOOPBACK.get(host, host), port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"/healthz of {host} port {port} did not answer: {error or type(error).__name__}"
    finally:
        connection.close()


if __name__ == "__main__":
    port = int(os.environ.get("HTTP_PORT", "0"))
    alive, said = ask(os.environ.get("HTTP_HOST", "127.0.0.1"), port) if port else (True, "HTTP_PORT is 0: not asked.")
    print(said)  # noqa: T201
    raise SystemExit(0 if alive else 1)
