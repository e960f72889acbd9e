"""The second factor: codes of six digits from a secret that the user's device shares with the service."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Protocol

import pyotp
from msgspec.structs import replace

from service.api.people import Credentials, Person
from service.api.resource import Entropy

ISSUER = "UpNext"
STEP_S = 30
CODE_PATTERN = "^[0-9]{6}$"
_SECRET_BYTES = 20
_WINDOW = (-1, 0, 1)
"""Steps around now whose codes are taken: clocks differ, and typing takes time."""


class SecretVault(Protocol):
    """Keeps secrets that must be read back."""

    def seal(self, clear: str, purpose: str) -> str:
        """Return *clear* encrypted, to be opened for the same purpose alone."""

    def open(self, sealed: str, purpose: str) -> str:
        """Return what was sealed for this purpose; raise `ValueError` where that cannot be told."""


class SecondFactors:
    """Makes secrets and checks codes; what it returns is to be stored."""

    def __init__(self, vault: SecretVault, now_s: Callable[[], int], entropy: Entropy) -> None:
        """Take what keeps secrets, Unix time, and randomness."""
        self._vault, self._now_s, self._entropy = vault, now_s, entropy

    def enrol(self, person: Person) -> tuple[Credentials, str]:
        """Return the credentials with a new secret that waits for its first code, and its `otpauth` URI."""
        secret = base64.b32encode(self._entropy(_SECRET_BYTES)).decode("ascii")
        uri = pyotp.TOTP(secret).provisioning_uri(name=person.user.fields["username"], issuer_name=ISSUER)
        return replace(person.credentials, pending=self._vault.seal(secret, _purpose(person))), uri

    def confirm(self, person: Person, code: str) -> Credentials | None:
        """Return the credentials with the waiting secret in force; None where the code is wrong, or none waits."""
        credentials = person.credentials
        step = self._step(person, credentials.pending, code, after=0)
        if step is None:
            return None
        return replace(credentials, secret=credentials.pending, pending=None, step=step)

    def use(self, person: Person, code: str) -> Credentials | None:
        """Return the credentials with this code used up; None where it is wrong, or was used before."""
        step = self._step(person, person.credentials.secret, code, after=person.credentials.step)
        return None if step is None else replace(person.credentials, step=step)

    def _step(self, person: Person, sealed: str | None, code: str, *, after: int) -> int | None:
        """Return the step that the code is of."""
        secret = self._opened(person, sealed)
        if secret is None:
            return None
        totp, now = pyotp.TOTP(secret), self._now_s() // STEP_S
        shown = code.encode("utf-8", "surrogatepass")
        found = None
        for step in (now + offset for offset in _WINDOW):
            if hmac.compare_digest(totp.generate_otp(step).encode(), shown) and step > after:
                found = step
        return found

    def _opened(self, person: Person, sealed: str | None) -> str | None:
        try:
            return None if sealed is None else self._vault.open(sealed, _purpose(person))
        except ValueError:
            return None


def _purpose(person: Person) -> str:
    """Return what a secret is sealed for: moved to another user, it cannot be opened."""
    return f"second factor of {person.user.id}"
