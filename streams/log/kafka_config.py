"""How Kafka is reached."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.domain.errors import RefusedStartError


@dataclass(frozen=True)
class KafkaConfig:
    """Where the brokers are, how to log in, and how long to wait for them."""

    bootstrap: str
    """`host:port`, several separated by commas."""
    security_protocol: str = "PLAINTEXT"
    """`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`."""
    sasl_mechanism: str = "PLAIN"
    """`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`."""
    sasl_username: str | None = None
    sasl_password: str | None = None
    tls_ca: str | None = None
    """File of the authorities that signed the brokers' certificates; the system's where there is none."""
    tls_certificate: str | None = None
    tls_key: str | None = None
    append_limit_s: float = 4.5
    """How long an append may wait for its acknowledgement, and a question for its answer."""
    claim_limit_s: float = 15.0
    """How long a claim may wait for its epoch: a cluster's first one makes the coordinator's topic."""
    start_limit_s: float = 60.0
    """How long a start may wait for the brokers."""
    compacted_within_s: float = 21_600.0
    """How long what was overwritten or erased may stay in a topic that is compacted."""
    tombstones_kept_s: float = 10_800.0
    """How long changelogs keep the keys of rows that were deleted, for whoever has not read them yet."""
    replication: int | None = None
    """Copies of each topic; where not said: 3 where there are as many brokers, else 1."""

    def client_options(self) -> dict[str, Any]:
        """
        Return what every client of aiokafka takes of this.

        Raises:
            RefusedStartError: A TLS file cannot be read.
        """
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security_protocol}
        if self.security_protocol.startswith("SASL_"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self.tls_context()
        return options

    def tls_context(self) -> ssl.SSLContext:
        """Return the TLS context of this; raise `RefusedStartError` where a file cannot be read."""
        try:
            for name in (self.tls_ca, self.tls_certificate, self.tls_key):
                if name:
                    Path(name).read_bytes()  # whose error names the file
            context = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_certificate:
                context.load_cert_chain(self.tls_certificate, self.tls_key)
        except OSError as error:
            raise RefusedStartError(f"The TLS files of Kafka cannot be read: {error}.") from error
        return context
