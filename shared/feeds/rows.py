"""Rows of CSV and NDJSON files as raw offers, one at a time. Pure.

A row that is broken becomes an offer too, one that says so: the mapping rejects it, and nothing
else is lost by it. So a quote that is never closed spoils its own row and not the rest of the file.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic_core import to_json

from shared.feeds.base import RawOffer

# In the payload of a row that could not be read: what is wrong with it, and the row itself.
BROKEN_ROW, BROKEN_TEXT = "broken_row", "row"

ROW_LINES_MAX = 20  # lines that one quoted row may go over
TEXT_CHARS_MAX = 2_000  # kept of a broken row

# Bytes that are no UTF-8 are read as lone surrogates, which no text may hold; see `decoded`.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

csv.field_size_limit(1 << 20)


class Layout(NamedTuple):
    """The columns of a file in their order."""

    keys: Sequence[str]  # as `key_of` makes them, all different
    id_keys: tuple[str, ...]  # those that name an offer; of each row the first that is not empty
    delimiter: str = ","


def key_of(header: str) -> str:
    """A column's header as a key: `Girdle (From / To)` is girdle_from_to."""
    return re.sub(r"[^a-z0-9]+", "_", header.strip().lower()).strip("_")


def keys_of(headers: Sequence[str]) -> list[str]:
    """Keys for a row of headers: an empty one is column_N, a second `x` is x_2."""
    keys: list[str] = []
    for number, header in enumerate(headers, start=1):
        key = wanted = key_of(header) or f"column_{number}"
        again = 2
        while key in keys:
            key = f"{wanted}_{again}"
            again += 1
        keys.append(key)
    return keys


def split(line: str, delimiter: str = ",") -> list[str] | None:
    """The fields of one row; None where a quoted field does not end."""
    try:
        return next(csv.reader((line,), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def csv_offers(lines: Iterable[str], layout: Layout) -> Iterator[RawOffer]:
    """One offer a row; blank lines are none.

    lines    without the header, line ends left on; bytes that are no UTF-8 as lone surrogates
    layout   a row of another width is broken
    """
    waiting = deque[str]()
    following = iter(lines)
    while (line := waiting.popleft() if waiting else next(following, None)) is not None:
        if not line.strip():
            continue
        text, fields = line, split(line, layout.delimiter)
        taken: list[str] = []
        while fields is None and len(taken) < ROW_LINES_MAX:
            more = waiting.popleft() if waiting else next(following, None)
            if more is None:
                break
            taken.append(more)
            text += more
            fields = split(text, layout.delimiter)
        if taken and (fields is None or len(fields) != len(layout.keys)):
            waiting.extendleft(reversed(taken))  # the quote was a stray one: each line by itself
            text, fields = line, None
        yield _csv_offer(text, fields, layout)


def _csv_offer(text: str, fields: list[str] | None, layout: Layout) -> RawOffer:
    if fields is None:
        loose = next(csv.reader((text,), delimiter=layout.delimiter), [])
        return _broken("a quoted field does not end", text, _id(loose, layout))
    if len(fields) != len(layout.keys):
        why = f"{len(fields)} fields in place of {len(layout.keys)}"
        return _broken(why, text, _id(fields, layout))
    if _UNSTORABLE.search(text):
        return _broken("bytes that are no UTF-8 text", text, _id(fields, layout))
    offer_id = _id(fields, layout)
    return RawOffer(offer_id, to_json(dict(zip(layout.keys, fields, strict=True))))


def json_offers(lines: Iterable[str], id_path: str) -> Iterator[RawOffer]:
    """One offer a line of JSON; blank lines are none.

    id_path  dotted, where the offer's id stands in an object
    """
    for line in lines:
        text = line.strip()
        if not text:
            continue
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield _broken(f"not JSON: {error}", text, None)
            continue
        if _UNSTORABLE.search(text):
            yield _broken("bytes that are no UTF-8 text", text, None)
        else:
            yield RawOffer(_id_at(document, id_path), text.encode())


def decoded(line: bytes) -> str:
    """A line as text that can always be made."""
    return line.decode("utf-8", "surrogateescape")


def _id(fields: Sequence[str], layout: Layout) -> str | None:
    for key in layout.id_keys:
        place = layout.keys.index(key)
        found = fields[place].strip() if place < len(fields) else ""
        if found:
            return None if _UNSTORABLE.search(found) else found
    return None


def _id_at(document: object, path: str) -> str | None:
    for key in path.split("."):
        document = document.get(key) if isinstance(document, Mapping) else None
    if isinstance(document, bool) or not isinstance(document, str | int):
        return None
    found = str(document).strip()
    return found if found and not _UNSTORABLE.search(found) else None


def _broken(why: str, text: str, offer_id: str | None) -> RawOffer:
    shown = text.strip()[:TEXT_CHARS_MAX].encode("utf-8", "surrogateescape")
    said = {BROKEN_ROW: why, BROKEN_TEXT: shown.decode("utf-8", "backslashreplace")}
    return RawOffer(offer_id, to_json(said))
