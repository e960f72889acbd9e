"""Settings: defaults, a file, variables and flags, in that order; what is broken is refused, all of it at once."""

from __future__ import annotations

import dataclasses
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.adapters.kafka import kafka_config
from service.cli.config import line
from service.listeners import bound, public_url
from service.setting_kinds import Address, Role, read_address
from service.setting_sources import Loaded, SettingsError, load_settings
from service.settings import SETTINGS, Settings, text_of
from streams.log.kafka_config import KafkaConfig

KEY = "0f" * 32


def loaded(file: str | None = None, tmp_path: Path | None = None, /, **given: str) -> Loaded:
    """Load settings from a file's text, variables (upper case) and flags (lower case)."""
    path = None
    if file is not None:
        assert tmp_path is not None
        path = tmp_path / "upnext.toml"
        path.write_text(file)
    environ = {name: text for name, text in given.items() if name.isupper()}
    return load_settings(path, environ, {name: text for name, text in given.items() if name.islower()})


def faults(file: str | None = None, tmp_path: Path | None = None, /, **given: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        loaded(file, tmp_path, **given)
    return refused.value.faults


def test_nothing_given() -> None:
    """Without a word a node is one process on an embedded log that only this machine reaches."""
    settings, origins = loaded()
    assert settings == dataclasses.replace(Settings(), partitions=8)
    assert (settings.listen, settings.internal) == (Address("127.0.0.1", 8080), Address("127.0.0.1", 8081))
    assert (settings.kafka, settings.roles) == (None, frozenset({Role.API, Role.STREAMS}))
    assert set(origins.values()) == {"default"}


def test_the_later_source_counts(tmp_path: Path) -> None:
    """A flag before a variable, a variable before the file, the file before the default."""
    file = "log_level = 'debug'\nlisten = '127.0.0.1:1'\ninternal = '127.0.0.1:2'"
    settings, origins = loaded(
        file, tmp_path, UPNEXT_LISTEN="127.0.0.1:3", UPNEXT_INTERNAL="127.0.0.1:4", internal="127.0.0.1:5"
    )
    assert (settings.log_level, settings.listen.port, settings.internal.port) == ("debug", 3, 5)
    assert origins["log_level"] == f"log_level in {tmp_path / 'upnext.toml'}"
    assert (origins["listen"], origins["internal"], origins["data"]) == ("UPNEXT_LISTEN", "--internal", "default")


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    """In a container the file is named by a variable."""
    (tmp_path / "a.toml").write_text("partitions = 3")
    settings, _ = load_settings(None, {"UPNEXT_CONFIG": str(tmp_path / "a.toml")}, {})
    assert settings.partitions == 3


def test_a_file_in_its_own_types(tmp_path: Path) -> None:
    """Numbers and lists of words are written in a file as TOML has them."""
    file = 'partitions = 4\nstale_reads_max_s = 7.5\nroles = ["api", "streams"]\nkafka = ["a:1", "b:2"]'
    settings, _ = loaded(file, tmp_path)
    assert (settings.partitions, settings.stale_reads_max_s, settings.kafka) == (4, 7.5, "a:1,b:2")


def test_partitions_where_nobody_says() -> None:
    """8 embedded, 16 on Kafka."""
    assert loaded().settings.partitions == 8
    assert loaded(kafka="a:9092").settings.partitions == 16
    assert loaded(kafka="a:9092", partitions="7").settings.partitions == 7


def test_an_empty_variable_is_not_there() -> None:
    """`UPNEXT_KAFKA=` is how a shell or a compose file says nothing."""
    assert loaded(UPNEXT_KAFKA="").settings.kafka is None


def test_variables_of_the_tests_are_not_ours() -> None:
    """`UPNEXT_TEST_…` tells the tests something."""
    assert loaded(UPNEXT_TEST_KAFKA="x:1").settings.kafka is None


def test_everything_broken_is_named_at_once(tmp_path: Path) -> None:
    """One start is enough to learn of every fault, with its own name for where it stands."""
    found = faults(
        "partitions = 0\ntopics = 3\n[kafka]\nbootstrap = 'a:1'",
        tmp_path,
        UPNEXT_LISTENN="x",
        UPNEXT_INTERNAL="8081",
        UPNEXT_MASTER_KEY="secret-but-short",
        roles="api,cook",
    )
    text = "\n".join(found)
    assert len(found) == 7
    for name in ("partitions in ", "topics in ", "kafka in ", "UPNEXT_INTERNAL", "UPNEXT_MASTER_KEY", "--roles"):
        assert any(fault.startswith(name) for fault in found), name
    assert "did you mean UPNEXT_LISTEN?" in text
    assert "not '8081'" in text
    assert "secret-but-short" not in text


@pytest.mark.parametrize("file", ["listen = ", "= 3", 'a = "\\x"'])
def test_a_file_that_is_no_toml(tmp_path: Path, file: str) -> None:
    """The file is named, and where it is broken."""
    assert "upnext.toml is not TOML" in faults(file, tmp_path)[0]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that was asked for and cannot be read is no file that may be left out."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.toml", {}, {})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("listen", "127.0.0.1"),
        ("listen", "127.0.0.1:65536"),
        ("listen", ":8080"),
        ("listen", "::1:8080"),
        ("internal", "http://a:1"),
        ("internal_url", "a:1"),
        ("internal_url", "http://a:1/path"),
        ("internal_url", "ftp://a"),
        ("internal_url", "http://a:x"),
        ("public_url", "a.example"),
        ("kafka", "a"),
        ("kafka", "a:0"),
        ("kafka", "a:1,,b:2"),
        ("partitions", "1025"),
        ("partitions", "-1"),
        ("partitions", "1_0"),
        ("partitions", "8.0"),
        ("stale_reads_max_s", "nan"),
        ("stale_reads_max_s", "inf"),
        ("stale_reads_max_s", "3601"),
        ("kafka_append_limit_s", "0"),
        ("kafka_replication", "0"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("roles", ""),
        ("data", ""),
        ("kafka_security_protocol", "TLS"),
        ("kafka_sasl_mechanism", "GSSAPI"),
    ],
)
def test_what_a_setting_must_be(name: str, bad: str) -> None:
    """A text that is no value of its setting is refused, and the sentence says what it must be."""
    (fault,) = faults(**{name: bad})
    flag = f"--{name.replace('_', '-')}"
    assert fault.startswith(f"{flag} must be ")
    assert fault.endswith(f", not {bad!r}.")


@pytest.mark.parametrize("bad", ["ab" * 31, "zz" * 32, KEY + " ", "0x" + KEY[2:]])
def test_a_master_key_that_is_none(bad: str) -> None:
    """It is 64 hexadecimal digits, and never shown."""
    (fault,) = faults(UPNEXT_MASTER_KEY=bad)
    assert "openssl rand -hex 32" in fault
    assert bad not in fault


@pytest.mark.parametrize("bad", ["short", "with a space in between", "ü" * 20, "x" * 513])
def test_an_admin_token_that_could_be_guessed_or_not_sent(bad: str) -> None:
    """It goes into a header, and opens everything."""
    (fault,) = faults(UPNEXT_ADMIN_TOKEN=bad)
    assert bad not in fault


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"roles": "api"}, "embedded log"),
        ({"roles": "streams"}, "embedded log"),
        ({"kafka_replication": "3"}, "--kafka-replication"),
        ({"listen": "127.0.0.1:8081"}, "another port"),
        ({"kafka": "a:1", "internal": "0.0.0.0:8081"}, "internal_url"),
        ({"kafka": "a:1", "internal": "[::]:8081"}, "internal_url"),
        ({"kafka": "a:1", "kafka_security_protocol": "SASL_SSL"}, "kafka_sasl_password"),
        ({"kafka": "a:1", "kafka_sasl_username": "u"}, "PLAINTEXT"),
        ({"kafka": "a:1", "UPNEXT_KAFKA_SASL_PASSWORD": "p"}, "PLAINTEXT"),
        ({"kafka": "a:1", "kafka_tls_ca": "ca.pem"}, "PLAINTEXT"),
        ({"kafka": "a:1", "kafka_security_protocol": "SSL", "kafka_tls_key": "k"}, "kafka_tls_certificate"),
    ],
)
def test_settings_that_contradict_each_other(given_: dict[str, str], words: str) -> None:
    """What would be ignored, or could never work, is refused."""
    assert any(words in fault for fault in faults(**given_))


def test_settings_that_go_together() -> None:
    """Roles on Kafka; every address, with a URL; a login, over TLS."""
    settings, _ = loaded(
        kafka="a:1",
        roles="streams",
        internal="0.0.0.0:8081",
        internal_url="http://node-1:8081/",
        kafka_security_protocol="sasl_ssl",
        kafka_sasl_username="u",
        UPNEXT_KAFKA_SASL_PASSWORD="p",
        kafka_tls_ca="ca.pem",
    )
    assert (settings.answers, settings.folds, settings.internal_url) == (False, True, "http://node-1:8081")
    assert settings.kafka_security_protocol == "SASL_SSL"


@given(st.text(max_size=30))
def test_addresses_are_read_as_they_are_written(text: str) -> None:
    """Whatever is read as an address is written as it was read."""
    address = read_address(text)
    if address is not None:
        assert read_address(str(address)) == address


def test_every_setting_is_declared_whole() -> None:
    """A default that its own kind reads, one sentence, no flag for a secret."""
    for setting in SETTINGS:
        assert setting.description[0].isupper(), setting.name
        assert setting.description.endswith("."), setting.name
        assert (setting.flag is None) == setting.secret
        if setting.default is not None:
            assert setting.kind.read(setting.default) == getattr(Settings(), setting.name)
            assert text_of(setting, Settings()) == setting.default


def test_kafkas_defaults_are_one() -> None:
    """The settings' defaults are those of whoever starts without settings."""
    assert kafka_config(loaded(kafka="a:1").settings) == KafkaConfig("a:1")
    assert kafka_config(Settings()) is None


def test_the_printed_defaults_can_be_read(tmp_path: Path) -> None:
    """A node that is told what it would do anyway does it."""
    text = "\n".join(line(setting, loaded()) for setting in SETTINGS)
    assert loaded(text, tmp_path).settings == loaded().settings


def test_config_prints_a_file_that_can_be_read(tmp_path: Path) -> None:
    """What `upnext config` prints is TOML of the same settings, without the secrets."""
    before = loaded(
        kafka="a:1,b:2",
        data='da"ta',
        stale_reads_max_s="7.5",
        UPNEXT_MASTER_KEY=KEY,
        UPNEXT_ADMIN_TOKEN="token-of-the-tests",
    )
    text = "\n".join(line(setting, before) for setting in SETTINGS)
    assert KEY not in text
    assert "token-of-the-tests" not in text
    assert "# master_key = ********" in text
    assert tomllib.loads(text)["data"] == 'da"ta'
    after, _ = loaded(text, tmp_path)
    assert dataclasses.replace(before.settings, master_key=None, admin_token=None) == after


@pytest.mark.parametrize(
    ("given_", "url", "warns"),
    [
        ({"listen": "127.0.0.1:0"}, "http://127.0.0.1:{port}", False),
        ({"listen": "0.0.0.0:0"}, "http://0.0.0.0:{port}", True),
        ({"listen": "0.0.0.0:0", "public_url": "https://tv.example/"}, "https://tv.example", False),
        ({"roles": "streams", "kafka": "a:1"}, "http://127.0.0.1:8080", True),
        ({"roles": "streams", "kafka": "a:1", "public_url": "https://tv.example"}, "https://tv.example", False),
    ],
)
def test_where_clients_find_media(given_: dict[str, str], url: str, *, warns: bool) -> None:
    """Where it is said, or else where the node listens, with a warning where that leads nowhere."""
    settings, _ = loaded(**given_)
    with ExitStack() as closing, capture_logs() as logs:
        sockets = closing.enter_context(bound(settings.listen, "listen")) if settings.answers else []
        port = sockets[0].getsockname()[1] if sockets else 0
        assert public_url(settings, sockets) == url.format(port=port)
    assert [log["event"] for log in logs] == ["public_url_unknown"] * warns
