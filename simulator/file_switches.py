"""The fault switches of the suppliers of files. Data only."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from simulator.switches import AnySwitch, RowSwitch, Switch, number


class Empty200(Switch):
    """HTTP 200 and an empty list, or an empty file."""

    name = "empty-200"


class JsonError(Switch):
    """Error JSON in place of the ZIP."""

    name = "json-error"
    status: Annotated[Literal[200, 401, 500], BeforeValidator(number)] = 500
    code: int = 32110


class Stale(Switch):
    """The same file although time has passed."""

    name = "stale"


class LayoutChange(Switch):
    """A column was added at the end, or `column` is gone."""

    name = "layout"
    how: Literal["added", "removed"] = "added"
    column: str = "Total Price"


class Headerless(Switch):
    """IDEX's file comes without its row of headers."""

    name = "header"


class TwoFiles(Switch):
    """Two CSV files in the archive."""

    name = "two-files"


class ShortFile(Switch):
    """A share of the rows, and no more."""

    name = "short-file"
    share: float = Field(default=0.1, ge=0, le=1)


class WrongKind(RowSwitch):
    """A lab-grown stone in the natural file."""

    name = "wrong-kind"


class NoPrices(RowSwitch):
    """A row with empty price columns."""

    name = "no-prices"


class Ragged(RowSwitch):
    """A row that is too narrow."""

    name = "ragged"


class BadEncoding(RowSwitch):
    """Bytes that are no UTF-8."""

    name = "encoding"


ALL: tuple[type[AnySwitch], ...] = (
    *(Empty200, JsonError, Stale, LayoutChange, Headerless, TwoFiles, ShortFile),
    *(WrongKind, NoPrices, Ragged, BadEncoding),
)
