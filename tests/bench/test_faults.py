"""A small part of the fault campaign, with a fixed seed, and that the campaign itself can fail."""

import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from bench.faults import campaign, planted, scenes
from bench.faults.__main__ import NEMESES
from bench.faults.campaign import Player, Result, Spec, State
from bench.faults.folder import Folder
from bench.faults.proxy import Proxy, is_commit
from bench.faults.world import ROOT
from shared import failpoints

SEED = 7
# A kill at a page, a cut-off COMMIT, and a broker that loses everything a tenth of a second into
# the run: on a quick machine a run is over in less than one.
ROUNDS = ("point:page.after_commit:0", "cut:fold.before_commit:0", "flush::11")


@pytest.mark.timeout(1_800)
def test_rounds_of_a_fixed_seed_lose_nothing_and_double_nothing() -> None:
    with Player(SEED) as player:
        for name in ROUNDS:
            result = player.play(Spec.read(name))
            assert result.violations == [], name
            assert sum(result.faults.values()) > 0, name
            assert result.missed == [], name


def test_every_planted_bug_still_has_its_place_in_the_source() -> None:
    for mutant in planted.MUTANTS:
        texts: dict[str, str] = {}
        for edit in mutant.edits:
            text = texts.setdefault(edit.path, (ROOT / edit.path).read_text(encoding="utf-8"))
            assert text.count(edit.old) == 1, (mutant.name, edit.path)
            assert edit.new != edit.old, mutant.name
            texts[edit.path] = text.replace(edit.old, edit.new)


def test_there_are_enough_planted_bugs_and_each_has_who_should_catch_it() -> None:
    names = [mutant.name for mutant in planted.MUTANTS]
    assert len(names) == len(set(names))
    assert len(names) >= 25
    for mutant in planted.MUTANTS:
        for detector in mutant.detectors:
            assert detector == planted.MACHINE or Spec.read(detector).scene in scenes.SCENES


def test_a_campaign_kills_at_every_failpoint_and_at_every_ordered_pair() -> None:
    points = {spec.what for spec in campaign.points() if spec.scene == "point"}
    chains = campaign.pairs(Random(1))
    pairs = [pair for spec in chains for pair in pairwise(spec.what.split("+"))]
    assert points == set(failpoints.NAMES)
    assert len(pairs) == len(set(pairs)) == len(points) ** 2
    assert {one for spec in chains for one in campaign.pairs_of(spec)} == set(pairs)
    assert [spec.big for spec in chains] == sorted(spec.big for spec in chains)


def test_the_same_seed_gives_the_same_rounds_and_each_can_be_named() -> None:
    one, again = (campaign.nemeses(Random(5), NEMESES) for _ in range(2))
    assert one == again
    assert one != campaign.nemeses(Random(6), NEMESES)
    assert all(Spec.read(spec.id) == spec for spec in one + campaign.points())
    assert set(NEMESES) == set(scenes.NEMESES)


def test_a_campaign_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    result = Result("kill::0", False, [("lost", "a stone")], {"kill": 3}, [], {}, [2.0], 1, 1, 3.5)
    State(path).add(result)
    State(path).add(result._replace(id="kill::1", ok=True, violations=[]))
    found = State(path).results
    assert list(found) == ["kill::0", "kill::1"]
    added = campaign.total(found.values())
    assert (added["rounds"], added["ok"], added["lost"], added["attempted"]) == (2, 1, 1, 6)


def test_an_armed_point_is_told_and_heard_of(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.arm("ack.before", "cut", 2)
    switched = failpoints.Armed(tmp_path)
    switched.reached("ack.before")
    assert folder.struck("ack.before") is None
    switched.reached("ack.before")
    strike = folder.struck("ack.before")
    assert strike is not None
    assert strike.action == "cut"
    assert folder.take_cut()
    assert not folder.take_cut()
    assert folder.read() == {"ack.before": 2}
    assert folder.read() == {}


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Path]:
    """A server on a unix socket that answers each thing with the same."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client:
                while data := client.recv(4_096):
                    heard.append(data)
                    client.sendall(data)

        heard.clear()
        threading.Thread(target=serve, daemon=True).start()
        yield path


heard: list[bytes] = []
START = b"\0\0\0\x08\0\x03\0\0"
COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
SELECT = b"Q\0\0\0\x0dSELECT 1\0"


def ask(port: int, *messages: bytes) -> list[bytes]:
    """What comes back for each; b"" where the connection was cut."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(60)
        found = []
        for message in messages:
            client.sendall(message)
            found.append(client.recv(4_096))
        return found


def test_the_proxy_cuts_a_commit_before_its_answer_or_before_it_is_there(echo: Path) -> None:
    with Proxy(echo) as proxy:
        assert ask(proxy.port, START, SELECT, COMMIT) == [START, SELECT, COMMIT]
        proxy.cut_next("answer")
        assert ask(proxy.port, START, SELECT, COMMIT) == [START, SELECT, b""]
        assert heard[-1] == COMMIT
        heard.clear()
        proxy.cut_next("request")
        assert ask(proxy.port, START, COMMIT) == [START, b""]
        assert heard == [START]
        assert (proxy.cuts, proxy.waiting()) == (2, 0)


def test_a_commit_is_known_whether_it_is_a_query_or_a_statement_to_be_parsed() -> None:
    assert is_commit(COMMIT)
    assert is_commit(b"P\0\0\0\x10\0COMMIT\0\0\0")
    assert not is_commit(SELECT)
    assert not is_commit(b"P\0\0\0\x16\0SELECT 'COMMIT'\0\0\0")
