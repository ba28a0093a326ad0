"""Suppliers of files beside the GraphQL one, over the same stock: IDEX's ZIPs and Nivoda's CSV.

A new file is made every two hours of the stock's time, IDEX's lab-grown one every hour; the same
bytes come in between. The whole list is in a file; who asks says who he is in the body.
"""

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from simulator import file_rows, file_switches
from simulator.answers import Note
from simulator.board import NO_HITS, Hits
from simulator.file_rows import Item
from simulator.stock import Stock
from simulator.switches import RowSwitch

IDEX = "/onsite/api"
NIVODA = "/feeds-api/ftpdownload"

FORMATS = {False: "format_20220525_basis", True: "format_lg_20221130"}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of what is in an archive: the same file is the same bytes

Row = list[str]


class FileAnswer(NamedTuple):
    status: int  # of HTTP
    body: bytes
    media_type: str
    note: Note


class Made(NamedTuple):
    """The rows of one file, as they were when it was made."""

    tick: int
    lines: list[bytes]  # CSV, header first


class Layout(NamedTuple):
    header: tuple[str, ...]
    row: Callable[[Item], Row]
    ticks: int  # between two files


IDEX_LAYOUTS = {
    False: Layout(file_rows.NATURAL, file_rows.natural, 2),
    True: Layout(file_rows.LABGROWN, file_rows.labgrown, 1),
}
NIVODA_LAYOUT = Layout(file_rows.NIVODA, file_rows.nivoda, 2)


class Files:
    """The files of one simulator. Not for threads."""

    def __init__(self, stock: Stock, *, username: str, password: str) -> None:
        """username, password: IDEX's key and secret"""
        self.stock = stock
        self._account = {"api_key": username, "api_secret": password}
        self._made: dict[tuple[str, bool], Made] = {}

    def secret(self, which: str) -> str:
        """The uuid in the URL of Nivoda's natural or labgrown file."""
        return str(uuid5(NAMESPACE_URL, f"{self.stock.seed}:{which}"))

    def idex(self, body: bytes, labgrown: bool, hits: Hits = NO_HITS) -> FileAnswer:
        """Answer one POST for IDEX's file of a kind."""
        note = Note(kind="file")
        if refused := self._refused(body, labgrown):
            return _error(note, 500, *refused)
        if hit := hits.get(file_switches.JsonError):
            hits.show(file_switches.JsonError)
            return _error(note, hit.switch.status, hit.switch.code, "File is not available")
        if hits.get(file_switches.Empty200):
            hits.show(file_switches.Empty200)
            return FileAnswer(200, b"[]", "application/json", note)
        made = self._file("idex", labgrown, IDEX_LAYOUTS[labgrown], hits)
        lines = _spoilt(made.lines, hits, self.stock.seed)
        note.items = len(lines) - 1
        if hits.get(file_switches.Headerless):
            hits.show(file_switches.Headerless)
            lines = lines[1:]
        names = [f"{FORMATS[labgrown]}.csv"]
        if hits.get(file_switches.TwoFiles):
            hits.show(file_switches.TwoFiles)
            names.append("read_me.csv")
        return FileAnswer(200, _zip(names, b"".join(lines)), "application/zip", note)

    def nivoda(self, secret: str, hits: Hits = NO_HITS) -> FileAnswer:
        """Answer one GET of Nivoda's CSV."""
        note = Note(kind="file")
        kinds = {self.secret("natural"): False, self.secret("labgrown"): True}
        if secret not in kinds:
            note.error = "no such file"
            return FileAnswer(404, b"Not Found", "text/plain", note)
        if hits.get(file_switches.Empty200):
            hits.show(file_switches.Empty200)
            return FileAnswer(200, b"", "text/csv", note)
        made = self._file("nivoda", kinds[secret], NIVODA_LAYOUT, hits)
        lines = _spoilt(made.lines, hits, self.stock.seed)
        note.items = len(lines) - 1
        return FileAnswer(200, b"".join(lines), "text/csv", note)

    def _refused(self, body: bytes, labgrown: bool) -> tuple[int, str] | None:
        """The code and words of a request that is not as it must be."""
        try:
            sent = json.loads(body)
        except ValueError:
            sent = None
        sent = sent if isinstance(sent, dict) else {}
        account, parameters = sent.get("authentication_details"), sent.get("parameters")
        if not isinstance(account, dict):
            return 2001, "No authentication section"
        if not isinstance(parameters, dict):
            return 2002, "No parameters section"
        if {"api_key", "api_secret"} - account.keys() or "data_format" not in parameters:
            return 3112, "Missing required fields"
        if account != self._account:
            return 32110, "The account is not known"
        if parameters["data_format"] != FORMATS[labgrown]:
            return 32111, "The format is not known"
        return None

    def _file(self, supplier: str, labgrown: bool, layout: Layout, hits: Hits) -> Made:
        key = supplier, labgrown
        made = self._made.get(key)
        if made is not None and hits.get(file_switches.Stale):
            hits.show(file_switches.Stale)
            return made
        tick = self.stock.time - self.stock.time % layout.ticks
        if made is None or made.tick != tick:
            stock = self.stock
            if stock.time != tick:
                stock = Stock.at(
                    *stock.sizes, stock.seed, tick, movement=stock.movement, base=stock.base
                )
            rows = map(layout.row, file_rows.available(stock.shelf(labgrown)))
            made = self._made[key] = Made(tick, [_line(layout.header), *map(_line, rows)])
        return made


def _spoilt(lines: list[bytes], hits: Hits, seed: int) -> list[bytes]:
    """The file as the switches show it."""
    header, *rows = lines
    if hit := hits.get(file_switches.ShortFile):
        hits.show(file_switches.ShortFile)
        rows = rows[: int(len(rows) * hit.switch.share)]
    if hit_layout := hits.get(file_switches.LayoutChange):
        hits.show(file_switches.LayoutChange)
        header, rows = _other_layout(hit_layout.switch, header, rows)
    for kind, spoil in _SPOIL.items():
        switch = hits.present(kind)
        if switch is None:
            continue
        hits.show(kind)
        own = seed if switch.seed is None else switch.seed
        chance = random.Random(f"{own}:{kind.name}")
        rows = [spoil(row, header) if chance.random() < switch.probability else row for row in rows]
    return [header, *rows]


def _other_layout(
    switch: file_switches.LayoutChange, header: bytes, rows: list[bytes]
) -> tuple[bytes, list[bytes]]:
    names = _fields(header)
    if switch.how == "added":
        more = [_line([*_fields(row), "new"]) for row in rows]
        return _line([*names, "Something New"]), more
    place = names.index(switch.column) if switch.column in names else 0
    fewer = [_line(_without(_fields(row), place)) for row in rows]
    return _line(_without(names, place)), fewer


def _without(fields: Row, place: int) -> Row:
    return fields[:place] + fields[place + 1 :]


def _set(row: bytes, header: bytes, values: dict[str, str]) -> bytes:
    names, fields = _fields(header), _fields(row)
    return _line([values.get(name, field) for name, field in zip(names, fields, strict=True)])


_SPOIL: dict[type[RowSwitch], Callable[[bytes, bytes], bytes]] = {
    file_switches.WrongKind: lambda row, header: _set(
        row,
        header,
        {"Certificate Number": "LG600100200", "labgrownType": "CVD", "Grading Lab": "IGI"},
    ),
    file_switches.NoPrices: lambda row, header: _set(
        row,
        header,
        dict.fromkeys(("Total Price", "Price Per Carat", "price", "deliveredPrice"), ""),
    ),
    file_switches.Ragged: lambda row, _: _line(_fields(row)[:-3]),
    file_switches.BadEncoding: lambda row, _: row.rstrip(b"\r\n") + b"\xe9\xff\r\n",
}


def _fields(line: bytes) -> Row:
    return next(csv.reader([line.decode("utf-8", "surrogateescape")]))


def _line(fields: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(fields)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _zip(names: list[str], content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _error(note: Note, status: int, code: int, text: str) -> FileAnswer:
    note.error = text
    said = {"result_info": {"response_code": code, "response_description": text}}
    return FileAnswer(status, json.dumps(said).encode(), "application/json", note)
