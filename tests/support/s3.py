"""A real S3 server, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from service.adapters.blobs_s3 import Bucket
from tests.support.ports import free_port

ACCESS_KEY, SECRET_KEY = "key-of-the-tests", "secret-of-the-tests"


@contextmanager
def s3_server(directory: Path) -> Iterator[str]:
    """Run a server, and yield its URL."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (directory / "s3.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def new_bucket(server: str) -> Bucket:
    """Make a bucket on a server, once it answers, and return how it is reached."""
    name, end = f"bucket-{os.urandom(4).hex()}", time.monotonic() + 30
    while True:
        connection = HTTPConnection(server.removeprefix("http://"), timeout=10)
        try:
            connection.request("PUT", f"/{name}")
            assert connection.getresponse().status == 200
            return Bucket(name, "us-east-1", server, ACCESS_KEY, SECRET_KEY)
        except ConnectionError:
            assert time.monotonic() < end
            time.sleep(0.05)
        finally:
            connection.close()
