"""What libraries log is let through once in a while, what the program logs always."""

from __future__ import annotations

import logging

from service.cli.logs import Seldom


def record(name: str, message: str, *arguments: object, at_s: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "file.py", 1, message, arguments, None)
    made.created = at_s
    return made


def test_a_library_says_the_same_thing_once_in_a_while() -> None:
    """The same message with other arguments is the same; another one, or a later one, is let through."""
    seldom = Seldom(every_s=10)
    assert seldom.filter(record("aiokafka.client", "no %s", "broker", at_s=100))
    assert not seldom.filter(record("aiokafka.client", "no %s", "leader", at_s=109))
    assert seldom.filter(record("aiokafka.client", "something else", at_s=109))
    assert seldom.filter(record("aiokafka.consumer", "no %s", "broker", at_s=109))
    assert seldom.filter(record("aiokafka.client", "no %s", "broker", at_s=110))


def test_the_program_says_everything() -> None:
    """Two dead letters are two."""
    seldom = Seldom(every_s=10)
    assert seldom.filter(record("streams.engine.processor", "dead_letter", at_s=100))
    assert seldom.filter(record("streams.engine.processor", "dead_letter", at_s=100))
