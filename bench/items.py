"""Items as publishers would write them: about 700 bytes of plausible text."""

from __future__ import annotations

import random
from typing import Any

import orjson


def _words(text: str) -> tuple[str, ...]:
    """Return the words of *text*; a dash in one is a space."""
    return tuple(word.replace("-", " ") for word in text.split())


_WHAT_KIND = _words("""
    abandoned ambitious anxious arrogant bankrupt bewildered bitter blind brilliant careless charming clumsy corrupt
    cynical devoted disgraced dying elderly estranged exhausted exiled famous fearless forgetful forgotten former
    frightened gentle gifted grieving heartbroken homesick honest impatient jealous lonely lost mute naive nervous
    notorious obsessive orphaned overworked penniless pregnant proud reckless reclusive reformed restless retired
    ruthless sceptical shy sleepless stubborn superstitious tired uncertain unlucky vengeful wealthy widowed young
""")
_WHO = _words("""
    accountant actress architect astronomer baker barber beekeeper bookseller boxer bricklayer butcher captain
    carpenter cartographer cellist chef clerk coroner courier cowboy dancer dentist detective diplomat diver doctor
    driver editor engineer farmer fisherman florist forger gambler gardener governess guard gunsmith hermit hunter
    innkeeper interpreter janitor jeweller journalist judge knight lawyer librarian lifeguard locksmith magician
    mechanic midwife miner minister nun nurse painter pharmacist photographer pilot plumber poet postman priest
    professor projectionist psychiatrist sailor sculptor secretary senator shepherd singer smuggler soldier surgeon
    swimmer tailor taxidermist teacher thief translator trapper violinist waiter watchmaker weaver welder writer
""")
_DOES = _words("""
    abandons accuses adopts bargains-with befriends betrays blackmails buries chases commands confronts consoles
    copies deceives defends defies destroys discovers distrusts employs escapes exposes fears finds follows forgives
    forgets guards haunts helps hides hires hunts imitates impersonates inherits interrogates invents invites joins
    kidnaps leaves loses loves marries meets mistakes misses murders needs obeys outwits overhears paints persuades
    protects questions raises recognises rebuilds recruits refuses remembers repairs replaces rescues robs saves
    searches-for seduces shelters silences smuggles steals studies summons teaches tempts threatens tracks trains
    trusts visits warns
""")
_WHERE = _words("""
    Aberdeen Antwerp Athens Bergen Berlin Bilbao Bologna Boston Bruges Bucharest Budapest Cadiz Cairo Calcutta
    Chicago Copenhagen Cork Dakar Damascus Dresden Dublin Edinburgh Galway Gdansk Geneva Genoa Glasgow Granada
    Hamburg Havana Helsinki Istanbul Jaipur Kiev Krakow Lagos Leipzig Lima Lisbon Liverpool London Lyon Macau Madrid
    Malmo Manchester Marseille Melbourne Memphis Milan Montreal Naples Odessa Oslo Palermo Porto Prague Quebec Riga
    Rome Rotterdam Salzburg Santiago Seville Shanghai Sofia Tallinn Tangier Tbilisi Trieste Turin Utrecht Valencia
    Venice Vienna Zagreb
""")
_WHEN = _words("""
    after-the-flood after-the-funeral after-the-war at-carnival at-dawn at-harvest-time at-midnight
    before-the-election before-the-storm before-the-trial between-two-trains by-mistake during-a-heatwave
    during-an-eclipse during-the-blackout during-the-drought during-the-siege for-one-last-time for-the-money
    in-a-single-night in-disguise in-exile in-prison in-secret in-the-last-winter-of-the-century in-the-off-season
    on-a-dare on-a-night-train on-christmas-eve on-the-eve-of-the-revolution on-the-last-day-of-summer
    on-their-honeymoon out-of-boredom out-of-spite over-a-long-weekend through-no-fault-of-anybody
    under-a-false-name under-oath while-the-city-sleeps with-nothing-to-lose without-a-word without-knowing-it
""")
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
    one, other = (f"{source.choice(_WHAT_KIND)} {source.choice(_WHO)}" for _ in range(2))
    return f"The {one} {source.choice(_DOES)} the {other} from {source.choice(_WHERE)} {source.choice(_WHEN)}."


def body(source: random.Random, content_id: str) -> dict[str, Any]:
    """Return an item's body, about 700 bytes as JSON."""
    name = f"{source.getrandbits(48):012x}"
    duration = source.randrange(1_200, 7_800)
    return {
        "content_id": content_id,
        "media_type": "tv_episode",
        "action": "up_next_continue",
        "title": f"{source.choice(_TITLES)} of {source.choice(_WHERE)}",
        "description": " ".join(sentence(source) for _ in range(4)),
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
