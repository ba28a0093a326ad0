"""One rule of a ruleset file, and what it is made of, as checked, unchanging values.

Pure. Numbers are whole: money in cents, percentages and factors in parts per million.
"""

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    field_serializer,
    model_validator,
)

from consolidator.pricing import conditions
from consolidator.pricing.conditions import Condition
from consolidator.pricing.numbers import (
    Amount,
    Bound,
    Ending,
    Factor,
    Fall,
    Margin,
    Markup,
    Percent,
    Rise,
    Step,
)
from consolidator.pricing.problems import Problem
from consolidator.pricing.reader import Value

Text = Annotated[str, Field(max_length=200, pattern=r"\S")]
Name = Annotated[str, Field(max_length=80, pattern=r"^\S(.*\S)?$")]


def _when(value: Value) -> Condition:
    try:
        return conditions.parse(value)
    except conditions.BadCondition as error:
        raise Problem.at(error.path, str(error)) from error


When = Annotated[Condition | None, PlainValidator(_when), PlainSerializer(conditions.canonical)]


class Model(BaseModel):
    """Null for a key is the same as leaving it out, but for what a model keeps as null."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    nulls: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _stated(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if v is not None or k in cls.nulls}


class Rounding(Model):
    """The prices there may be: `ending` more than a multiple of a step, or multiples of `to`."""

    to: Step | None = None
    ending: Ending | None = None
    mode: Literal["up", "nearest"]

    @model_validator(mode="before")
    @classmethod
    def _cent(cls, value: Any) -> Any:
        return {"to": Decimal("0.01"), "mode": "nearest"} if value == "cent" else value

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.to is None) == (self.ending is None):
            raise ValueError("a rounding is `cent`, or has `mode` and one of `to` and `ending`")
        return self

    @property
    def step_cents(self) -> int:
        if self.ending is None:
            return self.to or 1
        whole = self.ending // 100
        return 100 * int(10 ** len(str(whole))) if whole else 100  # 9.95 ends whole tens


class Guards(Model):
    """Bounds that a price is refused beyond; None: no such bound. A guard never moves a price."""

    nulls = frozenset({"margin_min", "floor", "ceiling", "rise_max", "fall_max"})

    margin_min: Margin | None = None  # of the price
    floor: Bound | None = None
    ceiling: Bound | None = None
    rise_max: Rise | None = None  # of the present price
    fall_max: Fall | None = None  # of the present price

    def overruled_by(self, other: "Guards | None") -> "Guards":
        """These, apart from those that `other` states, be it as null."""
        if other is None:
            return self
        stated = {name: getattr(other, name) for name in other.model_fields_set}
        return self.model_copy(update=stated)


class Price(Model):
    """taxed cost × (1 + percent or base and modifier, or × factor) + add."""

    percent: Markup | None = None
    factor: Factor | None = None
    base: Text | None = None
    modifier: Percent | None = None  # percentage points on the base
    add: Amount | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        stated = [self.percent, self.factor, self.base]
        if sum(one is not None for one in stated) > 1:
            raise ValueError("a price has one of percent, factor and base")
        if self.add is None and all(one is None for one in stated):
            raise ValueError("a price states percent, factor, base or add")
        if self.modifier is not None and self.base is None:
            raise ValueError("a modifier needs a base to modify; state `base` or use `percent`")
        return self


class Rule(Model):
    """One step of the list: who it is for, and a price or a refusal."""

    nulls = frozenset({"when"})  # an error: it would take every stone

    name: Name
    when: When = None  # None: every stone
    price: Price | None = None
    refuse: Text | None = None  # why, for the people who ask
    sell_below_cost: bool = Field(default=False, strict=True)
    rounding: Rounding | None = None  # None: the ruleset's
    guards: Guards | None = None  # those that differ from the ruleset's

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.price is None) == (self.refuse is None):
            raise ValueError("a rule has either `price` or `refuse`")
        if self.refuse and (self.rounding or self.guards or self.sell_below_cost):
            raise ValueError("a rule that refuses has no rounding, guards or sell_below_cost")
        return self

    @field_serializer("guards")
    def _stated_guards(self, guards: Guards | None) -> dict[str, Any] | None:
        return None if guards is None else guards.model_dump(mode="json", exclude_unset=True)
