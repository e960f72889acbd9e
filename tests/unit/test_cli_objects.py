"""`upnext get`, `apply` and `history`, against a node: what they print, what they write, how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from service.cli import main
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.nodes import ADMIN_TOKEN
from tests.support.people import logged_in, make_company, make_user

ACME = """
# Everything refers to what comes later.
type: clients
context: acme
id: writer
name: Writer
tenant: $play
---
- {type: apps, context: acme, id: $play, name: Play}
- {type: platforms, context: acme, id: $tv, name: TV, regions: [NO, SE]}
---
---
type: companies
id: acme
name: Acme
country: NO
"""
LACKS = "    warning: App {} lacks icons that platforms show: icon@1x, icon@2x, icon@3x"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path / "log") as log, api_node(log) as node:
        yield node


async def upnext(node: ApiNode, *words: str, typed: str = "", **env: str | None) -> Result:
    """Run a command in a thread, while the node answers it."""
    env = {"UPNEXT_URL": node.url, "UPNEXT_TOKEN": ADMIN_TOKEN, **env}
    return await asyncio.to_thread(CliRunner().invoke, main, words, input=typed, env=env)


async def done(node: ApiNode, *words: str, **more: Any) -> Result:
    result = await upnext(node, *words, **more)
    assert result.exit_code == 0, result.output
    return result


async def test_a_file_as_one_transaction(node: ApiNode) -> None:
    """It is one event; what is made is said, and secrets this once; again it changes nothing."""
    events = await node.events()
    made = await done(node, "apply", "-f", "-", typed=ACME)
    assert await node.events() == events + 1
    assert made.stderr == "upnext: 4 created, 0 updated, 0 unchanged\n"
    lines = made.stdout.splitlines()
    assert lines[0] == 'created    clients writer "Writer"'
    assert lines[1].startswith("    secretKey: sk_")
    assert lines[-1] == 'created    companies acme "Acme"'
    (client,) = (await node.admin.ok("GET", "/api/v1/clients?context=acme")).json["results"]
    assert client["tenant"]["id"].startswith("AP")
    assert (await node.admin.ok("GET", "/api/v1/companies/acme")).json["country"] == "NO"
    again = await done(node, "apply", "-f", "-", typed=ACME)
    assert again.stderr == "upnext: 0 created, 0 updated, 4 unchanged\n"
    assert "secretKey" not in again.stdout
    assert await node.events() == events + 1


async def test_a_dry_run(node: ApiNode, tmp_path: Path) -> None:
    """It says the differences, field by field, writes nothing, and ends with 3; with 0 where there are none."""
    file = tmp_path / "acme.yaml"
    file.write_text(ACME)
    events = await node.events()
    would = await upnext(node, "apply", "-f", str(file), "--dry-run")
    assert (would.exit_code, await node.events()) == (3, events)
    assert would.stdout.splitlines()[:4] == [
        "+ clients writer",
        '    name: null → "Writer"',
        '    objectState: null → "ACTIVE"',
        "    tenant: null → $play",
    ]
    assert would.stderr == "upnext: would be: 4 created, 0 updated, 0 unchanged\n"
    assert f"{LACKS.format('$play')}\n+ platforms $tv\n" in would.stdout
    made = (await done(node, "apply", "-f", str(file))).stdout
    app = (await node.admin.ok("GET", "/api/v1/apps?context=acme")).json["results"][0]["id"]
    assert f'created    apps {app} "Play"\n{LACKS.format(app)}\n' in made
    assert (await done(node, "apply", "-f", str(file), "--dry-run")).stdout == ""
    file.write_text(ACME.replace("regions: [NO, SE]", "regions: [NO]").replace("name: Acme\n", "name: Ácme\n"))
    would = await upnext(node, "apply", "-f", str(file), "--dry-run")
    platform = (await node.admin.ok("GET", "/api/v1/platforms?context=acme")).json["results"][0]["id"]
    assert would.exit_code == 3
    assert would.stdout.splitlines() == [
        f"~ platforms {platform}",
        '    regions: ["NO", "SE"] → ["NO"]',
        "~ companies acme",
        '    name: "Acme" → "Ácme"',
    ]
    in_json = await upnext(node, "apply", "-f", str(file), "--dry-run", "-o", "json")
    assert (in_json.exit_code, [one["action"] for one in json.loads(in_json.stdout)]) == (
        3,
        ["UNCHANGED", "UNCHANGED", "UPDATED", "UPDATED"],
    )


async def test_what_get_prints_can_be_applied(node: ApiNode) -> None:
    """In JSON and in YAML, of every type that was made; it changes nothing."""
    await done(node, "apply", "-f", "-", typed=ACME)
    events = await node.events()
    for output in ("json", "yaml"):
        for kind, context in (("companies", ()), ("apps", ("--context", "acme")), ("clients", ("--context", "acme"))):
            got = await done(node, "get", kind, *context, "-o", output)
            applied = await done(node, "apply", "-f", "-", typed=got.stdout)
            assert applied.stderr == "upnext: 0 created, 0 updated, 1 unchanged\n"
    assert await node.events() == events
    assert yaml.safe_load(got.stdout)[0]["type"] == "clients"


async def test_all_pages_and_some_ids(node: ApiNode) -> None:
    """All objects are printed, however many; HIDDEN ones where they are asked for, or named."""
    company = await make_company(node)
    here = ("--context", company)
    names = [f"n{number:04}" for number in range(1_005)]
    for start in (0, 1_000):
        objects = [{"name": name} for name in names[start : start + 1_000]]
        await node.admin.ok("POST", f"/api/v1/apps?context={company}", objects)
    got = json.loads((await done(node, "get", "apps", *here, "--output", "json")).stdout)
    assert [one["name"] for one in got] == names
    first, second = got[0]["id"], got[1]["id"]
    await node.admin.ok("POST", f"/api/v1/apps/{first}?context={company}", {"objectState": "HIDDEN"})
    assert len((await done(node, "get", "apps", *here)).stdout.splitlines()) == 1 + 1_004
    assert len((await done(node, "get", "apps", *here, "--include-hidden")).stdout.splitlines()) == 1 + 1_005
    two = await done(node, "get", "apps", second, first, *here)
    head, *lines = two.stdout.splitlines()
    assert head.split() == ["ID", "NAME", "STATE", "UPDATED"]
    assert [line.split()[:3] for line in lines] == [[second, "n0001", "ACTIVE"], [first, "n0000", "HIDDEN"]]


async def test_names_that_a_terminal_would_obey(node: ApiNode) -> None:
    """What would move the cursor, clear the screen or turn a line around is printed as JSON writes it."""
    name = "A\x1b[2J\n\x7f\x9b\u2028\u202e \U0001f468\u200d\U0001f469 é"
    shown = "A\\u001b[2J\\n\\u007f\\u009b\\u2028\\u202e \U0001f468\u200d\U0001f469 é"
    applied = await done(node, "apply", "-f", "-", typed=json.dumps({"type": "companies", "id": "acme", "name": name}))
    assert applied.stdout == f'created    companies acme "{shown}"\n'
    (line,) = (await done(node, "get", "companies")).stdout.splitlines()[1:]
    assert f"  {shown}  " in line
    assert f'name: null → "{shown}"' in (await done(node, "history", "companies", "acme")).stdout
    assert json.loads((await done(node, "get", "companies", "-o", "json")).stdout)[0]["name"] == name


async def test_history(node: ApiNode) -> None:
    """Newest first, in words and for programs."""
    await done(node, "apply", "-f", "-", typed=ACME)
    await done(node, "apply", "-f", "-", typed="{type: companies, id: acme, name: B, contactEmail: a@b.example}")
    said = (await done(node, "history", "companies", "acme")).stdout.splitlines()
    assert said[0].split() == ["TIME", "VERSION", "USER", "CHANGE"]
    assert said[1].split()[1:] == ["2", "superuser", "name:", '"Acme"', "→", '"B"']
    assert said[2].split() == ["contactEmail:", "null", "→", '"a@b.example"']
    in_json = json.loads((await done(node, "history", "companies", "acme", "--output", "json")).stdout)
    assert [event["version"] for event in in_json] == [2, 1]
    assert yaml.safe_load((await done(node, "history", "companies", "acme", "-o", "yaml")).stdout)[1]["version"] == 1


async def test_a_long_history(node: ApiNode) -> None:
    """All of it is printed, which is more than one page."""
    for number in range(103):
        await node.admin.ok("PUT", "/api/v1/companies/acme", {"name": f"N{number}"})
    printed = json.loads((await done(node, "history", "companies", "acme", "--output", "json")).stdout)
    assert [event["version"] for event in printed] == list(range(103, 0, -1))


async def test_who_asks(node: ApiNode, tmp_path: Path) -> None:
    """The token comes from the variable or a file, never from the command line; it may be a user's."""
    company = await make_company(node)
    await make_user(node, "ann", {company: "VIEWER"})
    ann = (await logged_in(node, "ann")).headers["Authorization"].removeprefix("Bearer ")
    file = tmp_path / "token"
    file.write_text(f"{ann}\n")
    words = ("get", "companies", "-o", "json")
    seen = await done(node, *words, "--token-file", str(file), UPNEXT_TOKEN=None)
    assert [one["id"] for one in json.loads(seen.stdout)] == [company]
    for more, env, status, said in (
        ((), {"UPNEXT_TOKEN": None}, 2, "Give --token-file, or set UPNEXT_TOKEN"),
        (("--token-file", str(tmp_path / "absent")), {}, 1, "There is no token in"),
        (("--token", "x"), {}, 2, "No such option"),
        ((), {"UPNEXT_TOKEN": "wrong"}, 1, "The node refuses with 401: A valid token is required"),
        (("--url", "http://127.0.0.1:1"), {}, 1, "does not answer"),
    ):
        result = await upnext(node, *words, *more, **env)
        assert (result.exit_code, result.stdout) == (status, ""), result.output
        assert said in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: apps\nname: [", "standard input, line"),
        ("type: apps\nname: A\nname: B", "standard input, line 3: name is given twice."),
        ('{"type": "apps", "name": "A", "name": "B"}', "standard input: name is given twice."),
        ("name: A", "standard input: object 1 is no object with a type, as type: apps."),
        ("- type: companies\n- words", "standard input: object 2 is no object with a type"),
        ("type: companies", "The node refuses with 400: object 1: name is required."),
        ("[{type: companies, name: A}, {type: nothing}]", "object 2: type must be the type of the object"),
        ("type: apps\nname: A", "object 1: An object of the type apps must say its context"),
    ],
)
async def test_what_cannot_be_applied(node: ApiNode, text: str, said: str) -> None:
    """One last line says what is wrong and where; nothing is written, and the status is 1."""
    events = await node.events()
    result = await upnext(node, "apply", "-f", "-", typed=text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr.splitlines()[-1], result.stderr
    assert await node.events() == events


async def test_files_that_are_not_there(node: ApiNode, tmp_path: Path) -> None:
    """A file is named that cannot be read; none is named at all; several are one transaction."""
    absent = await upnext(node, "apply", "-f", str(tmp_path / "absent.yaml"))
    assert (absent.exit_code, "absent.yaml cannot be read" in absent.stderr) == (1, True)
    assert (await upnext(node, "apply")).exit_code == 2
    company, app = tmp_path / "company.json", tmp_path / "app.yaml"
    company.write_text(json.dumps({"type": "companies", "id": "acme", "name": "Acme \U0001f3ac"}))
    app.write_text("type: apps\nname: '12:30'\ndescription: 2024-02-16\n")
    events = await node.events()
    await done(node, "apply", "-f", str(app), "-f", str(company), "--context", "acme")
    assert await node.events() == events + 1
    (made,) = (await node.admin.ok("GET", "/api/v1/apps?context=acme")).json["results"]
    assert (made["name"], made["description"]) == ("12:30", "2024-02-16")


async def test_help_has_examples() -> None:
    """Whoever asks a command for help is shown how it is used."""
    for command in ("get", "apply", "history"):
        said = CliRunner().invoke(main, [command, "--help"]).output
        assert f"  upnext {command} " in said.partition("Examples:")[2]
        assert "Exit status: 0" in said
