"""Read YAML into plain values and the line of each, without trusting the text.

A small part of YAML: mappings, lists and scalars. Anchors, aliases and tags are refused, and with
them recursion and alias bombs; so is a key given twice. A plain scalar is a number only as digits
with at most one point, a truth value only as `true` or `false`, null only as `null`, `~` or
nothing; so `NO` stays a word, and 1.10 is exact.
"""

import re
from decimal import Decimal
from typing import NamedTuple

import yaml

from shared.errors import BadRuleset

TEXT_BYTES_MAX = 1_000_000  # 1,000 rules with room to spare
NODES_MAX = 200_000
DEPTH_MAX = 60
NUMBER_CHARS_MAX = 30
QUOTED_CHARS_MAX = 80  # the longest name of a rule

Path = tuple[str | int, ...]
Value = None | bool | int | Decimal | str | list["Value"] | dict[str, "Value"]

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


class Document(NamedTuple):
    value: Value
    lines: dict[Path, int]  # of every value, from 1; that of a mapping's entry is its key's


class _Open:
    """A mapping or list that is still being read."""

    def __init__(self, path: Path, *, is_mapping: bool) -> None:
        self.path = path
        self.mapping: dict[str, Value] | None = {} if is_mapping else None
        self.items: list[Value] = []
        self.key: str | None = None  # of the entry whose value comes next


def read(text: str, source: str) -> Document:
    """Read one document. Raises BadRuleset, with the line, for everything that is not allowed."""
    if len(text.encode(errors="replace")) > TEXT_BYTES_MAX:
        raise BadRuleset(f"{source}: longer than {TEXT_BYTES_MAX:,} bytes; split the ruleset")
    building = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            building.take(event)
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise _unreadable(error, source) from error
    return Document(building.value, building.lines)


class _Builder:
    def __init__(self, source: str) -> None:
        self.source = source
        self.value: Value = None
        self.lines: dict[Path, int] = {}
        self.open: list[_Open] = []
        self.documents = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._refuse(event, "a second document (`---`); keep one ruleset a file")
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"the alias *{cut(event.anchor or '')}; write the value out")
        elif isinstance(event, yaml.NodeEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self.open.pop()
            self._put(done.items if done.mapping is None else done.mapping)

    def _start(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            self._refuse(
                event, f"the anchor &{cut(event.anchor)}; write the value out where it is used"
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._refuse(event, f"the tag {cut(tag)}; leave it out")
        if isinstance(event, yaml.ScalarEvent) and self._is_key():
            self._take_key(event)
            return
        if self._is_key():
            self._refuse(event, "a key that is no plain word")
        path = self._path()
        self.lines.setdefault(path, _line(event))
        if len(self.lines) > NODES_MAX:
            self._refuse(event, f"more than {NODES_MAX:,} values; split the ruleset")
        if isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event))
            return
        if len(self.open) >= DEPTH_MAX:
            self._refuse(event, f"nesting deeper than {DEPTH_MAX} levels")
        self.open.append(_Open(path, is_mapping=isinstance(event, yaml.MappingStartEvent)))

    def _is_key(self) -> bool:
        return bool(self.open) and self.open[-1].mapping is not None and self.open[-1].key is None

    def _take_key(self, event: yaml.ScalarEvent) -> None:
        inside = self.open[-1]
        key = event.value
        first = self.lines.get((*inside.path, key))
        if first is not None:
            self._refuse(event, f"the key {cut(key)!r} a second time (first on line {first})")
        inside.key = key
        self.lines[(*inside.path, key)] = _line(event)

    def _path(self) -> Path:
        if not self.open:
            return ()
        inside = self.open[-1]
        return (*inside.path, len(inside.items) if inside.key is None else inside.key)

    def _put(self, value: Value) -> None:
        if not self.open:
            self.value = value
            return
        inside = self.open[-1]
        if inside.mapping is None or inside.key is None:
            inside.items.append(value)
        else:
            inside.mapping[inside.key] = value
            inside.key = None

    def _scalar(self, event: yaml.ScalarEvent) -> Value:
        text: str = event.value
        if event.style:  # quoted, or a block of text
            return text
        if text.lower() in _WORDS and text in (text.lower(), text.upper(), text.capitalize()):
            return _WORDS[text.lower()]
        if not _NUMBER.fullmatch(text):
            return text
        if len(text) > NUMBER_CHARS_MAX:
            self._refuse(event, f"a number of more than {NUMBER_CHARS_MAX} characters")
        return Decimal(text) if "." in text else int(text)

    def _refuse(self, event: yaml.Event, found: str) -> None:
        raise BadRuleset(f"{self.source}, line {_line(event)}: {found}")


def cut(text: str) -> str:
    """A text of the file as messages quote it."""
    return text if len(text) <= QUOTED_CHARS_MAX else text[:QUOTED_CHARS_MAX] + "…"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _unreadable(error: Exception, source: str) -> BadRuleset:
    """One sentence of a parser's error."""
    mark = getattr(error, "problem_mark", None)
    where = source if mark is None else f"{source}, line {mark.line + 1}"
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return BadRuleset(f"{where}: not readable as YAML: {problem}; check indentation and quotes")
