"""Items as publishers would write them: about 700 bytes of plausible text."""

from __future__ import annotations

import random
from typing import Any

import orjson

_WHO = (
    "a retired detective", "two estranged sisters", "the youngest lighthouse keeper", "an ambitious chef",
    "a night nurse", "the last projectionist in town", "three old friends", "a runaway violinist",
    "an honest politician", "the new teacher", "a stubborn farmer", "a forgetful spy", "the mayor's daughter",
    "an unlucky diver", "a young cartographer",
)  # fmt: skip
_DOES = (
    "uncovers a secret that the whole village has kept", "must choose between the family and the sea",
    "finds letters that were never meant to be read", "takes one last job before the winter comes",
    "falls for the only person who cannot be trusted", "returns home after twenty years abroad",
    "builds a machine that nobody asked for", "learns what the neighbours have known all along",
    "loses everything in a single night and starts again", "crosses the mountains with a stranger's child",
)  # fmt: skip
_WHERE = (
    "on a windswept island", "in the back streets of Lisbon", "during the longest summer on record",
    "behind a small-town cinema", "at the edge of the desert", "in a city that never quite wakes up",
    "along the old railway line", "between two elections",
)  # fmt: skip
_TITLES = (
    "The Colt",
    "Low Water",
    "A Second Winter",
    "Harbour Lights",
    "The Long Way Down",
    "Paper Boats",
    "Nobody's Orchard",
)


def sentence(source: random.Random) -> str:
    """Return one sentence of a synopsis."""
    return f"{source.choice(_WHO)} {source.choice(_DOES)} {source.choice(_WHERE)}.".capitalize()


def body(source: random.Random, content_id: str) -> dict[str, Any]:
    """Return an item's body, about 700 bytes as JSON."""
    name = f"{source.getrandbits(48):012x}"
    duration = source.randrange(1_200, 7_800)
    return {
        "content_id": content_id,
        "media_type": "tv_episode",
        "action": "up_next_continue",
        "title": source.choice(_TITLES),
        "description": " ".join(sentence(source) for _ in range(3)),
        "season": source.randrange(1, 12),
        "episode": source.randrange(1, 24),
        "poster_art_uri": f"https://images.example/{name}/poster/landscape.png",
        "poster_art_aspect_ratio": "aspect_ratio_16_9",
        "preview_video_uri": f"https://video.example/{name}/preview.m3u8",
        "position": source.randrange(duration),
        "duration": duration,
        "hidden": False,
    }


def encoded(source: random.Random, content_id: str) -> bytes:
    """Return an item's body as bytes."""
    return orjson.dumps(body(source, content_id))
