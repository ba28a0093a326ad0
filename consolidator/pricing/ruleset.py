"""A ruleset: the YAML file of docs/pricing.md as checked, unchanging values.

Pure: text in, models out. Its rules are those of `rule.py`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator

from consolidator.pricing.amounts import ONE
from consolidator.pricing.numbers import PERCENT_MAX, Day, Markup, Rate, Rise, Share
from consolidator.pricing.problems import Problem, explain_errors
from consolidator.pricing.reader import Path, cut, read
from consolidator.pricing.rule import Guards, Model, Name, Price, Rounding, Rule, Text
from shared.errors import BadRuleset

RULES_MAX = 1_000
RULESETS_KEPT = 8  # a fold reads the active one each time


def _currency(value: str) -> str:
    if re.fullmatch("[A-Z]{3}", value) is None:
        raise ValueError("a currency is three capital letters")
    return value


Currency = Annotated[str, AfterValidator(_currency)]


class DatedRate(Model):
    """What one unit of a currency is worth in the shop's."""

    rate: Rate
    as_of: Day
    source: Text


class Tax(Model):
    """Tax or duty on the cost, in percent of it."""

    percent: Rise


def _beginning(value: str) -> str:
    if re.fullmatch("[0-9a-f]{12,64}", value) is None:
        raise ValueError("a checksum, or its first 12 characters or more; in quotes if all digits")
    return value


class Experiment(Model):
    """A share of the stones is priced by another ruleset, to compare."""

    name: Name  # the same name assigns the same stones
    variant: Annotated[str, AfterValidator(_beginning)]  # the other ruleset's checksum
    share: Share  # of all stones, in parts per million


class Ruleset(Model):
    """Rules in order, and what holds for all of them."""

    name: Name
    description: str = Field(default="", max_length=2_000)
    currency: Currency  # the shop's
    rates: Mapping[Currency, DatedRate] = {}
    tax: Tax | None = None
    bases: Mapping[Text, Markup] = {}
    rounding: Rounding = Rounding(to=Decimal("0.01"), mode="nearest")
    guards: Guards = Guards()
    experiment: Experiment | None = None
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=RULES_MAX)

    _lines: dict[Path, int] = PrivateAttr(default_factory=dict)
    _checksum: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.currency in self.rates:
            raise Problem.at(("rates", self.currency), "the shop's own currency needs no rate")
        names: set[str] = set()
        for number, rule in enumerate(self.rules):
            if rule.name in names:
                where = ("rules", number, "name")
                raise Problem.at(where, "a rule before it has this name; choose another")
            names.add(rule.name)
            self._check_price(number, rule)
            self._check_guards(number, rule)
        stated = self.model_dump(mode="json")
        if self.experiment is None:
            del stated["experiment"]  # younger than checksums that are kept
        content = json.dumps(stated, sort_keys=True)
        self._checksum = hashlib.sha256(content.encode()).hexdigest()
        return self

    def _check_price(self, number: int, rule: Rule) -> None:
        if rule.price is None or rule.price.base is None:
            return
        where = ("rules", number, "price", "base")
        if rule.price.base not in self.bases:
            known = cut(", ".join(self.bases) or "none")
            raise Problem.at(where, f"there is no base {rule.price.base!r} (bases: {known})")
        if not 0 < self.factor_parts(rule) <= PERCENT_MAX + ONE:
            raise Problem.at(where, "base and modifier together leave -100 % to 99,900 %")

    def _check_guards(self, number: int, rule: Rule) -> None:
        guards = self.guards_of(rule)
        if guards.floor and guards.ceiling and guards.floor > guards.ceiling:
            own = rule.guards is not None
            where: Path = ("rules", number, "guards") if own else ("guards",)
            raise Problem.at(where, "the floor lies above the ceiling; no price can pass")

    def factor_parts(self, rule: Rule) -> int:
        """What the taxed cost is multiplied by, in parts per million; 1 where only `add` is."""
        price = rule.price or Price(add=0)
        if price.factor is not None:
            return price.factor
        markup = price.percent or 0
        if price.base is not None:
            markup = self.bases[price.base] + (price.modifier or 0)
        return ONE + markup

    def rounding_of(self, rule: Rule) -> Rounding:
        return rule.rounding or self.rounding

    def guards_of(self, rule: Rule) -> Guards:
        return self.guards.overruled_by(rule.guards)

    @property
    def checksum(self) -> str:
        """SHA-256 of the content; comments, order of keys and ways of writing leave it alone."""
        return self._checksum

    def line_of(self, rule: int) -> int:
        """Where a rule, counted from 0, begins in its file; 1 where there is none."""
        return self._lines.get(("rules", rule), 1)


def read_ruleset(value: Any, source: str, lines: dict[Path, int]) -> Ruleset:
    """Check what a file holds. Raises BadRuleset."""
    if not isinstance(value, dict):
        raise BadRuleset(f"{source}: empty, or no mapping of name, currency and rules")
    try:
        ruleset = Ruleset.model_validate(value)
    except ValidationError as error:
        raise BadRuleset(explain_errors(error, value, source, lines)) from error
    ruleset._lines = {path: line for path, line in lines.items() if len(path) <= 2}
    return ruleset


@lru_cache(maxsize=RULESETS_KEPT)
def load_ruleset(text: str, source: str) -> Ruleset:
    """Read and check a ruleset file.

    text    the file's content; `source` names it in messages

    Raises BadRuleset, naming source, line, rule and what to do; up to ten problems, one a line.
    About 20 ms for 200 rules, and nothing for the same text again.
    """
    document = read(text, source)
    return read_ruleset(document.value, source, document.lines)
