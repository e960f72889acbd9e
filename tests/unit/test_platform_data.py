"""Templates and what is made of them, as rules: what computed attributes are, and what keeps them from being."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.schemas import ListItemOut
from service.queries.extras import MAX_BYTES, NO_EXTRAS, AppExtras
from streams.domain.ids import ContextId
from streams.domain.items import Item, fragment
from streams.domain.templates import (
    ITEM_FIELDS,
    MAX_DEPTH,
    MAX_ITEM_FIELDS,
    MAX_TEXT,
    Attribute,
    Fault,
    ItemField,
    Value,
    computed,
    faults,
    fits,
    percent_encoded,
)
from tests.support.nodes import item

CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)


def made(template: str, *, encodes: bool = False, **values: Value) -> list[str | ItemField] | None:
    """Return what a template makes of values of requested attributes."""
    attributes = {name: Attribute() for name in values}
    found = computed({**attributes, "made": Attribute(template=template, encodes=encodes)}, values)
    return list(found["made"]) if "made" in found else None


def test_item_fields_are_those_that_are_served() -> None:
    """A template may refer to whatever field of an item a platform sees, but for what is made for platforms."""
    types = {field.name: _type(field.type) for field in msgspec.structs.fields(ListItemOut)}
    assert types == ITEM_FIELDS


def _type(declared: object) -> str:
    alternatives = getattr(declared, "__args__", (declared,))
    return "BOOLEAN" if bool in alternatives else "INTEGER" if int in alternatives else "STRING"


def test_the_example() -> None:
    """Text, what the app tells, and the item's own fields, in the order of the template."""
    assert made("app://{{custom_app_id}}/{{content_id}}", custom_app_id="a b") == [
        "app://",
        "a b",
        "/",
        ItemField("content_id", 0),
    ]
    encoded = made("app://{{custom_app_id}}/{{content_id}}", encodes=True, custom_app_id="a b/c")
    assert encoded == ["app://", "a%20b%2Fc", "/", ItemField("content_id", 1)]
    assert made("{{n}}{{yes}}{{no}}{}", n=-3, yes=True, no=False) == ["-3", "true", "false", "{}"]
    assert made("{{{a}}}", a="x") == ["{", "x", "}"]
    assert made("{{a}}", a="") == []


def test_what_has_no_value_has_no_value() -> None:
    """Where an app has not told what a template needs, the attribute is left out, and what needs that one too."""
    attributes = {
        "a": Attribute(),
        "b": Attribute(template="b{{a}}"),
        "c": Attribute(template="c{{b}}"),
        "d": Attribute(template="d"),
    }
    assert computed(attributes, {}) == {"d": ["d"]}
    assert computed(attributes, {"a": "A"}) == {"b": ["b", "A"], "c": ["c", "b", "A"], "d": ["d"]}
    assert faults(attributes) == []


def test_an_attribute_comes_before_an_item_s_field() -> None:
    """A platform that names an attribute like a field of items means its attribute."""
    assert made("{{title}}", title="T") == ["T"]
    assert made("{{title}}") == [ItemField("title", 0)]


def test_how_often_values_are_encoded() -> None:
    """Once by the template they are in, or by their own attribute, and once more by each template around that."""
    asked = {"plain": Attribute(), "encoded": Attribute(encodes=True)}
    values: dict[str, Value] = {"plain": "&", "encoded": "&"}
    inner, outer = "{{plain}}{{encoded}}{{title}}&", "{{inner}}"

    def of(*, inner_encodes: bool, outer_encodes: bool) -> list[str | ItemField]:
        attributes = {
            **asked,
            "inner": Attribute(template=inner, encodes=inner_encodes),
            "outer": Attribute(template=outer, encodes=outer_encodes),
        }
        return list(computed(attributes, values)["outer"])

    assert of(inner_encodes=False, outer_encodes=False) == ["&", "%26", ItemField("title", 0), "&"]
    assert of(inner_encodes=True, outer_encodes=False) == ["%26", "%26", ItemField("title", 1), "&"]
    assert of(inner_encodes=False, outer_encodes=True) == ["%26", "%2526", ItemField("title", 1), "%26"]
    assert of(inner_encodes=True, outer_encodes=True) == ["%2526", "%2526", ItemField("title", 2), "%26"]


@given(TEXTS, TEXTS)
def test_percent_encoding(text: str, other: str) -> None:
    """It can be undone, leaves nothing that means something in a URL, and may be done piece by piece."""
    encoded = percent_encoded(text)
    assert unquote(encoded, errors="strict") == text
    assert set(encoded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%")
    assert percent_encoded(text + other) == encoded + percent_encoded(other)


@given(st.lists(TEXTS, max_size=4), st.booleans())
def test_values_are_put_in_as_they_are(values: list[str], encodes: bool) -> None:
    """Nothing in a value is taken for a reference, and nothing of it is lost."""
    names = [f"v{number}" for number in range(len(values))]
    template = "".join(f"<{{{{{name}}}}}>" for name in names) or "<"
    parts = made(template, encodes=encodes, **dict(zip(names, values, strict=True)))
    assert parts is not None
    expected = "".join(f"<{percent_encoded(value) if encodes else value}>" for value in values) or "<"
    assert "".join(part for part in parts if isinstance(part, str)) == expected


@pytest.mark.parametrize(
    ("attribute", "code", "name"),
    [
        (Attribute(template="{{Title}}"), "malformed", ""),
        (Attribute(template="{{ title }}"), "malformed", ""),
        (Attribute(template="{{title"), "malformed", ""),
        (Attribute(template="title}}"), "malformed", ""),
        (Attribute(template="{{}}"), "malformed", ""),
        (Attribute(template="{{nobody}}"), "unknown", "nobody"),
        (Attribute(template="{{platform_data}}"), "unknown", "platform_data"),
        (Attribute(template="{{made}}"), "cycle", ""),
        (Attribute(template="{{title}}" * (MAX_ITEM_FIELDS + 1)), "too_long", ""),
        (Attribute("INTEGER", template="1"), "wrong_type", ""),
        (Attribute("INTEGER", template="{{title}}"), "wrong_type", ""),
        (Attribute("INTEGER", template="{{season}}{{episode}}"), "wrong_type", ""),
        (Attribute("BOOLEAN", template="{{position}}"), "wrong_type", ""),
    ],
)
def test_faults(attribute: Attribute, code: str, name: str) -> None:
    """Each fault is named, and what has one has no value, and does not keep others from theirs."""
    attributes = {"made": attribute, "other": Attribute(template="{{title}}")}
    assert [tuple(fault) for fault in faults(attributes)] == [("made", code, name)]
    assert computed(attributes, {}) == {"other": [ItemField("title", 0)]}


def test_types_that_fit() -> None:
    """A computed integer or flag is one reference to a value of its type, through others if need be."""
    attributes = {
        "age": Attribute("INTEGER"),
        "place": Attribute("INTEGER", template="{{position}}"),
        "from": Attribute("INTEGER", template="{{place}}"),
        "old": Attribute("INTEGER", template="{{age}}"),
        "gone": Attribute("BOOLEAN", template="{{hidden}}"),
        "url": Attribute("URL", template="app://{{age}}"),
    }
    assert faults(attributes) == []
    found = computed(attributes, {"age": 7})
    assert (found["from"], found["old"], found["url"]) == ([ItemField("position", 0)], ["7"], ["app://", "7"])
    for value_type, good, bad in (
        ("STRING", ["", "a"], [1, True]),
        ("URL", ["a:b", "https://a.example"], ["", "a", "a b:c", "a: b", 1]),
        ("INTEGER", [0, -1], [True, "1"]),
        ("BOOLEAN", [False, True], [0, "true"]),
    ):
        assert all(fits(value_type, value) for value in good)  # type: ignore[arg-type] # one of the four
        assert not any(fits(value_type, value) for value in bad)  # type: ignore[arg-type] # likewise


def test_circles() -> None:
    """However long they are, and whoever leads into one."""
    attributes = {
        "a": Attribute(template="{{b}}"),
        "b": Attribute(template="{{c}}"),
        "c": Attribute(template="{{a}}"),
        "into": Attribute(template="{{a}}"),
        "beside": Attribute(template="{{title}}"),
    }
    assert faults(attributes) == [Fault("c", "cycle", "")]
    assert list(computed(attributes, {})) == ["beside"]


def test_lines_that_double_each_other() -> None:
    """What a few templates would write a thousand times is refused, and is not written to find that out."""
    for text in ("{{title}}", "x" * 100, "{{asked}}", "{{asked}}{{asked}}" * 100):
        doubled = {f"a{n:02}": Attribute(template=f"{{{{a{n + 1:02}}}}}" * 400) for n in range(12)}
        attributes = {"asked": Attribute(), **doubled, "a12": Attribute(template=text)}
        for values in ({"asked": ""}, {"asked": "a"}):
            for parts in computed(attributes, values).values():
                assert sum(len(part) for part in parts if isinstance(part, str)) <= MAX_TEXT
                assert sum(isinstance(part, ItemField) for part in parts) <= MAX_ITEM_FIELDS
                assert len(parts) <= MAX_TEXT + MAX_ITEM_FIELDS


def test_long_lines_of_attributes() -> None:
    """Of attributes each of which refers to the next, as many as may be; a thousand are no bug."""
    for length, codes in ((MAX_DEPTH, []), (MAX_DEPTH + 1, ["too_long"]), (1_000, ["too_long"])):
        attributes = {f"a{n:04}": Attribute(template=f"{{{{a{n + 1:04}}}}}") for n in range(length - 1)}
        attributes[f"a{length - 1:04}"] = Attribute(template="end")
        assert sorted({fault.code for fault in faults(attributes)}) == codes


# As JSON


def item_of(**more: Any) -> Item:
    written = {name: value for name, value in {**item("a"), **more}.items() if value is not None}
    return msgspec.convert(written, Item)


def fragment_of(**more: Any) -> bytes:
    """Return the fragment of an item; fields given as None are not there."""
    return fragment(item_of(**more), ContextId(bytes(17)), "AP" + "0" * 41, 0, hidden=False)


def closed(extras: AppExtras, **more: Any) -> Any:
    """Return an item as it is served."""
    encoded = fragment_of(**more)
    return msgspec.json.decode(encoded + extras.closing(encoded))


@given(TEXTS, TEXTS, TEXTS, st.booleans(), st.data())
def test_whatever_the_texts_are_the_list_is_json(
    value: str, literal: str, title: str, encodes: bool, data: st.DataObject
) -> None:
    """Texts of the platform, of the app and of the item come out as they went in, percent-encoded where asked."""
    literal = literal.replace("{", "").replace("}", "")
    content_id = data.draw(st.text(st.characters(codec="utf-8", exclude_characters=CONTROLS), min_size=1, max_size=30))
    template = f"{literal}{{{{told}}}}|{{{{content_id}}}}|{{{{title}}}}|{{{{content_id}}}}"
    attributes = {"made": Attribute(template=template, encodes=encodes), "told": Attribute()}
    served = closed(AppExtras(attributes, {"told": value}, {}), content_id=content_id, title=title or "t")
    told, own, named = (percent_encoded(one) if encodes else one for one in (value, content_id, title or "t"))
    assert served["platform_data"] == {"made": f"{literal}{told}|{own}|{named}|{own}", "told": value}
    assert served["app_media"] == {}
    alone = AppExtras({"made": Attribute(template="{{content_id}}", encodes=encodes)}, {}, {})
    assert closed(alone, content_id=content_id)["platform_data"] == {"made": own}


def test_types_of_values() -> None:
    """Numbers and flags are numbers and flags, also computed ones; what is not of its type is as if not told."""
    attributes = {
        "age": Attribute("INTEGER"),
        "gone": Attribute("BOOLEAN", template="{{hidden}}"),
        "kids": Attribute("BOOLEAN"),
        "old": Attribute("INTEGER", template="{{age}}"),
        "place": Attribute("INTEGER", template="{{position}}", encodes=True),
        "url": Attribute("URL"),
        "wrong": Attribute("INTEGER"),
        "wronger": Attribute(template="{{wrong}}"),
    }
    values: dict[str, Value] = {"age": -3, "kids": True, "url": "a:b", "wrong": "3", "not_asked": "x", "old": "x"}
    data = closed(AppExtras(attributes, values, {}), position=7)["platform_data"]
    assert data == {"age": -3, "gone": False, "kids": True, "old": -3, "place": 7, "url": "a:b"}
    assert data["gone"] is False
    assert data["kids"] is True


def test_what_an_item_lacks_is_left_out() -> None:
    """An attribute made of a field that an item has not is not there; what is empty is."""
    attributes = {
        "all": Attribute(template="{{season}}{{title}}"),
        "empty": Attribute(template="{{description}}", encodes=True),
        "own": Attribute(template="{{content_id}}"),
    }
    extras = AppExtras(attributes, {}, {})
    assert closed(extras, description="")["platform_data"] == {"empty": "", "own": "a"}
    episode = closed(extras, media_type="tv_episode", season=2, episode=1, title="T")
    assert episode["platform_data"] == {"all": "2T", "empty": "A%20film%20about%20a%20list.", "own": "a"}


def test_as_much_as_fits() -> None:
    """Attributes of up to 16 KiB for an item, the first of them; one byte more, and one of them is left out."""
    for more, names in ((0, ["a", "b", "c"]), (1, ["a", "b"])):
        attributes = {"a": Attribute(template="{{title}}"), "b": Attribute(), "c": Attribute()}
        fixed = len('"a":"x","b":"","c":""')
        values: dict[str, Value] = {"b": "b" * 100, "c": "c" * (MAX_BYTES - 100 - fixed + more)}
        extras = AppExtras(attributes, values, {"icon_1x": "https://m.example/1"})
        served = closed(extras, title="x")
        assert list(served["platform_data"]) == names
        assert served["app_media"] == {"icon_1x": "https://m.example/1"}


@pytest.mark.parametrize("levels", range(1, 6))
def test_what_is_encoded_again_and_again(levels: int) -> None:
    """Each level encodes what the one before has written."""
    attributes = {"a0": Attribute(template="{{title}}", encodes=True)}
    for n in range(1, levels):
        attributes[f"a{n}"] = Attribute(template=f"{{{{a{n - 1}}}}}", encodes=True)
    expected = '\u00e4 "/%\u20ac'
    for _ in range(levels):
        expected = percent_encoded(expected)
    served = closed(AppExtras(attributes, {}, {}), title='\u00e4 "/%\u20ac')
    assert served["platform_data"][f"a{levels - 1}"] == expected


def test_the_worst_templates_cost_a_page_little() -> None:
    """Long texts, encoded 16 times over or put in 1,600 times: what does not fit is not written first."""
    chain = {"a00": Attribute(template="{{description}}", encodes=True)}
    for n in range(1, 16):
        chain[f"a{n:02}"] = Attribute(template=f"{{{{a{n - 1:02}}}}}", encodes=True)
    many = {f"a{n:02}": Attribute(template="{{description}}" * 16) for n in range(100)}
    for attributes in (chain, many):
        assert not faults(attributes)
        extras = AppExtras(attributes, {}, {})
        page = [fragment_of(description=f"{n}" + "\u20ac" * 4_090) for n in range(200)]
        tracemalloc.start()
        try:
            served = [extras.closing(one) for one in page[:2]]
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most_bytes < 1 << 20
        assert served == [b',"platform_data":{},"app_media":{}}'] * 2
        began = time.process_time()
        for one in page:
            extras.closing(one)
        assert time.process_time() - began < 1  # of CPU: it was 2 s and more, and is some 50 ms


def test_tags() -> None:
    """Whatever changes what readers see changes the tag, and nothing else does."""

    def tag(template: str = "{{title}}", *, told: str = "1", media: str = "m", encodes: bool = False) -> str:
        attributes = {"made": Attribute(template=template, encodes=encodes), "told": Attribute()}
        return AppExtras(attributes, {"told": told, "not_asked": str(encodes)}, {"icon_1x": media}).tag

    assert tag() == tag()
    others = [
        tag("{{content_id}}"),
        tag("{{title}}{{title}}"),
        tag(told="2"),
        tag(media="n"),
        tag(encodes=True),
        NO_EXTRAS.tag,
    ]
    assert len({tag(), *others}) == len(others) + 1
    # What is required of apps is nothing that readers see.
    assert AppExtras({"told": Attribute(required=True)}, {}, {}).tag == NO_EXTRAS.tag


def test_what_is_the_same_for_all_items_is_written_once() -> None:
    """Only where an attribute is made of an item's own fields is there anything to do for each item."""
    attributes = {"link": Attribute(template="app://{{told}}"), "told": Attribute()}
    assert AppExtras(attributes, {"told": "x"}, {}).end == (
        b',"platform_data":{"link":"app://x","told":"x"},"app_media":{}}'
    )
    assert NO_EXTRAS.end == b',"platform_data":{},"app_media":{}}'
    assert AppExtras({"made": Attribute(template="{{title}}")}, {}, {}).end is None
