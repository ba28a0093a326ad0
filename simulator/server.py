"""The supplier over HTTP, with a door for whoever runs it.

POST /api/diamonds      the supplier's GraphQL
POST /onsite/api/fullfeed, /onsite/api/labgrownfullfile   IDEX's files
GET  /feeds-api/ftpdownload/UUID                          Nivoda's file, a secret UUID each
GET  /healthz           200 as soon as it serves
GET  /control/state     time, sizes, requests, memory
POST /control/advance   {"ticks": 1}: time goes on, the stock moves
GET  /control/faults    the switches that are on: {name: {option: value}}
POST /control/faults    switches the named ones on, or sets them anew; null switches one off
DELETE /control/faults  switches all of them off
"""

import asyncio
import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from simulator import files, mishaps
from simulator.answers import Note
from simulator.board import Board, Hits
from simulator.faults import BadFaultError, read_changes
from simulator.files import FileAnswer, Files
from simulator.requestlog import Entry, RequestLog
from simulator.stock import TICKS_MAX
from simulator.supplier import Supplier

ENDPOINT = "/api/diamonds"
BODY_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class Delays:
    """What an answer waits for before it leaves."""

    every_ms: float = 0
    page_ms: float = 0  # on top, where a page was asked

    def seconds(self, kind: str) -> float:
        return (self.every_ms + self.page_ms * (kind == "page")) / 1000


class Site:
    """The routes, over one supplier and one log."""

    def __init__(
        self,
        supplier: Supplier,
        log: RequestLog,
        delays: Delays,
        started: dict[str, Any],
        board: Board | None = None,
        account: tuple[str, str] = ("facet", "facet"),
    ) -> None:
        """
        account  IDEX's key and secret
        started  what `/control/state` says of the start, as it is
        board    whose look the supplier's search has; None: one with nothing switched on
        """
        self.supplier = supplier
        self.board = board or Board(supplier.search.stock.seed)
        supplier.search.look = self.board.look_of
        self.stopping = asyncio.Event()  # whoever serves it sets it; ends what only waits
        self.files = Files(supplier.search.stock, username=account[0], password=account[1])
        self.log = log
        self.delays = delays
        self.started = started
        self.app = Starlette(
            routes=[
                Route(ENDPOINT, self.diamonds, methods=["POST"]),
                Route(ENDPOINT + "/", self.diamonds, methods=["POST"]),
                Route(f"{files.IDEX}/fullfeed", self.natural_file, methods=["POST"]),
                Route(f"{files.IDEX}/labgrownfullfile", self.labgrown_file, methods=["POST"]),
                Route(files.NIVODA + "/{secret}", self.nivoda_file, methods=["GET"]),
                Route("/healthz", self.healthz, methods=["GET"]),
                Route("/control/state", self.state, methods=["GET"]),
                Route("/control/advance", self.advance, methods=["POST"]),
                Route("/control/faults", self.faults, methods=["GET", "POST", "DELETE"]),
            ]
        )

    async def diamonds(self, request: Request) -> Response:
        """Every request to the supplier passes here, from its arrival to its answer."""
        with self.log.request() as entry:
            self.board.requests += 1
            number = self.board.requests
            try:
                body = await request.body()
            except ClientDisconnect:
                return Response(status_code=400)  # to nobody
            if len(body) > BODY_BYTES_MAX:
                entry.status = 413
                return PlainTextResponse("too large", status_code=413)
            if self.board.present:
                return await self._under_faults(request, body, number, entry)
            answer = self.supplier.answer(body, request.headers.get("authorization"))
            entry.note = answer.note
            if delay_s := self.delays.seconds(answer.note.kind):
                await asyncio.sleep(delay_s)
            entry.status = answer.status
            return Response(answer.body, answer.status, media_type="application/json")

    async def _under_faults(
        self, request: Request, body: bytes, number: int, entry: Entry
    ) -> Response:
        """The same, with whatever hits this request."""
        hits = self.board.hits(number)
        entry.faults = hits.shown
        entry.note = self.supplier.look(body, hits)
        found = await mishaps.instead(hits, request, self.stopping)
        if found is None:
            answer = self.supplier.answer(body, request.headers.get("authorization"), hits)
            entry.note = answer.note
            whole = Response(answer.body, answer.status, media_type="application/json")
            found = mishaps.broken(hits, whole)
        else:
            entry.note.error = f"{hits.shown[-1]}: no answer of the supplier's own"
        await asyncio.sleep(self.delays.seconds(entry.note.kind))
        await mishaps.wait(hits, self.stopping)
        entry.status = None if isinstance(found, mishaps.Broken) else found.status_code
        return found

    async def natural_file(self, request: Request) -> Response:
        """IDEX's natural file."""
        body = await request.body()
        return await self._file(request, lambda hits: self.files.idex(body, False, hits))

    async def labgrown_file(self, request: Request) -> Response:
        """IDEX's lab-grown file."""
        body = await request.body()
        return await self._file(request, lambda hits: self.files.idex(body, True, hits))

    async def nivoda_file(self, request: Request) -> Response:
        """Nivoda's CSV."""
        secret = request.path_params["secret"]
        return await self._file(request, lambda hits: self.files.nivoda(secret, hits))

    async def _file(self, request: Request, answer: Callable[[Hits], FileAnswer]) -> Response:
        """Every request for a file passes here; it is no crawl."""
        with self.log.request() as entry:
            self.board.requests += 1
            hits = self.board.hits(self.board.requests)
            hits.arrived("file", None)
            entry.note = Note(kind="file")
            entry.faults = hits.shown
            found = await mishaps.instead(hits, request, self.stopping)
            if found is None:
                made = answer(hits)
                entry.note = made.note
                whole = Response(made.body, made.status, media_type=made.media_type)
                found = mishaps.broken(hits, whole)
            else:
                entry.note.error = f"{hits.shown[-1]}: no answer of the supplier's own"
            await asyncio.sleep(self.delays.seconds("file"))
            await mishaps.wait(hits, self.stopping)
            entry.status = None if isinstance(found, mishaps.Broken) else found.status_code
            return found

    async def healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def state(self, _: Request) -> Response:
        return JSONResponse(self._state())

    async def advance(self, request: Request) -> Response:
        """Let time go on. All requests wait meanwhile; none sees half a tick."""
        try:
            ticks = json.loads(await request.body() or b"{}").get("ticks", 1)
        except (ValueError, AttributeError):
            ticks = None
        if type(ticks) is not int or not 1 <= ticks <= TICKS_MAX:
            error = f'send {{"ticks": n}}, n from 1 to {TICKS_MAX}'
            return JSONResponse({"error": error}, status_code=400)
        stock = self.supplier.search.stock
        for _ in range(ticks):
            stock.advance()
        self.supplier.search.renew()
        return JSONResponse(self._state())

    async def faults(self, request: Request) -> Response:
        """What is switched on. Where stones look different by it, all requests wait meanwhile."""
        renewed = False
        if request.method == "DELETE":
            renewed = self.board.clear()
        elif request.method == "POST":
            try:
                renewed = self.board.switch(read_changes(await request.body()))
            except BadFaultError as error:
                return JSONResponse({"error": str(error)}, status_code=400)
        if renewed:
            self.supplier.search.renew()
        return JSONResponse(self.board.dump())

    def _state(self) -> dict[str, Any]:
        stock = self.supplier.search.stock
        return {
            "seed": stock.seed,
            "time": stock.time,
            "now": stock.now.isoformat(),
            "natural": stock.natural.size,
            "labgrown": stock.labgrown.size,
            "requests": dict(self.log.by_kind),
            "refused": self.log.refused,
            "peak_requests_1s": self.log.peak_in_window,
            "in_flight": self.log.in_flight,
            "peak_in_flight": self.log.peak_in_flight,
            "faults": dict(self.board.counts),
            "nivoda_files": {
                which: f"{files.NIVODA}/{self.files.secret(which)}"
                for which in ("natural", "labgrown")
            },
            "peak_rss_bytes": peak_rss_bytes(),
            **self.started,
        }


def peak_rss_bytes() -> int:
    """The most memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
