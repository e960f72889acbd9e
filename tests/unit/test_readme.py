"""The pages that people write say what is there: paths, modules, sections, metrics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from service.adapters.node_metrics import NodeCollector
from service.adapters.webhook_metrics import WebhookCollector
from service.http.forward import ForwardMetrics
from service.http.idempotency import KeyMetrics
from service.http.internal_connections import InternalRunner
from service.http.metrics import HttpMetrics
from service.http.past import AuditMetrics
from service.http.rate_limits import RateLimits
from service.http.repairs import RepairMetrics
from service.webhooks.deliverer import Counts
from service.webhooks.lanes import Lanes
from streams.status import NodeStatus, ProcessorStatus

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"))
)
PACKAGES = ("streams", "service")
PATH = re.compile(r"`((?:streams|service|tests|bench|docs)/[\w./-]*)")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
SECTION = re.compile(r"(docs/\w+\.md), \"([^\"]+)\"")


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def tree() -> Iterator[str]:
    """Yield the paths that the README's map names."""
    (block,) = re.findall(r"```text\n(streams/.*?)```", read("README.md"), re.DOTALL)
    package = ""
    for line in block.splitlines():
        indented, name = line.startswith(" "), line.split()[0]
        package = package if indented else name
        yield package + name if indented else name


def anchors(page: str) -> set[str]:
    """Return what links can lead to within a page, as GitHub has it."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_names_what_is_there() -> None:
    """No path of the README's map leads nowhere, and none is there twice."""
    named = list(tree())
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert len(named) == len(set(named))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_names_every_module(package: str) -> None:
    """Whoever adds a module or a package to the top of the tree says what it is for."""
    there = {
        f"{package}/{path.name}{'/' if path.is_dir() else ''}"
        for path in (ROOT / package).iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.name != "__init__.py"
    }
    assert {path for path in tree() if path.startswith(f"{package}/") and path != f"{package}/"} == there


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_links_lead_somewhere(page: str) -> None:
    """What a page names in the tree is there, and so is what it links to, section and all."""
    assert [path for path in PATH.findall(read(page)) if not (ROOT / path).exists()] == []
    for target, section in LINK.findall(read(page)):
        found = (ROOT / page).parent / target if target else ROOT / page
        assert found.exists(), target
        if section:
            assert section in anchors(found.resolve().relative_to(ROOT).as_posix()), f"{target}#{section}"


def test_sections_that_docstrings_name_are_there() -> None:
    """A source that is given as a page and a section can be read."""
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    named = {found for path in modules for found in SECTION.findall(path.read_text(encoding="utf-8"))}
    assert named
    for page, section in named:
        assert re.search(rf"^#+ {re.escape(section)}$", read(page), re.MULTILINE), f"{page}, {section}"


def test_every_metric_is_explained() -> None:
    """An operator finds each metric of the node by its name, and none that is not there."""
    processor = ProcessorStatus("contexts", {"topic": 0}, 0, 0, 0, {"gap": 0}, 0, 0, 0, 0, 0.0, 0)
    status = NodeStatus(
        ready=True,
        writes=0,
        write_failures=0,
        silent_s=0.0,
        registry_objects=0,
        registry_lag_s=0.0,
        processors=(processor,),
    )
    registry = CollectorRegistry()
    registry.register(NodeCollector(lambda: status))
    HttpMetrics(registry)
    ForwardMetrics(registry)
    AuditMetrics(registry)
    RepairMetrics(registry)
    InternalRunner(web.Application(), registry)
    KeyMetrics(registry)
    registry.register(RateLimits())
    registry.register(WebhookCollector(Counts(), Lanes()))
    there = {f"{m.name}_total" if m.type == "counter" else m.name for m in registry.collect()}
    assert set(re.findall(r"`(upnext_\w+)`", read("docs/operations.md"))) == there


def test_every_test_module_has_a_name_of_its_own() -> None:
    """They are imported by it: two of one name, in whatever directories, cannot be collected together."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
