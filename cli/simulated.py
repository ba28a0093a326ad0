"""The simulated supplier as the command line starts it: a process, and what it remembers.

Its stock is made from a seed and a logical time; `simulated.json` in the data folder keeps both, so
that the next start goes on where this one was.
"""

import secrets
import sys
from pathlib import Path

import httpx
import tenacity
from pydantic import BaseModel, ValidationError

from cli.embedded.home import write_private
from cli.embedded.servers import free_ports
from cli.embedded.supervisor import Supervisor
from shared.errors import NotNow

USERNAME = "demo@facet.example"
ENDPOINT = "/api/diamonds"
READY_TIMEOUT_S = 120


class Simulated(BaseModel, frozen=True):
    """A simulated supplier: the same fields give the same stock."""

    natural: int
    labgrown: int
    seed: int
    time: int = 0  # logical, in steps; each moves the stock a little
    url: str = ""
    password: str = ""

    def same_stock(self, other: "Simulated") -> bool:
        """Whether the two differ in their time at most."""
        return (self.natural, self.labgrown, self.seed) == (
            other.natural,
            other.labgrown,
            other.seed,
        )


def remembered(home: Path) -> Simulated | None:
    """The simulated supplier that this data folder was last fed by."""
    try:
        return Simulated.model_validate_json(_file(home).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def next_step(home: Path, natural: int, labgrown: int, seed: int) -> tuple[Simulated, bool]:
    """The supplier for a new demo: one step on, or a new one; and whether it is another stock."""
    wanted = Simulated(natural=natural, labgrown=labgrown, seed=seed)
    before = remembered(home)
    if before is None:
        return wanted, False
    if before.same_stock(wanted):
        return wanted.model_copy(update={"time": before.time + 1}), False
    return wanted, True


def start(supervisor: Supervisor, wanted: Simulated) -> Simulated:
    """Start it under a supervisor and wait until it answers; returns it with its address."""
    port = free_ports(1)[0]
    home = supervisor.home
    started = wanted.model_copy(
        update={"url": f"http://127.0.0.1:{port}{ENDPOINT}", "password": secrets.token_hex(12)}
    )
    argv = [
        *(sys.executable, "-m", "simulator", "--port", str(port)),
        *("--natural", str(wanted.natural), "--labgrown", str(wanted.labgrown)),
        *("--seed", str(wanted.seed), "--time", str(wanted.time)),
        *("--username", USERNAME),
        *("--log", str(home / "logs" / "simulator-requests.jsonl")),
    ]
    secret = {"SIMULATOR_PASSWORD": started.password}
    child = supervisor.start_process("simulator", argv, secret, stop_last=True)
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(READY_TIMEOUT_S),
        wait=tenacity.wait_fixed(0.05),
        retry=tenacity.retry_if_exception_type(httpx.TransportError),
        reraise=True,
    )

    def ask() -> None:
        if child.exit_code() is not None:
            raise NotNow(f"the simulated supplier did not start: {child.tail()}")
        httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).raise_for_status()

    retrying(ask)
    write_private(_file(home), started.model_dump_json(indent=2))
    return started


def account_of(home: Path) -> dict[str, str]:
    """The settings that reach the simulated supplier of a data folder; none where it has none."""
    known = remembered(home)
    if known is None:
        return {}
    return {
        "FACET_NIVODA_URL": known.url,
        "FACET_NIVODA_USERNAME": USERNAME,
        "FACET_NIVODA_PASSWORD": known.password,
        "FACET_IDEX_URL": known.url.removesuffix(ENDPOINT) + "/onsite/api",
        "FACET_IDEX_API_KEY": USERNAME,
        "FACET_IDEX_API_SECRET": known.password,
    }


def _file(home: Path) -> Path:
    return home / "simulated.json"
