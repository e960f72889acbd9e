"""Logs: structlog's events and what libraries log, as lines of text or of JSON on standard error."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

CHATTY = ("aiokafka", "faust", "mode", "asyncio", "aiohttp")
"""Libraries whose lesser messages are about themselves."""
_MOST_SAID = 1_000


def set_up_logs(level: str, *, as_json: bool, stream: TextIO) -> None:
    """Send all that is logged to *stream*, from *level* on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_json_chain() if as_json else _text_chain(stream)),
            ],
            foreign_pre_chain=_shared_chain(),
        )
    )
    if level != "debug":
        handler.addFilter(_is_of_use)
        handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level) if root.level > logging.DEBUG else "INFO")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_chain(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _is_of_use(record: logging.LogRecord) -> bool:
    """Leave out what Mode's services say of themselves: they do so in the name of whatever module they are in."""
    return record.levelno >= logging.WARNING or not str(record.msg).startswith("[^")


class Seldom(logging.Filter):
    """Lets a library say the same thing once in a while: in an outage each says it several times a second."""

    def __init__(self, every_s: float = 10.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._last_s: dict[tuple[str, str], float] = {}
        """Logger and message without its arguments → when it was last let through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether *record* is not a library's, or was not said lately."""
        if record.name.partition(".")[0] not in CHATTY:
            return True
        said = record.name, str(record.msg)
        if record.created - self._last_s.get(said, 0.0) < self._every_s:
            return False
        if len(self._last_s) >= _MOST_SAID:
            self._last_s.clear()
        self._last_s[said] = record.created
        return True


def _shared_chain() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _json_chain() -> Sequence[Processor]:
    return (structlog.processors.format_exc_info, _event_first, structlog.processors.JSONRenderer(_dumps))


def _text_chain(stream: TextIO) -> Sequence[Processor]:
    # Plain tracebacks: the rich ones show every variable, secrets among them.
    return (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        ),
    )


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put first what a person looks for first."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event", "logger") if name in event}
    return {**first, **event}


def _dumps(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
