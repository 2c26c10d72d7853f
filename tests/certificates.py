"""Certificates made in the test: an authority, a server and a client that it vouches for, and a foreign authority."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.services import missing

KEY_PASSWORD = "hunter2-of-the-key"


class Certificates(NamedTuple):
    """PEM files. The server is `127.0.0.1` and not `localhost`; the client is `CN=member`, its key has a password."""

    authority: Path
    other_authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(directory: Path) -> Certificates:
    """Make them in `directory`; skips the test, saying why, where there is no OpenSSL 3."""
    if shutil.which("openssl") is None or not _openssl("version").startswith("OpenSSL 3"):
        missing("no certificates for the test: openssl 3 is not on the PATH")
    directory.mkdir()
    authority, authority_key = _certificate(directory, "authority", "-noenc", "-addext", "basicConstraints=CA:TRUE")
    other_authority, _ = _certificate(directory, "other-authority", "-noenc", "-addext", "basicConstraints=CA:TRUE")
    signed = ("-CA", str(authority), "-CAkey", str(authority_key), "-addext", "basicConstraints=CA:FALSE")
    server, server_key = _certificate(directory, "server", "-noenc", "-addext", "subjectAltName=IP:127.0.0.1", *signed)
    client, client_key = _certificate(directory, "member", "-passout", f"pass:{KEY_PASSWORD}", *signed)
    return Certificates(authority, other_authority, server, server_key, client, client_key)


def _certificate(directory: Path, name: str, *options: str) -> tuple[Path, Path]:
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2")
    _openssl(*new, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate), *options)
    return certificate, key


def _openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
