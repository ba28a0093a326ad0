import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared import failpoints

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "scheduler", "worker", "consolidator")

LOOPS = """
from shared import failpoints
for n in range(5):
    failpoints.reached("ack.before")
    print(n, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a campaign prepares."""
    for name in ("armed", "struck"):
        (tmp_path / name).mkdir()
    (tmp_path / failpoints.MARK).touch()
    return tmp_path


def run(folder: Path) -> tuple[int, str]:
    """A process of its own that comes to a point five times: how it ended, what it printed."""
    ended = subprocess.run(
        [sys.executable, "-c", LOOPS],
        env={**os.environ, failpoints.VARIABLE: str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_every_point_in_the_code_is_in_the_list_and_every_one_of_the_list_in_the_code() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")
    )
    commits = set(re.findall(r'\btransaction\([\w.]+, "(\w+)"\)', source))
    points = set(re.findall(r'\bfailpoints\.reached\("([\w.]+)"\)', source))
    assert commits == set(failpoints.COMMITS)
    of_commits = {f"{name}.{when}_commit" for name in commits for when in ("before", "after")}
    assert points | of_commits == set(failpoints.NAMES)
    assert len(failpoints.NAMES) == len(set(failpoints.NAMES))


def test_a_point_kills_at_the_time_that_it_was_armed_for_and_only_once(folder: Path) -> None:
    (folder / "armed" / "ack.before").write_text("kill 3")
    assert run(folder) == (-signal.SIGKILL, "0\n1\n")
    assert (folder / "struck" / "ack.before").read_text().startswith("kill ")
    assert run(folder) == (0, "0\n1\n2\n3\n4\n")
    assert len((folder / "reached").read_text().splitlines()) == 3 + 5


def test_a_folder_without_the_mark_switches_nothing_on(folder: Path) -> None:
    (folder / failpoints.MARK).unlink()
    (folder / "armed" / "ack.before").write_text("kill 1")
    assert run(folder) == (0, "0\n1\n2\n3\n4\n")
    assert not (folder / "reached").exists()
