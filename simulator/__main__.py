"""`python -m simulator`: simulated diamonds suppliers on a port of this machine.

Exit codes: 0 after SIGTERM or SIGINT, 1 when it could not start, 2 for wrong usage.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from simulator import serve
from simulator.auth import TOKEN_LIFETIME_S, Door
from simulator.board import Board
from simulator.faults import BadFaultError, read_flag
from simulator.requestlog import RequestLog
from simulator.search import Search
from simulator.server import Delays, Site
from simulator.stock import BASE, STONES_MAX, TICKS_MAX, Stock
from simulator.supplier import Supplier
from simulator.switches import AnySwitch


def main(argv: Sequence[str] | None = None) -> int:
    started = time.monotonic()
    wanted = _parser().parse_args(argv)
    with contextlib.ExitStack() as stack:
        try:
            if wanted.ready_file is not None:
                wanted.ready_file.parent.mkdir(parents=True, exist_ok=True)
                wanted.ready_file.unlink(missing_ok=True)
            listener = stack.enter_context(serve.listen(wanted.host, wanted.port))
            log_file = (
                stack.enter_context(wanted.log.open("a", encoding="utf-8")) if wanted.log else None
            )
        except OSError as error:
            _fail(f"cannot start: {error}")

        stock = Stock.at(
            wanted.natural, wanted.labgrown, wanted.seed, wanted.time, base=wanted.base_time
        )
        board = Board(stock.seed)
        board.switch({one.name: one for one in wanted.fault})
        search = Search(stock, board.look_of)
        built_s = time.monotonic() - started
        door = Door(
            username=wanted.username,
            password=wanted.password,
            seed=wanted.seed,
            lifetime_s=wanted.token_lifetime_s,
            clock=time.time,
        )
        site = Site(
            Supplier(search, door),
            RequestLog(log_file),
            Delays(every_ms=wanted.latency_ms, page_ms=wanted.page_latency_ms),
            started={"start_seconds": round(built_s, 3)},  # to read, make and index
            board=board,
            account=(wanted.username, wanted.password),
        )

        def ready() -> None:
            where = serve.announce(wanted.ready_file, listener)
            sys.stdout.write(json.dumps(where) + "\n")
            sys.stdout.flush()

        serve.run(site.app, listener, ready, site.stopping.set)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    add = parser.add_argument
    add("--natural", type=_whole(STONES_MAX), default=50_000, help="natural stones at time 0")
    add("--labgrown", type=_whole(STONES_MAX), default=50_000, help="lab-grown stones at time 0")
    add("--seed", type=_whole(2**63 - 1), default=1, help="the same seed gives the same stock")
    add("--time", type=_whole(TICKS_MAX), default=0, help="hours that the stock has moved")
    add("--base-time", type=_moment, default=BASE, help="the moment of time 0, in ISO 8601")
    add("--host", default="127.0.0.1")
    add("--port", type=_whole(65_535), default=0, help="0 takes a free one")
    add("--log", type=Path, help="file that gets one JSON line a request, appended")
    add("--ready-file", type=Path, help="file that gets url and pid once it serves")
    add("--username", default="facet")
    add(
        "--password",
        default=os.environ.get("SIMULATOR_PASSWORD", "facet"),
        help="default: $SIMULATOR_PASSWORD, which no process list shows, or facet",
    )
    add("--token-lifetime-s", type=_amount, default=TOKEN_LIFETIME_S)
    add("--latency-ms", type=_amount, default=0, help="added to every answer")
    add("--page-latency-ms", type=_amount, default=0, help="added to every page on top")
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME[:KEY=VALUE,...]",
        help="switch a fault on, such as slow:probability=0.1,ms=500; may be given again",
    )
    return parser


def _fault(text: str) -> AnySwitch:
    try:
        return read_flag(text)
    except BadFaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _whole(high: int) -> Callable[[str], int]:
    """Reads a whole number from 0 to `high`."""

    def whole(text: str) -> int:
        value = int(text)
        if not 0 <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between 0 and {high}")
        return value

    return whole


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not an amount from 0 up")
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"simulator: {message}\n")
    raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
