"""A broker that wants a password or a certificate, and encrypts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams.log.kafka import KafkaConfig
from tests.support.certificates import Authority
from tests.support.kafka import Broker

USER, PASSWORD = "upnext", "pass word"
PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
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
                "listener.name.password.plain.sasl.jaas.config": f'{PLAIN_MODULE} required user_{USER}="{PASSWORD}";',
                "listener.name.both.scram-sha-256.sasl.jaas.config": f"{SCRAM_MODULE} required;",
                "listener.name.both.scram-sha-512.sasl.jaas.config": f"{SCRAM_MODULE} required;",
                "listener.name.tls.ssl.client.auth": "required",
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
