"""
Bugs on purpose, each by name: one change to the product, and the test that finds it.

`python -m tests.support.planted_node NAME …` runs the product with one of them in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

VARIABLE = "UPNEXT_TEST_BUG"
"""The environment variable that has the nodes of a test run with a bug; its value is the bug's name."""


class Bug(NamedTuple):
    """A rule that is taken away."""

    name: str
    rule: str
    """What holds without the bug."""
    module: str
    before: str
    """Text that stands in the module once …"""
    after: str
    """… and what stands there instead."""
    found_by: str
    """The test that passes, and fails with the bug in it."""
    kafka: bool = False
    """Whether that test needs brokers."""

    @property
    def changes(self) -> Mapping[str, str]:
        return {self.before: self.after}


_WRITES = [
    Bug(
        "ack-before-append",
        "A write is acknowledged once the log has it.",
        "streams.writer",
        "appended = await self._log.append(topic, partition, key, encode_event(event))",
        "sending = self._log.append(topic, partition, key, encode_event(event))\n"
        "            asyncio.ensure_future(sending).add_done_callback(lambda sent: sent.exception())\n"
        "            appended = Appended(partition, self.ends.get((topic, partition), 0), 0)",
        "tests/contract/test_writer.py::test_a_write_is_acknowledged_once_the_log_has_it",
    ),
    Bug(
        "unknown-is-200",
        "A write whose outcome is unknown is a 503.",
        "streams.writer",
        "self.failures += 1\n            raise",
        "self.failures += 1\n            return Appended(partition, 0, 0)",
        "tests/contract/test_writer.py::test_a_write_that_may_be_there_is_unknown",
    ),
    Bug(
        "one-broker-acknowledges",
        "Acknowledged is what every in-sync replica has.",
        "streams.log.kafka_appender",
        "_ALL_IN_SYNC = -1",
        "_ALL_IN_SYNC = 1",
        "tests/contract/test_kafka_faults.py::test_nothing_is_acknowledged_while_no_follower_has_it",
        kafka=True,
    ),
    Bug(
        "commit-not-synced",
        "What the embedded log acknowledges is on the disk, synced.",
        "streams.log.embedded_directory",
        '"synchronous = FULL"',
        '"synchronous = NORMAL"',
        "tests/contract/test_embedded_power.py::test_what_was_acknowledged_outlives_the_power",
    ),
    Bug(
        "commit-not-awaited",
        "What the embedded log acknowledges is committed.",
        "streams.log.embedded",
        "gathered.waiting.append((future, appended))",
        "future.set_result(appended)",
        "tests/contract/test_embedded_faults.py::test_a_failed_commit_fails_all_who_wait",
    ),
    Bug(
        "batch-without-checksum",
        "A record of the embedded log is what was written, or ends the process.",
        "streams.log.embedded_store",
        "if zlib.crc32(encoded) != crc:",
        "if False:",
        "tests/contract/test_embedded_faults.py::test_a_flipped_bit_in_a_record_is_never_served",
    ),
]

_ENGINE = [
    Bug(
        "changelog-before-outputs",
        "A turn's outputs are acknowledged before its changelog is appended.",
        "streams.engine.processor",
        "            return await self._write_all(batches)",
        "            done = await asyncio.gather(*(self._commit(batch) for batch in batches))\n"
        "            await self._append_outputs(batches)\n"
        "            return [batch.owned for batch, known in zip(batches, done, strict=True) if not known]",
        "tests/contract/test_engine_outcomes.py::test_outputs_then_changelog_then_table_then_readers",
    ),
    Bug(
        "table-before-changelog",
        "The table never holds what its changelog lacks.",
        "streams.engine.processor",
        "            offset = await batch.owned.append(rows)\n",
        "            offset = batch.owned.store.offset + len(rows)\n"
        "            batch.owned.commit(rows, batch.positions, offset)\n"
        "            assert batch.owned.claim is not None\n"
        "            await batch.owned.claim.append(list(rows.items()))\n",
        "tests/contract/test_engine_outcomes.py::test_outputs_then_changelog_then_table_then_readers",
    ),
    Bug(
        "position-not-in-the-batch",
        "The positions of the inputs are in the same batch as the rows that they are as of.",
        "streams.engine.batch",
        "return {**self.overlay.rows, **position_rows(self.positions)}",
        "return dict(self.overlay.rows) or {**position_rows(self.positions)}",
        "tests/contract/test_engine_tables.py::test_a_lost_store_is_restored_whole",
    ),
    Bug(
        "known-records-folded-again",
        "A record that the table has is not folded again.",
        "streams.engine.processor",
        "if record.offset <= position:",
        "if record.offset < 0:",
        "tests/contract/test_engine.py::test_a_repeated_record_is_folded_once",
    ),
    Bug(
        "gaps-folded-over",
        "A record that does not follow on is not folded.",
        "streams.engine.processor",
        "if batch.is_full or record.offset != position + 1:",
        "if batch.is_full:",
        "tests/contract/test_engine.py::test_a_lost_fetch_is_read_again",
    ),
    Bug(
        "holes-beyond-the-look",
        "A look at the log says nothing of offsets that it did not come to.",
        "streams.engine.gaps",
        "return is_seen and bisect_left",
        "return bisect_left",
        "tests/contract/test_engine.py::test_no_record_is_taken_for_a_hole_beside_others",
    ),
    Bug(
        "unknown-changelog-is-done",
        "A batch of the changelog that nobody acknowledged is neither done nor lost.",
        "streams.engine.processor",
        "            batch.owned.claim = None\n            return False\n        except FencedError",
        "            return True\n        except FencedError",
        "tests/contract/test_engine_outcomes.py::test_a_turn_whose_outcome_is_unknown_is_found_out",
    ),
    Bug(
        "readers-woken-too-early",
        "Who waits for a position is told of it once it can be read.",
        "streams.engine.partition",
        "        self.positions = dict(positions)\n        self._serve_if_caught_up()\n"
        "        self.waiters.committed(rows.keys(), source_moved=moved)\n",
        "        self.waiters.committed(rows.keys(), source_moved=moved)\n"
        "        self.positions = dict(positions)\n        self._serve_if_caught_up()\n",
        "tests/contract/test_engine_waits.py::test_who_waits_goes_on_with_the_commit",
    ),
    Bug(
        "unfolded-records-trimmed",
        "Nothing is deleted before it is folded.",
        "streams.engine.trimmer",
        "end = owned.positions[topic] + 1",
        "end = await self._log.end_offset(topic, partition)",
        "tests/contract/test_engine_tables.py::test_only_what_is_folded_for_good_is_deleted",
    ),
    Bug(
        "sought-to-committed-offsets",
        "Inputs are read from the table's own positions, whatever the group has committed.",
        "streams.engine.consumer",
        "positions: dict[TP, int] = self._own_positions()",
        "positions: dict[TP, int] = dict(await super().seek_to_committed())",
        "tests/contract/test_faust.py::test_a_start_is_from_the_tables_own_positions",
    ),
    Bug(
        "fence-not-claimed",
        "From a claim on, an earlier owner of a changelog is refused.",
        "streams.log.kafka_claim",
        "Stamp(await self._connection.next_epoch(self._name, current, self._limit_s))",
        "Stamp(await self._connection.new_producer_id())",
        "tests/contract/test_log.py::test_a_later_claim_fences_the_earlier_one[kafka]",
        kafka=True,
    ),
    Bug(
        "claim-not-awaited",
        "A take-over reads where the changelog ends once others are kept from writing it.",
        "streams.engine.partition",
        "        claim = await self._log.claim(self._changelog, self.partition)\n"
        "        end = await self._log.end_offset(self._changelog, self.partition)\n",
        "        end = await self._log.end_offset(self._changelog, self.partition)\n"
        "        claim = await self._log.claim(self._changelog, self.partition)\n",
        "tests/contract/test_engine_tables.py::test_what_a_former_owner_wrote_last_is_restored",
    ),
    Bug(
        "leave-group-forgotten",
        "A node that is stopped leaves its group at once.",
        "streams.log.kafka_transport",
        "self._consumer._coordinator._group_instance_id = None",
        "assert self._consumer._coordinator._group_instance_id",
        "tests/service/test_group.py::test_a_node_that_is_stopped_has_left",
        kafka=True,
    ),
    Bug(
        "last-served-dropped",
        "What was read here is read until another node serves it.",
        "streams.engine.table",
        "if held[number].served and not is_elsewhere(number)\n",
        "if not held[number].served and not is_elsewhere(number)\n",
        "tests/contract/test_copies.py::test_what_was_served_is_kept_until_another_node_serves_it",
    ),
    Bug(
        "copy-served-before-the-end",
        "A warm copy is read from once it has been at the end of its changelog.",
        "streams.engine.copies",
        "if end is not None and self.store.offset >= end - 1:",
        "if end is not None:",
        "tests/contract/test_copies.py::test_a_copy_is_served_only_once_it_has_been_at_the_end",
    ),
    Bug(
        "served-for-ever-without-the-log",
        "Lists are not served once the log has been silent for too long.",
        "streams.engine.table",
        "if max(self._contact.silent_s, behind_s) > self._stale_reads_max_s:",
        "if max(self._contact.silent_s, behind_s) < 0:",
        "tests/contract/test_engine_tables.py::test_lists_are_served_without_the_log_for_a_while",
    ),
]

_FOLDS = [
    Bug(
        "no-sequence-check",
        "A change that a session has is not applied again.",
        "streams.domain.session",
        "member.load != NONE and change.sequence <= member.sequence",
        "member.load != NONE and change.sequence < 0",
        "tests/unit/test_session_fold.py::test_changes_that_follow_on",
    ),
    Bug(
        "after-not-checked",
        "A change is applied only to the state that it follows.",
        "streams.domain.session",
        "member.load == NONE or change.after != member.sequence",
        "member.load == NONE",
        "tests/unit/test_session_fold.py::test_a_gap_is_asked_about_once_in_a_while",
    ),
    Bug(
        "load-counts-before-its-last-part",
        "A snapshot is seen once all of its parts are there.",
        "streams.domain.session",
        "if part.part < part.parts - 1:",
        "if part.part < 0:",
        "tests/unit/test_session_fold.py::test_a_snapshot_in_parts_is_seen_when_it_is_whole",
    ),
    Bug(
        "detach-epoch-not-checked",
        "A detach that names an attachment ends no later one.",
        "streams.domain.session",
        "if member is not None and event.epoch in (None, member.epoch):",
        "if member is not None:",
        "tests/unit/test_session_fold.py::test_a_detach_with_an_epoch_ends_that_attachment_only",
    ),
    Bug(
        "total-keeps-what-was-detached",
        "The total of a list is that of what is in it.",
        "streams.domain.session",
        "self.touch(members=-1, total=-member.count)",
        "self.touch(members=-1)",
        "tests/unit/test_session_fold.py::test_a_detach_hides_the_items_at_once",
    ),
    Bug(
        "old-subscription-revived",
        "A subscription that was ended is not begun again by an old message.",
        "streams.domain.context",
        "if epoch < self._epoch or (epoch == self._epoch and not self._on):",
        "if epoch < self._epoch:",
        "tests/unit/test_context_fold.py::test_which_subscriptions_count",
    ),
    Bug(
        "clock-orders-items",
        "Within a context every write is later than the one before, whatever the clock does.",
        "streams.domain.context",
        "min(max(time_ms, self._meta.time_ms + 1), LAST_MS)",
        "min(time_ms, LAST_MS)",
        "tests/unit/test_context_fold.py::test_every_put_is_later_than_the_one_before",
    ),
    Bug(
        "hidden-forgotten",
        "What a platform hid stays hidden until the publisher shows it.",
        "streams.domain.context",
        "(old is not None and old.hidden) if item.hidden is UNSET else item.hidden",
        "False if item.hidden is UNSET else item.hidden",
        "tests/unit/test_context_fold.py::test_hidden_is_kept_where_a_put_says_nothing_of_it",
    ),
]

_SERVICE = [
    Bug(
        "position-not-waited-for",
        "A list is not answered from before the position that its reader bears.",
        "streams.views.session_views",
        "if not self._has(session, partition, asked, only):",
        "if asked.offset < -1:",
        "tests/unit/test_views_readers.py::test_an_attach_is_waited_for_until_its_items_are_there",
    ),
    Bug(
        "position-left-in-front",
        "Another node, and a warm copy, hear of the position that a reader bears.",
        "service.http.forward_signature",
        '"If-None-Match", "Paket-Position"',
        '"If-None-Match"',
        "tests/unit/test_forward_signature.py::test_only_what_the_answer_depends_on_is_passed_on",
    ),
    Bug(
        "forwarded-call-not-verified",
        "A forwarded call is taken from a node of the deployment only.",
        "service.http.forward_signature",
        "if not hmac.compare_digest(_signature(key, about, path, body, passed).encode(),",
        "if not (_signature(key, about, path, body, passed).encode() and",
        "tests/unit/test_forward.py::test_what_is_not_signed_for_it_is_refused",
    ),
    Bug(
        "second-hop-taken",
        "A forwarded call is not forwarded again.",
        "service.http.forward_signature",
        'if hop != "1":',
        'if hop == "":',
        "tests/unit/test_forward_signature.py::test_a_second_hop",
    ),
    Bug(
        "broken-command-asked-elsewhere",
        "A command that another node may have heard is not given to a third one.",
        "service.http.forward_client",
        'raise LogUnavailableError(f"node {owner.name} may have written it: {error}") from error',
        "return Instead.NOTHING",
        "tests/unit/test_forward.py::test_a_connection_that_breaks",
    ),
    Bug(
        "tenant-not-checked",
        "What is another tenant's is absent.",
        "service.http.calls",
        "ids.verify(kind, mode_of(call.client), call.client.tenant, raw)",
        "mode_of(call.client) is not None",
        "tests/service/test_sessions.py::test_another_tenants_things_are_as_good_as_absent[embedded]",
    ),
    Bug(
        "any-secret-opens",
        "A client is who shows its secret.",
        "service.adapters.tenants",
        "if hmac.compare_digest(key.digest, shown) and self._is_good(key):",
        "if self._is_good(key):",
        "tests/unit/test_api_rolls.py::test_the_old_key_is_good_until_the_overlap_ends",
    ),
    Bug(
        "half-request-kept",
        "A request whose head is not whole in time has its connection closed.",
        "service.http.connections",
        "return not is_of_body and heads == self._request_count and not self._upgraded",
        "return self._upgraded",
        "tests/unit/test_http_connections.py::test_a_head_that_is_not_whole_in_time",
    ),
    Bug(
        "unread-answers-kept",
        "What is kept for clients that do not take it is bounded.",
        "service.http.connection_limits",
        "while self.total_bytes > self._most_bytes:",
        "while self.total_bytes < 0:",
        "tests/unit/test_http_connections.py::test_what_is_kept_for_slow_readers_is_bounded",
    ),
    Bug(
        "etag-without-the-revision",
        "An entity tag changes with its list.",
        "service.http.etags",
        "{revision}\\n",
        "",
        "tests/unit/test_http_contexts.py::test_etags",
    ),
]

_REBUILDS = [
    Bug(
        "old-version-answers-clients",
        "Clients are answered from the version of the views that is live.",
        "streams.nodes",
        "return self.own.serves(table, raw_id) and self._is_live",
        "return self.own.serves(table, raw_id)",
        "tests/unit/test_nodes_follower.py::test_clients_are_answered_from_the_live_version_only",
    ),
    Bug(
        "live-version-dropped",
        "The version of the views that is live is never dropped.",
        "streams.domain.view_versions",
        "if known.version.stage is Stage.LIVE:",
        "if known.version.stage is Stage.OLD:",
        "tests/unit/test_view_versions.py::test_the_live_one_is_never_dropped",
    ),
    Bug(
        "name-used-twice",
        "What is left of a version of the views that was dropped is no other version's.",
        "streams.domain.view_versions",
        "max(map(_number, versions(state))) + 1",
        "len(kept(state)) + 1",
        "tests/unit/test_view_versions.py::test_the_live_one_is_never_dropped",
    ),
    Bug(
        "poison-passed-while-building",
        "A version of the views that is built stops at a record that nobody has decided about.",
        "streams.engine.batch",
        "elif self._stops and place.topic in _DECIDED_ABOUT:",
        "elif place.topic in ():",
        "tests/contract/test_building.py::test_it_stops_at_a_record_until_somebody_has_decided",
    ),
    Bug(
        "live-version-paced",
        "What limits the building of a version never slows down the one that is live.",
        "streams.engine.processor",
        "self._pace if self._is_building() else None",
        "self._pace",
        "tests/contract/test_building.py::test_what_is_live_has_no_pace",
    ),
    Bug(
        "pace-not-kept",
        "What is folded beside the live version is folded no faster than it may be.",
        "streams.engine.pace",
        "+ events / per_s",
        "",
        "tests/unit/test_pace.py::test_the_limit_is_kept",
    ),
    Bug(
        "half-a-rebuild-served",
        "No list is served while the tables are folded again, not from a warm copy either.",
        "streams.engine.table",
        " or not self._gate.is_open",
        "",
        "tests/contract/test_rebuild.py::test_no_copy_is_served_either",
    ),
    Bug(
        "feed-not-awaited",
        "A rebuild is over once sessions have heard of all that contexts have.",
        "streams.rebuild",
        "await self._reached(topics.sessions_changelog, await self._ends(topics.feed))",
        "await self._ends(topics.feed)",
        "tests/contract/test_rebuild.py::test_nothing_is_served_before_all_is_folded_again",
    ),
    Bug(
        "correction-counts-twice",
        "An event that stands for a dead letter counts once, however often it was appended.",
        "streams.processors.contexts",
        "is_repeated(rows, context, event.corrects)",
        "not event.corrects",
        "tests/contract/test_dead_letters.py"
        "::test_a_replacement_whose_outcome_is_unknown_is_made_again_and_counts_once",
    ),
    Bug(
        "decision-without-time",
        "A decision is about one record, not about what stands in its place later.",
        "streams.domain.dead_letters",
        "if decision.time_ms != time_ms:",
        "if decision.time_ms < 0:",
        "tests/contract/test_dead_letters.py::test_what_stands_between_the_processors_is_dropped_and_not_replaced",
    ),
]

_WEBHOOKS = [
    Bug(
        "refresh-is-told",
        "Apps hear of what has changed, not of an attachment that was refreshed.",
        "streams.domain.session",
        "            yield Attached(member.created_at_ms, refreshed=True)\n",
        '            yield self._told("context.session.context_added", context, member)\n'
        "            yield Attached(member.created_at_ms, refreshed=True)\n",
        "tests/unit/test_session_fold.py::test_attach_asks_for_the_items",
    ),
    Bug(
        "notice-heard-twice",
        "What a fold says again, after a crash or when all is folded again, is known.",
        "streams.domain.webhooks",
        "if notice.place > known:",
        "if known:",
        "tests/contract/test_webhook_queues.py::test_each_thing_is_heard_of_once",
    ),
    Bug(
        "decided-twice",
        "Who is told is decided once: of two who decide at once, the first in the log counts.",
        "streams.domain.webhooks",
        "if (planned.offset, planned.number) > before.get(planned.source, layout.NOWHERE):",
        "if before:",
        "tests/unit/test_webhook_fold.py::test_two_who_decide_at_once",
    ),
    Bug(
        "out-of-order",
        "What an ordered endpoint is told of a context waits for what it was told before.",
        "streams.domain.webhooks",
        "due_ms=None if waits else delivery.due_ms",
        "due_ms=delivery.due_ms",
        "tests/unit/test_webhook_fold.py::test_in_order",
    ),
    Bug(
        "sent-before-known",
        "A node sends nothing of a partition before it knows what others have sent of it.",
        "streams.webhooks",
        ">= known[1] - 1",
        ">= -1",
        "tests/contract/test_webhook_queues.py::test_nothing_is_sent_before_all_is_known_that_was",
    ),
    Bug(
        "sent-while-on-its-way",
        "An event that is on its way is not sent beside itself.",
        "service.webhooks.deliverer",
        "if (event, endpoint) in self._on_way:",
        "if not event:",
        "tests/unit/test_webhook_deliverer.py::test_what_is_on_its_way_is_not_sent_again",
    ),
    Bug(
        "one-lane-for-all",
        "Endpoints that are dead or slow hold back no other.",
        "service.webhooks.lanes",
        "return self.is_slow or self.failures > 0",
        "return False",
        "tests/unit/test_webhook_deliverer.py::test_those_that_hang_hold_back_nobody",
    ),
    Bug(
        "gone-is-called-again",
        "An endpoint that answers 410 is called no more.",
        "service.webhooks.deliverer",
        "if sent.status == GONE and endpoint is not None:",
        "if sent.status == 0:",
        "tests/unit/test_webhook_deliverer.py::test_an_endpoint_that_is_gone",
    ),
    Bug(
        "any-address-is-called",
        "No address that is not public is connected to, whatever a name leads to.",
        "service.webhooks.sender",
        "if not may_connect(ipaddress.ip_address(where[0])):",
        "if not where:",
        "tests/unit/test_webhook_sender.py::test_names_that_lead_to_what_is_private_are_never_connected_to",
    ),
    Bug(
        "redirects-are-followed",
        "An endpoint does not say who else is called.",
        "service.webhooks.sender",
        "allow_redirects=False",
        "allow_redirects=True",
        "tests/unit/test_webhook_sender.py::test_redirects_are_not_followed",
    ),
    Bug(
        "list-of-some-nodes",
        "A list of deliveries has those of all nodes, or is none.",
        "service.webhooks.deliveries_everywhere",
        'raise ViewUnavailableError("no node is known that has all of the deliveries now")',
        "continue",
        "tests/unit/test_webhook_deliveries.py::test_a_list_is_whole_or_not_at_all",
    ),
    Bug(
        "others-deliveries-are-seen",
        "A company sees the deliveries to its own endpoints.",
        "service.api.webhook_deliveries_calls",
        "if endpoint is not None and endpoint.is_seen_by(call.company)",
        "if endpoint is not None",
        "tests/unit/test_api_webhook_deliveries.py::test_who_may_do_what",
    ),
]

_HISTORY = [
    Bug(
        "explanation-is-ahead",
        "An explanation is of what the list has, not of what the log has by now.",
        "streams.explain",
        "ends = {one: members[one].sequence + 1 for",
        "ends = {one: members[one].sequence + 1_000_000 for",
        "tests/unit/test_explain.py::test_only_as_far_as_the_list_has_it",
    ),
    Bug(
        "publishers-named",
        "A platform is not told of a publisher's clients and requests.",
        "service.http.explain",
        "named=clients.names(step.client)",
        "named=clients.names(step.client) or True",
        "tests/unit/test_http_explain.py::test_who_wrote_is_named_to_its_own_tenant_only",
    ),
    Bug(
        "explanation-hedged",
        "A call that takes long by itself is asked of no copy, and no owner is taken for frozen for it.",
        "service.http.explain",
        "hedged=False",
        "hedged=True",
        "tests/unit/test_forward_hedges.py::test_what_takes_long_by_itself_is_asked_of_no_copy",
    ),
    Bug(
        "past-knows-what-came-later",
        "A list as it was at a time has nothing of what came after it.",
        "streams.refold",
        "if record.time_ms > self._time_ms:",
        "if record.time_ms > self._time_ms + 60_000:",
        "tests/unit/test_history.py::test_by_time",
    ),
    Bug(
        "order-guessed",
        "Where the log's clock was set back over a time, nobody is told what there was then.",
        "streams.refold",
        "if self._latest_ms >= 0:",
        "if self._latest_ms > self._time_ms + 60_000:",
        "tests/unit/test_history_clocks.py::test_what_there_was_at_a_time",
    ),
    Bug(
        "part-of-the-log-is-enough",
        "Nothing is answered from a part of what would have to be read.",
        "streams.refold",
        "        if self._records < 0:",
        "        if self._records < -1_000:",
        "tests/unit/test_history.py::test_more_than_may_be_read",
    ),
    Bug(
        "audit-takes-any-items",
        "An audit finds a list with an item that its events do not give.",
        "streams.domain.audits",
        "if list(served) == list(folded):",
        "if len(served) == len(folded):",
        "tests/unit/test_audit.py::test_a_context_that_is_wrong",
    ),
    Bug(
        "repair-leaves-ghosts",
        "A repair of a session takes out of its list what nothing else of it knows of.",
        "streams.domain.repairs",
        "for one in {*listed, *expected}",
        "for one in expected",
        "tests/unit/test_repairs.py::test_a_session",
    ),
    Bug(
        "repair-unheard",
        "A session that has something else than a context that was repaired asks for its items.",
        "streams.domain.session",
        "if change.sequence == member.sequence and",
        "if change.sequence < member.sequence and",
        "tests/unit/test_repairs.py::test_sessions_hear_of_a_repair",
    ),
    Bug(
        "repair-keeps-the-tag",
        "A list that was repaired has another ETag, though no event has come.",
        "streams.domain.context_rows",
        'return f"{self.sequence}.{self.repairs}" if self.repairs else str(self.sequence)',
        "return str(self.sequence)",
        "tests/unit/test_repairs.py::test_a_repair_of_more_than_one_batch",
    ),
    Bug(
        "repair-as-of-its-beginning",
        "What is folded while a repair reads the log is in what the repair writes.",
        "streams.repair",
        "        if trail.end > position:",
        "        if trail.end > 0:",
        "tests/contract/test_engine_repairs.py::test_events_that_are_folded_meanwhile",
    ),
    Bug(
        "erasure-leaves-room",
        "What is attached follows from the session's own events, however late an erasure is folded.",
        "streams.domain.session",
        " + len(layout.slots(self._rows, self._session)) >=",
        " >=",
        "tests/unit/test_erasure_fold.py::test_room_stays_taken_that_another_was_refused",
    ),
    Bug(
        "audit-compares-what-is-being-erased",
        "A list that an erasure has not reached yet is not compared, for its events may be gone.",
        "streams.audit",
        "            elif listed.is_erased_later:",
        "            elif listed.is_erased_later and not one.fragments:",
        "tests/unit/test_audit.py::test_what_is_being_erased_is_not_compared",
    ),
    Bug(
        "compared-while-one-is-ahead",
        "Versions of the views are compared where both have folded the same events, and nowhere else.",
        "streams.domain.comparisons",
        "return range(min(firsts) + 1, max(lasts) + 1)",
        "return range(min(firsts) + 1, min(firsts) + 1)",
        "tests/unit/test_comparisons.py::test_a_version_that_is_behind",
    ),
    Bug(
        "members-only-counted",
        "What a session has of a context is compared with that context, item by item.",
        "streams.domain.comparisons",
        "if (member.count, member.digest) == (context.total, context.digest):",
        "if member.count == context.total:",
        "tests/unit/test_comparisons.py::test_a_session_that_is_wrong",
    ),
    Bug(
        "compared-where-it-was",
        "Of two nodes that say that they serve a partition, a comparison asks the one that was heard of last.",
        "service.cli.compare_calls",
        "key=lambda node: -node.silent_ms",
        "key=lambda node: node.name",
        "tests/unit/test_compare_cli.py::test_who_is_asked",
    ),
    Bug(
        "patient-with-nobody",
        "What is behind while nobody has its partition is no difference between versions.",
        "service.cli.compare_lists",
        "self._looked_s += min(self._patience.look, time.monotonic() - began_s)",
        "self._looked_s += time.monotonic() - began_s",
        "tests/unit/test_comparisons.py::test_nothing_moves_while_nobody_has_a_partition",
    ),
    Bug(
        "begun-by-one-alone",
        "All nodes that build a version of the views may begin it at once.",
        "streams.versions",
        "        except ViewChangeError:\n            return await self._begin(max_events_per_s)",
        "        except ViewChangeError:\n            raise",
        "tests/contract/test_versions.py::test_all_that_build_a_version_may_begin_it_at_once",
    ),
]


_REPEATS = [
    Bug(
        "repeat-overwrites",
        "What comes again with an idempotency key changes nothing.",
        "streams.domain.context",
        "        if is_known:\n",
        "        if is_known is None:\n",
        "tests/unit/test_repeats.py::test_a_repeat_does_not_overwrite_what_came_after_it",
    ),
    Bug(
        "repeat-attaches-again",
        "An attach that comes again with an idempotency key has the verdict of the first time.",
        "streams.domain.session",
        "if is_keyed and (kept :=",
        "if not is_keyed and (kept :=",
        "tests/unit/test_repeats.py::test_attached_once_with_the_verdict_of_the_first_time",
    ),
    Bug(
        "lease-ignored",
        "While a request is executed, no other with its idempotency key is.",
        "streams.domain.idempotency",
        "if held.lease and time_ms < held.time_ms + limits.lease_ms:",
        "if held.generation < 0:",
        "tests/unit/test_idempotency_fold.py::test_one_at_a_time_and_the_same_answer_again",
    ),
    Bug(
        "late-lease-ends",
        "Whoever lost its lease does not answer for the one that was admitted since.",
        "streams.domain.idempotency",
        "        case KeyFinished():\n            if held is not None and held.lease == event.lease:\n",
        "        case KeyFinished():\n            if held is not None:\n",
        "tests/unit/test_idempotency_fold.py::test_only_the_last_lease_counts",
    ),
    Bug(
        "refused-repeat-forgotten",
        "A repeat that is refused after an unknown outcome leaves the next one the same events.",
        "streams.domain.idempotency",
        "if event.forgotten and not held.again:",
        "if event.forgotten:",
        "tests/unit/test_idempotency_fold.py::test_what_is_refused_after_an_unknown_outcome_stays_the_same",
    ),
    Bug(
        "fingerprint-ignored",
        "An idempotency key is no other request's.",
        "streams.domain.idempotency",
        "if held.fingerprint != event.fingerprint:",
        "if not held.fingerprint:",
        "tests/unit/test_idempotency_fold.py::test_another_request",
    ),
    Bug(
        "answered-before-noted",
        "A request with an idempotency key is answered once its answer is in the log.",
        "service.http.idempotency",
        "        await one.end(saved)\n",
        "        self._begin(one.end(saved))\n",
        "tests/unit/test_http_idempotency.py::test_what_was_begun_and_may_be_in_the_log",
    ),
    Bug(
        "repeat-with-another-id",
        "A request that is repeated with its idempotency key writes events of the same ids.",
        "service.commands.callers",
        "return entropy(16).hex() if self.keyed is None else self.keyed.event_id(number)",
        "return entropy(16).hex()",
        "tests/unit/test_http_idempotency.py::test_an_unknown_outcome_is_tried_again_as_the_same_event",
    ),
]


_ERASURE = [
    Bug(
        "sessions-keep-what-is-erased",
        "Each session that has a context takes it off once it is erased.",
        "streams.domain.context",
        "yield ToSession(session, Erased(self._context))",
        "continue",
        "tests/unit/test_erasure_fold.py::test_nothing_is_left_but_that_it_was_erased",
    ),
    Bug(
        "repeats-share-a-key",
        "Each record of a source has a key that no other has.",
        "streams.writer",
        'secrets.token_hex(8) if may_come_again else ""',
        '""',
        "tests/unit/test_erasure_fold.py::test_what_may_be_appended_again_has_a_key_of_its_own_each_time",
    ),
    Bug(
        "receipt-too-early",
        "There is a receipt once nothing is found any more, in changelogs neither.",
        "streams.eraser",
        "if id_ not in recorded | left",
        "if id_ not in recorded",
        "tests/contract/test_erasure.py::test_what_is_left_in_a_changelog_keeps_the_receipt_back",
    ),
    Bug(
        "forgetting-is-an-intruder",
        "What has a changelog on Kafka forget what was erased is no other writer's to its owner.",
        "streams.engine.partition",
        "and not await self._has_no_rows(self.store.offset + 1, first)",
        "",
        "tests/service/test_erased_contexts.py::test_owners_go_on_while_a_context_is_erased",
    ),
    Bug(
        "named-in-vain-stays",
        "An event that names an erased context is erased too where it changes nothing.",
        "streams.domain.session",
        "            yield _named(event)\n        yield Done()",
        "            pass\n        yield Done()",
        "tests/unit/test_erasure_fold.py::test_an_event_that_changes_nothing_is_to_be_erased_too",
    ),
    Bug(
        "all-is-compacted",
        "While something is erased, brokers have nothing to compact where nothing of it is.",
        "streams.eraser",
        "for partition in sorted(partitions):",
        "for partition in range(self._partitions):",
        "tests/contract/test_erasure.py::test_what_is_not_concerned_is_left_alone",
    ),
    Bug(
        "tables-rewritten-too-early",
        "A store is rewritten once it has what its changelog had when there was a receipt.",
        "streams.engine.rewriting",
        "if table.has_all_since(number, self.since_s):",
        "if True:",
        "tests/contract/test_rewriting.py::test_copies_that_are_behind_are_rewritten_later",
    ),
    Bug(
        "left-is-not-compacted",
        "What the folds have made of a deleted session in other partitions is compacted from the first look on.",
        "streams.eraser",
        "{found.partition for found in self._waits_for} | self._left_in",
        "{found.partition for found in self._waits_for}",
        "tests/contract/test_erasure.py::test_what_is_not_concerned_is_left_alone",
    ),
    Bug(
        "receipts-held-back",
        "Whoever goes on to write to an erased context holds back no other's receipt.",
        "streams.eraser",
        "if id_ not in recorded | left",
        "if not recorded | left",
        "tests/contract/test_erasure.py::test_who_goes_on_to_write_holds_back_no_other_receipt",
    ),
    Bug(
        "no-end-after-erasing",
        "Whoever folds a partition comes to its end, also where its last records were erased.",
        "streams.log.embedded",
        "await self.append(topic, partition, COMPACT_KEY, None)",
        "pass",
        "tests/contract/test_erasure.py::test_whoever_folds_comes_to_the_end",
    ),
    Bug(
        "erased-bytes-stay",
        "What is erased is gone from the disk.",
        "streams.log.embedded_directory",
        '"secure_delete = ON"',
        '"secure_delete = OFF"',
        "tests/contract/test_erasure.py::test_all_that_was_recorded_is_gone[embedded]",
    ),
]


def _named(bugs: Iterable[Bug]) -> dict[str, Bug]:
    named = {}
    for bug in bugs:
        assert bug.name not in named, bug.name
        named[bug.name] = bug
    return named


BUGS: Mapping[str, Bug] = _named(
    [*_WRITES, *_ENGINE, *_FOLDS, *_SERVICE, *_REBUILDS, *_REPEATS, *_WEBHOOKS, *_HISTORY, *_ERASURE]
)
