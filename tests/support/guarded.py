"""A broker that wants a password or a certificate, encrypts, and lets nobody do more than they have a right to."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from streams.log.kafka import KafkaConfig
from streams.topics import topic_specs
from tests.support.certificates import Authority
from tests.support.kafka import Broker

USER, PASSWORD = "upnext", "pass word"
PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
GUEST = "guest"
"""Who may log in with the same password, and do nothing."""
NODE, OF_CERTIFICATE = f"User:{USER}", "User:CN=client"
"""A node as the broker calls it, by how it logs in."""
LITERAL, PREFIXED = 3, 4
ALLOW = 3
TOPIC, GROUP, TRANSACTIONAL_ID = 2, 3, 5
READ, WRITE, CREATE, DELETE, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 5, 6, 8, 10
SOURCES = [spec.name for spec in topic_specs(1) if not spec.name.startswith("upnext-")]
RIGHTS = (
    *(
        (TOPIC, name, pattern, operation)
        for name, pattern in (*((name, LITERAL) for name in SOURCES), ("upnext-", PREFIXED), ("t-", PREFIXED))
        for operation in (READ, WRITE, CREATE, DESCRIBE, DELETE, DESCRIBE_CONFIGS)
    ),
    (GROUP, "upnext-v", PREFIXED, READ),
    *((TRANSACTIONAL_ID, name, PREFIXED, WRITE) for name in ("upnext-v", "t-")),
)
"""
What a node needs, and tests whose topics begin with `t-`.

Source:
    docs/operations.md, "Kafka".
"""
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


class Guarded:
    """A broker with a listener for each way of logging in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory, "authority")
        self.stranger = Authority(directory, "stranger")
        server = self.authority.sign("server")
        self.authority.sign("client")
        self.stranger.sign("intruder")
        protocols = {"PASSWORD": "SASL_PLAINTEXT", "TLS": "SSL", "BOTH": "SASL_SSL"}
        self._protocols = protocols
        self.broker = Broker(
            directory / "broker",
            listeners=protocols,
            settings={
                "listener.name.password.sasl.enabled.mechanisms": "PLAIN",
                "listener.name.both.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
                "listener.name.password.plain.sasl.jaas.config": f"{PLAIN_MODULE} required "
                f'user_{USER}="{PASSWORD}" user_{GUEST}="{PASSWORD}";',
                "listener.name.both.scram-sha-256.sasl.jaas.config": f"{SCRAM_MODULE} required;",
                "listener.name.both.scram-sha-512.sasl.jaas.config": f"{SCRAM_MODULE} required;",
                "listener.name.tls.ssl.client.auth": "required",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                # The broker itself, and tests that come by its own listener.
                "super.users": "User:ANONYMOUS",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": server,
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.authority.certificate,
            },
            format_flags=[
                flag
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for flag in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
            ],
        )

    def start(self) -> None:
        """Start the broker, and give a node its rights."""
        self.broker.start()
        asyncio.run(self._give())

    async def _give(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        await admin.start()
        try:
            for who, (kind, name, pattern, operation) in itertools.product((NODE, OF_CERTIFICATE), RIGHTS):
                given = CreateAclsRequest(kind, name, pattern, who, "*", operation, ALLOW)
                answer = await admin._send_request(given)
                assert [code for code, _ in answer.creation_responses] == [0], answer
        finally:
            await admin.close()

    def config(self, listener: str, **changed: Any) -> KafkaConfig:
        options: dict[str, Any] = {
            "security_protocol": self._protocols[listener],
            "start_limit_s": 1,
            "append_limit_s": 2,
        }
        if listener != "PASSWORD":
            options["tls_ca"] = str(self.authority.certificate)
        if listener == "TLS":
            options |= {"tls_certificate": self.file("client.crt"), "tls_key": self.file("client.key")}
        else:
            options |= {"sasl_username": USER, "sasl_password": PASSWORD}
        return KafkaConfig(f"127.0.0.1:{self.broker.ports[listener]}", **(options | changed))

    def file(self, name: str) -> str:
        return str(self.directory / name)
