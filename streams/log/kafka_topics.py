"""Topics on Kafka: created with their settings, and checked against them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.metadata import MetadataRequest

from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.log.kafka_config import KafkaConfig
from streams.log.kafka_connection import error_of
from streams.topics import Kept, TopicSpec

_DAY_MS = 24 * 3600 * 1000
_SOURCE_BYTES = (1 << 20) + (64 << 10)
_INTERNAL_BYTES = 4 << 20
_CHANGELOG_BYTES = 8 << 20
_UNKNOWN = 3
_EXISTS = 36
_NO_GROUP = 69
_KNOWN_LIMIT_S = 30.0
_AGAIN_S = 0.05
_ENOUGH_BROKERS = 3
_KEPT: dict[Kept, dict[str, str]] = {
    Kept.FOR_EVER: {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
    Kept.UNTIL_FOLDED: {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
    Kept.COMPACTED: {"cleanup.policy": "compact"},
    # A sign of life every 2 s: what is not cut into segments is not compacted.
    Kept.LATEST: {"cleanup.policy": "compact", "delete.retention.ms": str(_DAY_MS), "segment.ms": "600000"},
    Kept.DAYS_7: {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)},
    Kept.DAYS_30: {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)},
}
_ERASABLE = {
    # Brokers compact it when something has waited for as long as it may, and for no other reason: keys do not repeat.
    Kept.FOR_EVER: {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1.0"},
    Kept.DAYS_30: {"cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "1.0"},
}
_LAG = "max.compaction.lag.ms"
_TOMBSTONES = "delete.retention.ms"
_MESSAGE_BYTES = {Kept.FOR_EVER: _SOURCE_BYTES, Kept.COMPACTED: _CHANGELOG_BYTES}
_DATED_BY = "message.timestamp.type"
_AT_LEAST = ("max.message.bytes", "min.insync.replicas")
"""Settings of which more is as good."""
_AT_MOST = (_LAG,)
"""Settings of which less is as good."""


def settings_of(spec: TopicSpec, replication: int, config: KafkaConfig) -> dict[str, str]:
    """Return a topic's settings as Kafka names them."""
    is_changelog = spec.kept is Kept.COMPACTED
    return {
        **_KEPT[spec.kept],
        **(_ERASABLE[spec.kept] if spec.erasable else {}),
        **({_LAG: _ms(config.compacted_within_s)} if spec.erasable or is_changelog else {}),
        **({_TOMBSTONES: _ms(config.tombstones_kept_s)} if is_changelog else {}),
        _DATED_BY: "LogAppendTime" if spec.log_append_time else "CreateTime",
        "max.message.bytes": str(_MESSAGE_BYTES.get(spec.kept, _INTERNAL_BYTES)),
        "min.insync.replicas": "2" if replication >= _ENOUGH_BROKERS else "1",
    }


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


class KafkaTopics:
    """What the admin client is used for."""

    def __init__(self, options: dict[str, Any], config: KafkaConfig) -> None:
        self._options = {**options, "request_timeout_ms": round(config.append_limit_s * 1000)}
        self._config = config

    def _settings(self, spec: TopicSpec, replication: int) -> dict[str, str]:
        return settings_of(spec, replication, self._config)

    async def create(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing, with their settings; return their names once every broker knows them."""
        async with self._admin() as admin:
            there = set(await admin.list_topics())
            missing = [spec for spec in specs if spec.name not in there]
            if not missing:
                return []
            replication = self._config.replication or await self._copies(admin)
            topics = [
                NewTopic(s.name, s.partitions, replication, topic_configs=self._settings(s, replication))
                for s in missing
            ]
            created = _created((await admin.create_topics(topics)).topic_errors)
            await self._known(admin, missing)
            return [spec.name for spec in missing if spec.name in created]

    async def delete(self, names: Iterable[str]) -> list[str]:
        """Delete those of *names* that are there, with all that they hold; return them once a broker says so."""
        async with self._admin() as admin:
            there = sorted(set(names) & set(await admin.list_topics()))
            if not there:
                return []
            for name, code in (await admin.delete_topics(there)).topic_error_codes:
                error = error_of(code)
                if error is not None and code != _UNKNOWN:
                    raise RefusedStartError(f"The topic {name} could not be deleted: {error!r}.")
            await self._gone(admin, there)
            return there

    async def _gone(self, admin: AIOKafkaAdminClient, names: list[str]) -> None:
        try:
            async with asyncio.timeout(_KNOWN_LIMIT_S):
                while any(found["error_code"] != _UNKNOWN for found in await admin.describe_topics(names)):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError as error:
            raise LogUnavailableError(f"{', '.join(names)} were not gone after {_KNOWN_LIMIT_S:g} s") from error

    async def alter(self, specs: Iterable[TopicSpec]) -> None:
        """Give topics the settings of *specs*, and the defaults for all others; return once brokers say so."""
        specs = list(specs)
        async with self._admin() as admin:
            found = await admin.describe_topics([spec.name for spec in specs])
            copies = {d["topic"]: len(d["partitions"][0]["replicas"]) for d in found if d["error_code"] == 0}
            for spec in specs:
                settings = self._settings(spec, copies[spec.name])
                resource = ConfigResource(ConfigResourceType.TOPIC, spec.name, configs=settings)
                for answer in await admin.alter_configs([resource]):
                    _check_altered(answer.resources)
        end = asyncio.get_running_loop().time() + _KNOWN_LIMIT_S
        while complaints := await self.check(specs):
            if asyncio.get_running_loop().time() > end:
                raise LogUnavailableError(f"{complaints[0]} It was asked for {_KNOWN_LIMIT_S:g} s ago.")
            await asyncio.sleep(_AGAIN_S)

    async def members(self, group: str) -> list[str]:
        """Return what the members of a consumer group call themselves; nothing where there is no such group."""
        async with self._admin() as admin, asyncio.timeout(_KNOWN_LIMIT_S):
            while True:
                try:
                    (answer,) = await admin.describe_consumer_groups([group])
                    return members_of(answer.groups)
                except KafkaError as error:
                    # Asking has the brokers begin to coordinate groups, where there never was one, and groups move from
                    # one broker to another: that takes a moment.
                    if not error.retriable:
                        raise
                await asyncio.sleep(_AGAIN_S)

    async def delete_group(self, group: str) -> None:
        """Delete a consumer group that has no members, where there is one; raise `RefusedStartError`."""
        async with self._admin() as admin, asyncio.timeout(_KNOWN_LIMIT_S):
            while True:
                try:
                    coordinator = await admin.find_coordinator(group)
                    # The client has no call of its own for this request, which the protocol module has.
                    answer: Any = await admin._send_request(DeleteGroupsRequest([group]), coordinator)  # noqa: SLF001
                    error = error_of(answer.results[0][1])
                    if error is None or answer.results[0][1] == _NO_GROUP:
                        return
                    raise error
                except KafkaError as error:
                    if not error.retriable:
                        raise RefusedStartError(f"The group {group} could not be deleted: {error!r}.") from error
                await asyncio.sleep(_AGAIN_S)

    async def check(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Return a sentence for each topic that is missing or not as it should be, saying what to do."""
        specs = list(specs)
        if not specs:
            return []
        async with self._admin() as admin:
            found = {
                d["topic"]: d for d in await admin.describe_topics([s.name for s in specs]) if d["error_code"] == 0
            }
            configured = await self._configured(admin, list(found))
        complaints = (self._complaint(spec, found.get(spec.name), configured.get(spec.name, {})) for spec in specs)
        return [complaint for complaint in complaints if complaint]

    def _complaint(self, spec: TopicSpec, found: Any, configured: dict[str, str]) -> str | None:
        copies = 0 if found is None else len(found["partitions"][0]["replicas"])
        return _complaint(spec, found, configured, self._settings(spec, copies))

    async def cluster_id(self) -> str:
        """Return the id of the cluster."""
        async with self._admin() as admin:
            return str((await admin.describe_cluster())["cluster_id"])

    async def _copies(self, admin: AIOKafkaAdminClient) -> int:
        brokers = (await admin.describe_cluster())["brokers"]
        return _ENOUGH_BROKERS if len(brokers) >= _ENOUGH_BROKERS else 1

    async def _known(self, admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> None:
        names = [spec.name for spec in specs]
        try:
            async with asyncio.timeout(_KNOWN_LIMIT_S):
                while not await _is_known_to_all(admin, names):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError as error:
            raise LogUnavailableError(f"{', '.join(names)} did not get leaders in {_KNOWN_LIMIT_S:g} s") from error

    async def _configured(self, admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        return {
            name: {entry[0]: entry[1] for entry in entries}
            for answer in await admin.describe_configs(resources)
            for _, _, _, name, entries in answer.resources
        }

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Give an admin client for as long as it is needed."""
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await admin.start()
            yield admin
        except (KafkaError, OSError) as error:
            raise LogUnavailableError(f"the topics cannot be seen: {error!r}") from error
        finally:
            await admin.close()


def members_of(described: Iterable[tuple[Any, ...]]) -> list[str]:
    """
    Return what the members of the groups call themselves that a broker has described.

    Raises:
        KafkaError: It does not know: a group that it cannot describe has no members in its answer, whoever is there.
    """
    members = []
    for code, _name, _state, _kind, _protocol, there, *_ in described:
        error = error_of(code)
        if error is not None:
            raise error
        members += [str(member[1]) for member in there]
    return members


def _check_altered(answers: Iterable[tuple[Any, ...]]) -> None:
    """Raise where the settings of a topic could not be altered."""
    for code, message, _, name in answers:
        error = error_of(code)
        if error is not None:
            raise RefusedStartError(f"The topic {name} could not be altered: {message or repr(error)}.")


def _created(answers: Iterable[tuple[Any, ...]]) -> set[str]:
    """Return the topics that were created; raise where one could not be, and is not there by another node either."""
    created = set()
    for name, code, message, *_ in answers:
        error = error_of(code)
        if error is None:
            created.add(name)
        elif error.retriable:
            raise LogUnavailableError(f"the topic {name} was not created: {message or error!r}")
        elif code != _EXISTS:
            raise RefusedStartError(f"The topic {name} could not be created: {message or repr(error)}.")
    return created


async def _is_known_to_all(admin: AIOKafkaAdminClient, names: list[str]) -> bool:
    """Say whether every broker knows the topics and their leaders: the next question may go to any of them."""
    for broker in (await admin.describe_cluster())["brokers"]:
        try:
            metadata = await admin._send_request(MetadataRequest(names), broker["node_id"])  # noqa: SLF001 - one of them
        except KafkaError:
            continue  # it has gone, and nobody asks it
        if not _all_led(metadata.to_object()["topics"]):
            return False
    return True


def _all_led(described: list[dict[str, Any]]) -> bool:
    return all(d["error_code"] == 0 and d["partitions"] for d in described) and all(
        partition["leader"] >= 0 for d in described for partition in d["partitions"]
    )


def _complaint(spec: TopicSpec, found: Any, configured: dict[str, str], settings: dict[str, str]) -> str | None:
    if found is None:
        return f"The topic {spec.name} is missing: run `upnext topics create`."
    partitions = len(found["partitions"])
    if partitions != spec.partitions:
        return (
            f"The topic {spec.name} has {partitions} partitions and should have {spec.partitions}: "
            f"start with --partitions {partitions}, or use other topics."
        )
    for name, wanted in settings.items():
        there = configured.get(name)
        if name == _DATED_BY and (there, wanted) == ("CreateTime", "LogAppendTime") and spec.kept is Kept.FOR_EVER:
            return (
                f"The topic {spec.name} has {name}={there} and should have {wanted}: where a move of the log was not "
                f"finished, run `upnext log` again; else alter it with Kafka's own tools, then start again."
            )
        if not _is_right(name, there, wanted):
            bound = "at least " if name in _AT_LEAST else "at most " if name in _AT_MOST else ""
            return (
                f"The topic {spec.name} has {name}={there} and should have {bound}{wanted}: "
                f"alter it with Kafka's own tools, then start again."
            )
    return None


def _is_right(name: str, there: str | None, wanted: str) -> bool:
    if name in _AT_LEAST and there is not None:
        return int(there) >= int(wanted)
    if name in _AT_MOST and there is not None:
        return int(there) <= int(wanted)
    if name == "cleanup.policy" and there is not None:
        return set(there.split(",")) == set(wanted.split(","))
    return there == wanted
