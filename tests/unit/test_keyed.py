"""What a request with an idempotency key derives its ids from."""

from __future__ import annotations

from service.commands.keyed import KeyIds

SECRET, KEY_ID = b"s" * 32, b"k" * 17


def test_events_have_ids_of_their_log_and_generation() -> None:
    """After a move offsets begin anew, and the folds still know the events that came along. What is made stays."""
    keyed = [
        KeyIds(SECRET, log).keyed("k", KEY_ID, generation)
        for log, generation in (("log", 7), ("log", 7), ("log", 8), ("other", 7))
    ]
    assert keyed[0] == keyed[1]
    assert len({one.event_id() for one in keyed}) == 3
    assert {one.stem for one in keyed} == {keyed[0].stem}
