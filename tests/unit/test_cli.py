"""The command line: what it prints, and with which status it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.process import bugs_fatal, is_bug
from service.cli.speech import sentence
from service.data_directory import held
from service.stages import Listening, Ready, Recovering, Starting, Stopped, Stopping
from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.topics import topic_specs

UPNEXT = str(Path(sys.executable).with_name("upnext"))
BARE = {name: text for name, text in os.environ.items() if not name.startswith("UPNEXT_")}


def upnext(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [UPNEXT, *words], env={**BARE, **(env or {})}, capture_output=True, text=True, timeout=60, check=False
    )


def last_line(text: str) -> str:
    return text.rstrip().splitlines()[-1]


@pytest.mark.long
def test_version_and_help() -> None:
    """Both are there, and need no node."""
    assert upnext("--version").stdout.startswith("upnext ")
    said = upnext("--help").stdout
    assert all(command in said for command in ("config", "demo", "nodes", "serve", "topics"))
    assert "--kafka-security-protocol" in upnext("serve", "--help").stdout


@pytest.mark.long
def test_no_such_flag() -> None:
    """A word that nobody knows is a usage error: status 2."""
    assert upnext("serve", "--no-such-flag").returncode == 2
    assert upnext("no-such-command").returncode == 2


@pytest.mark.long
def test_a_broken_setting() -> None:
    """One line on standard error, status 1, no traceback."""
    done = upnext("serve", "--partitions", "0", env={"UPNEXT_NONSENSE": "1"})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("upnext: UPNEXT_NONSENSE is no setting")
    assert "--partitions must be an integer from 1 to 1024, not '0'." in done.stderr


@pytest.mark.long
def test_config() -> None:
    """What is in force and where it comes from, secrets masked."""
    done = upnext("config", "--partitions", "4", env={"UPNEXT_MASTER_KEY": "5a" * 32})
    assert done.returncode == 0
    assert "5a5a" not in done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "partitions = 4 # --partitions" in lines
    assert "# master_key = ******** # UPNEXT_MASTER_KEY" in lines
    assert 'listen = "127.0.0.1:8080" # default' in lines


@pytest.mark.long
def test_topics_on_the_embedded_log(tmp_path: Path) -> None:
    """Checked, created, created again, checked again, and refused with other partitions."""
    data = ("--data", str(tmp_path / "data"))
    before = upnext("topics", "check", *data)
    assert (before.returncode, (tmp_path / "data").exists()) == (1, False)
    assert "upnext topics create" in last_line(before.stderr)
    created = upnext("topics", "create", *data)
    assert (created.returncode, created.stdout.count("created ")) == (0, len(topic_specs(8)))
    assert upnext("topics", "create", *data).stdout == "All topics are there.\n"
    assert upnext("topics", "check", *data).returncode == 0
    other = upnext("topics", "check", *data, "--partitions", "3")
    assert other.returncode == 1
    assert "start with --partitions 8" in last_line(other.stderr)


@pytest.mark.long
def test_topics_of_a_running_node(tmp_path: Path) -> None:
    """The embedded log is one process's."""
    with held(tmp_path):
        done = upnext("topics", "create", "--data", str(tmp_path))
    assert done.returncode == 1
    assert f"in use by another process ({os.getpid()})" in last_line(done.stderr)


@pytest.mark.long
def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    """It is named, with what to do."""
    (tmp_path / "file").touch()
    done = upnext("serve", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "give one that this user may write to" in last_line(done.stderr)


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    """And free again once it was let go."""
    with held(tmp_path), pytest.raises(RefusedStartError, match="in use by another process"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_a_new_directory_outlives_a_loss_of_power(tmp_path: Path) -> None:
    """Its name is synced, and those of the directories above it that are new: else all that is in it could be gone."""
    synced: list[Path] = []
    with held(tmp_path / "new" / "data", synced.append):
        assert synced == [tmp_path, tmp_path / "new"]


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (ValueError("a bug"), True),
        (KeyError("x"), True),
        (ConnectionResetError(), False),
        (LogUnavailableError(), False),
    ],
)
async def test_what_a_task_may_end_with(error: Exception, fatal: bool) -> None:
    """A peer that is gone is no bug; whatever nobody thought of is."""

    async def end() -> None:
        raise error

    task = asyncio.create_task(end())
    await asyncio.wait([task])
    assert is_bug({"message": "never retrieved", "exception": task.exception(), "task": task}) is fatal


async def test_a_bug_in_a_task_that_nobody_awaits_ends_the_process() -> None:
    """It is found as soon as the task is forgotten, and named."""
    reasons: list[str] = []

    async def end() -> None:
        raise KeyError("lost")

    with bugs_fatal(reasons.append):  # type: ignore[arg-type] # a fake that does not end this process
        task = asyncio.create_task(end(), name="a task of ours")
        await asyncio.wait([task])
        del task
        gc.collect()
    assert reasons == ["a task of ours failed: KeyError: 'lost'"]


async def test_what_a_client_brings_about_is_never_fatal() -> None:
    """The tasks of aiohttp's connections, and protocols, are reachable from outside."""

    class RequestHandler:
        async def start(self) -> None:
            raise ValueError

    RequestHandler.start.__qualname__ = "RequestHandler.start"
    task = asyncio.create_task(RequestHandler().start())
    await asyncio.wait([task])
    assert not is_bug({"message": "never retrieved", "exception": task.exception(), "task": task})
    assert not is_bug({"message": "data_received() failed", "exception": ValueError(), "protocol": object()})


def test_what_people_are_told(tmp_path: Path) -> None:
    """Every stage has its sentence; what a start waits for is in it, and how much of it is done."""
    starting = Starting("a:9092", tmp_path, 16, "http://127.0.0.1:8081", None)
    assert "Kafka at a:9092, 16 partitions" in sentence(starting)
    assert "admin token  as given" in sentence(starting)
    assert "http://127.0.0.1:8080/openapi.json" in sentence(Listening("http://127.0.0.1:8080"))
    assert sentence(Recovering(["this", "that"], 0)) == "waiting for this; that"
    assert sentence(Recovering(["this"], 12_345)) == "waiting for this (12,345 rows so far)"
    assert sentence(Ready(0.84)).startswith("ready, 0.8 s after the start")
    assert [sentence(Stopping()), sentence(Stopped())] == ["stopping: requests under way finish", "stopped"]
