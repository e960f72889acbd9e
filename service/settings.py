"""The node's settings: one frozen object from defaults, a file, variables and flags, in that order."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from service.setting_kinds import (
    ADDRESS,
    DIRECTORY,
    FILE,
    FLAG,
    MASTER_KEY,
    NETWORKS,
    ROLES,
    SERVERS,
    TEXT,
    TOKEN,
    URL,
    VIEW,
    Address,
    Network,
    Role,
    SettingKind,
    integer,
    one_of,
    seconds,
)

PREFIX = "UPNEXT_"
EMBEDDED_PARTITIONS, KAFKA_PARTITIONS = 8, 16


class Setting(NamedTuple):
    """One setting as everything that names it sees it: flags, variables, file keys, `upnext config` and the docs."""

    name: str
    """Its key in a file."""
    kind: SettingKind[Any]
    default: str | None
    """As text; None where it is not set unless it is given."""
    description: str
    """One sentence."""
    secret: bool

    @property
    def flag(self) -> str | None:
        """Its flag; None where it is a secret, for every user of the machine sees a process's flags."""
        return None if self.secret else f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()


def _setting(kind: SettingKind[Any], default: str | None, description: str, *, secret: bool = False) -> Any:
    value = None if default is None else kind.read(default)
    return dataclasses.field(default=value, metadata={"setting": (kind, default, description, secret)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the node is told. The names of the fields are the settings' names."""

    data: Path = _setting(DIRECTORY, "data", "Where the log, the tables and the secrets that are made here are kept.")
    listen: Address = _setting(ADDRESS, "127.0.0.1:8080", "Where the API listens.")
    internal: Address = _setting(
        ADDRESS, "127.0.0.1:8081", "Where health, metrics and the other nodes' calls are answered; not for clients."
    )
    internal_url: str | None = _setting(
        URL,
        None,
        "How other nodes reach `internal`, which no other node may share; its address where this is left out.",
    )
    public_url: str | None = _setting(
        URL,
        None,
        "How clients reach the API, the same on every node: what the addresses of apps' media in lists begin with; "
        "`listen` over http where this is left out.",
    )
    kafka: str | None = _setting(
        SERVERS, None, "The Kafka brokers that hold the log; where there are none, it is embedded, for one node."
    )
    partitions: int | None = _setting(
        integer(1, 1_024),
        None,
        f"Partitions of each topic, for the life of the deployment; {EMBEDDED_PARTITIONS} embedded and "
        f"{KAFKA_PARTITIONS} on Kafka where this is left out.",
    )
    roles: frozenset[Role] = _setting(
        ROLES, "api,streams", "What the node does: answer clients (`api`), fold the log (`streams`), or both."
    )
    view: str | None = _setting(
        VIEW,
        None,
        "The version of the views that the node folds, as upnext-v2; the one that is live at its start where this is "
        "left out.",
    )
    master_key: str | None = _setting(
        MASTER_KEY,
        None,
        "The deployment's one key, the same on every node; made beside the data where it is left out.",
        secret=True,
    )
    admin_token: str | None = _setting(
        TOKEN,
        None,
        "The super user's token for `/api/v1`; made beside the data, in `admin.token`, where it is left out.",
        secret=True,
    )
    stale_reads_max_s: float = _setting(
        seconds(5, 3_600), "60", "For how long lists are served once the log can no longer be reached."
    )
    erasure_within_s: float = _setting(
        seconds(4, 2_592_000),
        "86400",
        "How long it may take until nothing is left of what was erased; the same on every node.",
    )
    list_cache_mib: int = _setting(
        integer(1, 65_536),
        "256",
        "MiB of memory for the first pages of lists, each good for about 20.",
    )
    webhooks_allow_loopback: bool = _setting(
        FLAG, "false", "Whether webhooks may go to this machine, also in plain HTTP; for development."
    )
    media_directory: Path | None = _setting(
        DIRECTORY,
        None,
        "Where the files of apps are kept, which all nodes must share; `media` of the data directory where this is "
        "left out.",
    )
    media_s3_bucket: str | None = _setting(
        TEXT, None, "The S3 bucket where the files of apps are kept, in place of a directory; it must be there."
    )
    media_s3_endpoint: str | None = _setting(
        URL, None, "The server that has the bucket; Amazon's of the region where this is left out."
    )
    media_s3_region: str = _setting(TEXT, "us-east-1", "The region of the bucket.")
    media_s3_access_key: str | None = _setting(
        TEXT,
        None,
        "The id of the key that opens the bucket; where this is left out, `AWS_…` variables or the machine's role do.",
    )
    media_s3_secret_key: str | None = _setting(TEXT, None, "The secret of that key.", secret=True)
    trusted_proxies: tuple[Network, ...] | None = _setting(
        NETWORKS,
        None,
        "The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; where this is left out, a "
        "connection's own address and scheme count.",
    )
    api_requests_per_address: int = _setting(
        integer(0, 1_000_000),
        "200",
        "Requests a second to `/api` that one address may make before it is slowed down; 0 for as many as it likes.",
    )
    api_requests_per_token: int = _setting(
        integer(0, 1_000_000),
        "100",
        "Requests a second to `/api` that one token may make before the answer is 429; 0 for as many as it likes.",
    )
    reads_per_client: int = _setting(
        integer(0, 1_000_000),
        "1000",
        "Reads of `/v1` a second that a client may make, on all nodes together, where it has no limit of its own; 0 "
        "for as many as it likes.",
    )
    writes_per_client: int = _setting(
        integer(0, 1_000_000),
        "1000",
        "Writes to `/v1` a second that a client may make, on all nodes together, where it has no limit of its own; 0 "
        "for as many as it likes.",
    )
    past_reads: bool = _setting(
        FLAG, "false", "Whether clients may read lists as they were, which the log is read for (`as_of`, `…/diff`)."
    )
    past_reads_per_client: int = _setting(
        integer(0, 1_000_000),
        "2",
        "Lists as they were a second that a client may have one node read the log for; 0 for as many as it likes.",
    )
    failures_per_address: int = _setting(
        integer(0, 1_000_000),
        "10",
        "Requests a second to `/v1` whose credentials, or whose ids, are not good that one address may make before "
        "the answer is 429; 0 for as many as it likes.",
    )
    log_level: str = _setting(
        one_of("debug", "info", "warning", "error"), "info", "The least important messages that are logged."
    )
    log_format: str | None = _setting(
        one_of("text", "json"), None, "How messages are logged; `text` on a terminal and `json` elsewhere by default."
    )
    kafka_security_protocol: str = _setting(
        one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), "PLAINTEXT", "How the brokers are spoken to."
    )
    kafka_sasl_mechanism: str = _setting(
        one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), "PLAIN", "How the node logs in to the brokers."
    )
    kafka_sasl_username: str | None = _setting(TEXT, None, "Whom the node logs in as.")
    kafka_sasl_password: str | None = _setting(TEXT, None, "The password it logs in with.", secret=True)
    kafka_tls_ca: str | None = _setting(
        FILE, None, "The authorities that signed the brokers' certificates, PEM; the system's where this is left out."
    )
    kafka_tls_certificate: str | None = _setting(FILE, None, "The node's own certificate, PEM.")
    kafka_tls_key: str | None = _setting(FILE, None, "The key of the node's own certificate, PEM.")
    kafka_append_limit_s: float = _setting(
        seconds(0.1, 60), "4.5", "How long a write may wait for the brokers' acknowledgement."
    )
    kafka_start_limit_s: float = _setting(seconds(0, 3_600), "60", "How long a start may wait for the brokers.")
    kafka_replication: int | None = _setting(
        integer(1, 16),
        None,
        "Copies of each topic that is created; 3 where there are as many brokers, else 1, where this is left out.",
    )

    @property
    def partition_count(self) -> int:
        """How many partitions the topics have."""
        return self.partitions or (KAFKA_PARTITIONS if self.kafka else EMBEDDED_PARTITIONS)

    @property
    def answers(self) -> bool:
        """Whether the node answers clients."""
        return Role.API in self.roles

    @property
    def folds(self) -> bool:
        """Whether the node folds the log."""
        return Role.STREAMS in self.roles


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(field.name, *field.metadata["setting"]) for field in dataclasses.fields(Settings)
)


def text_of(setting: Setting, settings: Settings) -> str | None:
    """Return the setting's value as it would be written, None where it is not set. Does not mask secrets."""
    value = getattr(settings, setting.name)
    return None if value is None else setting.kind.write(value)
