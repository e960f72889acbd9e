"""GET of a page that is signed, beside the same GET that is not, of the same node."""

from __future__ import annotations

from pathlib import Path

from bench.cores import elsewhere, on_one_core
from bench.figures import Figure
from bench.households import tenants
from bench.load import Requests, request
from bench.nodes import Node
from bench.one_list import one_list
from bench.pairs import Target, paired
from bench.sizes import Sizes
from tests.support.nodes import Caller
from tests.support.signing import over_body, over_message


async def signed(directory: Path, sizes: Sizes) -> list[Figure]:
    """GET pages of 50 of one list, with each kind of signature and without, embedded log."""
    with elsewhere():
        async with Node(directory / "node", how=on_one_core) as node, tenants(node) as made:
            path = await one_list(made)
            plain = Target(node.port, node.pid, _only(made.platform, path, {}))
            figures = []
            for kind, at_least in (("time and body", 0.85), ("the message", 0.7)):
                headers = _signed(made.platform, kind, path)
                pair = await paired(plain._replace(requests=_only(made.platform, path, headers)), plain, sizes)
                what = f"GET page of 50, warm, one list, signed over {kind}"
                beside = f"not signed, {pair.theirs}; {pair.by_cpu}"
                figures.append(Figure(what, str(pair.ours), beside, pair.ratio, at_least=at_least))
    return figures


def _signed(caller: Caller, kind: str, path: str) -> dict[str, str]:
    """Return the headers of a signature, which is good for as long as a run takes."""
    if kind == "the message":
        return over_message(caller.client_id, caller.secret, "GET", f"http://127.0.0.1{path}")
    return over_body(caller.secret)


def _only(caller: Caller, path: str, headers: dict[str, str]) -> Requests:
    made = request("GET", path, caller.headers["Authorization"], more=headers)
    return lambda _: made
