"""`upnext`, which at SIGUSR1 stops to look who calls, how often and what is signed, and at SIGUSR2 begins again."""

from __future__ import annotations

import signal

from aiohttp import web

from service.cli import main
from service.http.callers import Caller, Callers
from service.http.signatures import Signatures
from service.ports import Client

PROGRAM = "bench.unchecked"


class _Checks:
    """Both ways of the code that is measured: as it is, and without what is looked at."""

    def __init__(self) -> None:
        self._are_off = False
        self._last: Caller | None = None
        """Who called last, as long as it was looked at: whoever calls is taken for them."""
        self._caller, self._check = Callers.caller, Signatures.check

    def plant(self) -> None:
        """Have the program do as it is told by signals."""
        checks = self

        def caller(self: Callers, request: web.BaseRequest, beside: dict[str, str]) -> Caller:
            if checks._are_off and checks._last is not None:
                version = checks._last.version
                beside.update({} if version is None else version.headers)
                return checks._last
            checks._last = checks._caller(self, request, beside)
            return checks._last

        def check(self: Signatures, request: web.BaseRequest, client: Client, body: bytes) -> None:
            if not checks._are_off:
                checks._check(self, request, client, body)

        Callers.caller, Signatures.check = caller, check  # type: ignore[method-assign]
        signal.signal(signal.SIGUSR1, lambda *_: self._switch(are_off=True))
        signal.signal(signal.SIGUSR2, lambda *_: self._switch(are_off=False))

    def _switch(self, *, are_off: bool) -> None:
        self._are_off = are_off


if __name__ == "__main__":
    _Checks().plant()
    main(prog_name="upnext")
