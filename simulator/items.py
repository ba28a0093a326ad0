"""Items of an answer: what is nested in what, and the building of them, column by column.

`project` builds the asked fields of the asked rows; `complete` is all there is to ask.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from simulator import make
from simulator.fields import FIELDS, Batch, Field, Values, constant
from simulator.shelf import Rows, Shelf


class Nested(NamedTuple):
    """A field that holds an object, or a list of at most one."""

    family: str
    many: bool = False
    media: int = 0  # only there where the stone has this medium; 0: always there


OBJECTS: dict[tuple[str, str], Nested] = {
    ("DiamondItem", "diamond"): Nested("Diamond"),
    ("Diamond", "certificate"): Nested("Certificate"),
    ("Diamond", "v360"): Nested("V360Info", media=make.V360),
    ("Diamond", "supplier"): Nested("Company"),
    ("Diamond", "delivery_time"): Nested("DeliveryTime"),
    ("Certificate", "v360"): Nested("V360Info", media=make.V360),
    ("Certificate", "diamonds"): Nested("Diamond", many=True),
    ("Certificate", "product_images"): Nested("Image", many=True, media=make.IMAGE),
    ("Certificate", "product_videos"): Nested("Video", many=True, media=make.VIDEO),
    ("Company", "locations"): Nested("Location", many=True),
}
_ENDLESS = {("Certificate", "diamonds")}  # leads back to the diamond: only as deep as asked


class Leaf(NamedTuple):
    key: str  # its name in the answer
    values: Field


class Branch(NamedTuple):
    key: str
    nested: Nested
    fields: "Fields"


Fields = tuple[Leaf | Branch, ...]


def project(fields: Fields, batch: Batch) -> list[dict[str, Any]]:
    """One object a row, with the given fields in their order."""
    keys = [field.key for field in fields]
    columns = [
        field.values(batch) if isinstance(field, Leaf) else _nested(field, batch)
        for field in fields
    ]
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]


def _nested(branch: Branch, batch: Batch) -> Values:
    objects: Values = project(branch.fields, batch)
    _, many, media = branch.nested
    if many:
        objects = [[found] for found in objects]
    if media:
        absent: Any = [] if many else None
        there = batch.has(media)
        objects = [o if has else absent for o, has in zip(objects, there, strict=True)]
    return objects


def leaf(family: str, field: str, key: str) -> Leaf:
    """The field of a family, under the name it has in the answer. Raises KeyError."""
    return Leaf(key, FIELDS[family][field])


def recast(found: Leaf, to_type: Callable[[Any], Any] | None) -> Leaf:
    """The same field with other values; None: the same."""
    if to_type is None:
        return found
    return Leaf(found.key, lambda batch: [to_type(value) for value in found.values(batch)])


def type_of(family: str) -> str:
    """The family's type in the schema."""
    return "ProductMedia" if family in ("Image", "Video") else family


def type_name(family: str, key: str) -> Leaf:
    """`__typename`, under the name it has in the answer."""
    return Leaf(key, constant(type_of(family)))


def complete(family: str = "DiamondItem") -> Fields:
    """Every field there is, under its own name."""
    leaves = tuple(Leaf(name, values) for name, values in FIELDS[family].items())
    branches = tuple(
        Branch(name, nested, complete(nested.family))
        for (owner, name), nested in OBJECTS.items()
        if owner == family and (owner, name) not in _ENDLESS
    )
    return leaves + branches


def raw(shelf: Shelf, rows: Rows) -> list[dict[str, Any]]:
    """The complete items of the given rows, as the supplier would say them."""
    return project(complete(), Batch(shelf, np.asarray(rows)))
