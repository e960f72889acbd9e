"""Topics on Kafka: created with their settings, and checked against them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from streams.domain.errors import RefusedStartError
from streams.topics import Kept, TopicSpec

_DAY_MS = 24 * 3600 * 1000
_SOURCE_BYTES = (1 << 20) + (64 << 10)
_INTERNAL_BYTES = 4 << 20
_EXISTS = 36
_KEPT: dict[Kept, dict[str, str]] = {
    Kept.FOR_EVER: {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
    Kept.UNTIL_FOLDED: {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
    Kept.COMPACTED: {"cleanup.policy": "compact", "delete.retention.ms": str(7 * _DAY_MS)},
    Kept.DAYS_30: {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)},
}


def settings_of(spec: TopicSpec, replication: int) -> dict[str, str]:
    """Return a topic's settings as Kafka names them."""
    return {
        **_KEPT[spec.kept],
        "message.timestamp.type": "LogAppendTime" if spec.log_append_time else "CreateTime",
        "max.message.bytes": str(_SOURCE_BYTES if spec.kept is Kept.FOR_EVER else _INTERNAL_BYTES),
        "min.insync.replicas": "2" if replication >= 3 else "1",
    }


class KafkaTopics:
    """What the admin client is used for."""

    def __init__(self, options: dict[str, Any], replication: int | None) -> None:
        self._options, self._replication = options, replication

    async def create(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing, with their settings; return their names once every broker knows them."""
        async with _Admin(self._options) as admin:
            there = set(await admin.list_topics())
            missing = [spec for spec in specs if spec.name not in there]
            if not missing:
                return []
            replication = self._replication or await self._copies(admin)
            topics = [
                NewTopic(s.name, s.partitions, replication, topic_configs=settings_of(s, replication)) for s in missing
            ]
            answer = await admin.create_topics(topics)
            for name, code, message in answer.topic_errors:
                if code not in (0, _EXISTS):
                    raise RefusedStartError(f"The topic {name} could not be created: {message or code}.")
            await self._known(admin, missing)
            return [spec.name for spec in missing]

    async def check(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Return a sentence for each topic that is missing or not as it should be, saying what to do."""
        async with _Admin(self._options) as admin:
            specs = list(specs)
            found = {
                d["topic"]: d for d in await admin.describe_topics([s.name for s in specs]) if d["error_code"] == 0
            }
            configured = await self._configured(admin, list(found))
        return [s for spec in specs if (s := _complaint(spec, found.get(spec.name), configured.get(spec.name, {})))]

    async def cluster_id(self) -> str:
        """Return the id of the cluster."""
        async with _Admin(self._options) as admin:
            return str((await admin.describe_cluster())["cluster_id"])

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records of a partition below *offset*."""
        async with _Admin(self._options) as admin:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=offset)})

    async def _copies(self, admin: AIOKafkaAdminClient) -> int:
        return 3 if len((await admin.describe_cluster())["brokers"]) >= 3 else 1

    async def _known(self, admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> None:
        names = [spec.name for spec in specs]
        async with asyncio.timeout(30):
            while True:
                described = await admin.describe_topics(names)
                leaders = [p["leader"] for d in described for p in d["partitions"]]
                if all(d["error_code"] == 0 for d in described) and leaders and min(leaders) >= 0:
                    return
                await asyncio.sleep(0.05)

    async def _configured(self, admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        return {
            name: {entry[0]: entry[1] for entry in entries}
            for answer in await admin.describe_configs(resources)
            for _, _, _, name, entries in answer.resources
        }


def _complaint(spec: TopicSpec, found: Any, configured: dict[str, str]) -> str | None:
    if found is None:
        return f"The topic {spec.name} is missing: run `upnext topics create`."
    partitions = len(found["partitions"])
    if partitions != spec.partitions:
        return (
            f"The topic {spec.name} has {partitions} partitions and should have {spec.partitions}: "
            f"start with --partitions {partitions}, or use other topics."
        )
    replication = len(found["partitions"][0]["replicas"])
    wanted = settings_of(spec, replication)
    for name in ("cleanup.policy", "message.timestamp.type", "retention.ms"):
        if name in wanted and configured.get(name) != wanted[name]:
            return (
                f"The topic {spec.name} has {name}={configured.get(name)} and should have {wanted[name]}: "
                f"alter it with Kafka's own tools, then start again."
            )
    return None


class _Admin:
    """An admin client for as long as it is needed."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._admin = AIOKafkaAdminClient(**options)

    async def __aenter__(self) -> AIOKafkaAdminClient:
        await self._admin.start()
        return self._admin

    async def __aexit__(self, *_: object) -> None:
        await self._admin.close()
