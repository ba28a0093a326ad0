"""Read JSON payloads as columns of text: a row for a payload, a column for a leaf.

Pure functions. Two ways lead to the same columns. The quick one decodes a document by its shape,
which skips what was not asked for, and refuses whatever is not plainly in order. What it refuses
the careful one takes, document by document, and says what is wrong with it.

A number reads as its shortest text (`1.10` as "1.1"), a boolean as "true" or "false", null and a
missing key as null. Keys that were not asked for are ignored.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import msgspec
import polars as pl
from msgspec.structs import astuple

from shared.rejections import Reason

DETAIL_CHARS_MAX = 200

_NUL = b"\\u0000"  # no text of PostgreSQL holds one
_BACKSLASH = _NUL[0]  # one byte is found sooner than six

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Row = dict[str, str | int | None]
Tree = dict[str, "Tree | list[str]"]  # object key → object, or the names of a leaf's columns


class Broken(NamedTuple):
    seq: int  # row of the input, from 0
    offer_id: str | None  # None where it could not be read
    reason: Reason
    detail: str


class Columns(NamedTuple):
    """Every input row is in exactly one of the two."""

    frame: pl.DataFrame  # `seq` (Int64), then a String column for each name asked for
    broken: list[Broken]


def read_columns(payloads: Sequence[bytes], paths: Mapping[str, str]) -> Columns:
    """Read one column for each of `paths` from every payload.

    payloads  each one JSON document in UTF-8; whatever else it is makes it broken
    paths     column name → dotted path, such as {"carat": "diamond.certificate.carats"}; two
              columns may have one path; `offer_id` must be among them

    About 200,000 offers a second the quick way and 20,000 the careful way.
    """
    shape = _shape(tuple(paths.items()))
    documents: list[msgspec.Struct] = []
    seqs: list[int] = []
    doubtful: list[int] = []
    for seq, payload in enumerate(payloads):
        try:
            document = shape.decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            doubtful.append(seq)
            continue
        if _BACKSLASH in payload and _NUL in payload:
            doubtful.append(seq)
        else:
            documents.append(document)
            seqs.append(seq)
    frame = pl.DataFrame(schema={"seq": pl.Int64} | dict.fromkeys(paths, pl.String))
    if documents:
        quick = {"seq": pl.Series(seqs, dtype=pl.Int64)} | dict(_leaves(documents, shape.tree))
        frame = pl.DataFrame(quick).select(frame.columns)
    if not doubtful:
        return Columns(frame, [])
    rows, broken = _read_each(payloads, doubtful, shape.tree)
    careful = pl.DataFrame(rows, schema=frame.schema, orient="row")
    return Columns(pl.concat([frame, careful]).sort("seq"), broken)


class _Shape(NamedTuple):
    tree: Tree
    decoder: "msgspec.json.Decoder[msgspec.Struct]"


@cache
def _shape(paths: tuple[tuple[str, str], ...]) -> _Shape:
    tree = _tree(dict(paths))
    return _Shape(tree, msgspec.json.Decoder(_struct(tree)))


def _struct(tree: Tree) -> type[msgspec.Struct]:
    """What a document must look like: objects where there are, and leaves that are no list."""
    fields: list[tuple[str, Any, Any]] = []
    for place, (key, node) in enumerate(tree.items()):
        kind = str | int | float | bool if isinstance(node, list) else _struct(node)
        fields.append((f"f{place}", kind | None, msgspec.field(default=None, name=key)))
    return msgspec.defstruct("Document", fields, gc=False)


def _leaves(documents: Sequence[Any], tree: Tree) -> Iterator[tuple[str, pl.Series]]:
    """The leaves of documents of one shape as columns; at least one document."""
    nothing = (None,) * len(tree)
    rows = [nothing if one is None else astuple(one) for one in documents]
    for node, values in zip(tree.values(), zip(*rows, strict=True), strict=True):
        if isinstance(node, list):
            column = _texts(values)
            yield from ((name, column) for name in node)
        else:
            yield from _leaves(values, node)


def _texts(values: Sequence[Any]) -> pl.Series:
    try:
        return pl.Series(values, dtype=pl.String)  # all of them are text already, or missing
    except TypeError:
        pass
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {int}:
        try:
            return pl.Series(values, dtype=pl.Int64).cast(pl.String)
        except TypeError:  # beyond 64 bits
            pass
    if len(kinds - {str}) == 1:
        # Of one kind, equal values read alike: each is worded once. But 1, 1.0 and True are equal.
        words = {value: _text(value) for value in set(values)}
        return pl.Series([words[value] for value in values], dtype=pl.String)
    return pl.Series([_text(value) for value in values], dtype=pl.String)


def _text(value: str | float | bool | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else _float_text(repr(value))


def _read_each(
    payloads: Sequence[bytes], seqs: Sequence[int], tree: Tree
) -> tuple[list[Row], list[Broken]]:
    """The rows that can be read, and the others with what is wrong with them."""
    rows: list[Row] = []
    broken: list[Broken] = []
    for seq in seqs:
        row: Row = {"seq": seq}
        reason = Reason.BROKEN
        try:
            document = json.loads(
                payloads[seq],
                parse_float=_float_text,
                parse_int=_int_text,
                parse_constant=_no_number,
            )
        except (ValueError, RecursionError) as error:
            problems = [f"not JSON: {error}"]
        else:
            problems = list(_flatten(document, tree, "", row))
            if isinstance(document, dict):
                reason = Reason.UNREADABLE
        if problems:
            offer_id = row.get("offer_id")
            detail = problems[0][:DETAIL_CHARS_MAX]
            broken.append(Broken(seq, str(offer_id) if offer_id else None, reason, detail))
        else:
            rows.append(row)
    return rows, broken


def _flatten(value: Any, tree: Tree, path: str, row: Row) -> Iterator[str]:
    """Put the leaves of `value` that can be read into `row`; yield what cannot, by field."""
    if not isinstance(value, dict) and (value is not None or not path):
        yield f"{path or 'document'}: {_shown(value)} in place of an object"
        return
    for key, node in tree.items():
        child = None if value is None else value.get(key)
        where = f"{path}.{key}" if path else key
        if isinstance(node, dict):
            yield from _flatten(child, node, where, row)
        elif child is None:
            row.update(dict.fromkeys(node))
        elif isinstance(child, bool):
            row.update(dict.fromkeys(node, str(child).lower()))
        elif isinstance(child, str) and not _UNSTORABLE.search(child):
            row.update(dict.fromkeys(node, child))
        else:
            yield f"{where}: {_shown(child)}"


def _float_text(text: str) -> str:
    """Shortest, no exponent, no trailing zeros."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large for a number")
    if number == 0:
        return "0"
    plain = format(Decimal(repr(number)), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _int_text(text: str) -> str:
    return "0" if text == "-0" else text


def _no_number(text: str) -> str:
    raise ValueError(f"{text} is no JSON number")


def _shown(value: Any) -> str:
    return json.dumps(value)[:DETAIL_CHARS_MAX]


def _tree(paths: Mapping[str, str]) -> Tree:
    tree: Tree = {}
    for name, path in paths.items():
        *objects, leaf = path.split(".")
        node = tree
        for key in objects:
            below = node.setdefault(key, {})
            if isinstance(below, list):
                raise ValueError(f"{path}: {key} is a leaf already")
            node = below
        found = node.setdefault(leaf, [])
        if isinstance(found, dict):
            raise ValueError(f"{path} is an object already")
        found.append(name)
    return tree
