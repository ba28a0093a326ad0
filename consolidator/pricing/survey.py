"""Which stones reach each rule of a ruleset: what the checks of `lint.py` look at. Pure."""

from dataclasses import dataclass

from consolidator.pricing.amounts import ONE
from consolidator.pricing.regions import Box, Space, meet, subtract
from consolidator.pricing.ruleset import Ruleset


@dataclass(frozen=True)
class Surveyed:
    """The regions of a ruleset's rules, in their order."""

    ruleset: Ruleset
    space: Space
    boxes: list[list[Box]]  # the stones that a rule's conditions are met by
    reach: list[list[Box]]  # of these, those that no earlier rule takes
    left: list[Box]  # the stones that no rule takes

    def meet_but_for(self, field: str, first: int, second: int) -> bool:
        """Whether a stone could meet both rules, were it not for this field."""
        place = self.space.place(field)
        return any(
            meet(a[:place] + a[place + 1 :], b[:place] + b[place + 1 :]) is not None
            for a in self.boxes[first]
            for b in self.boxes[second]
        )


def survey(ruleset: Ruleset) -> Surveyed:
    """Take every rule's conditions apart. Raises TooManyBoxes."""
    tax = ONE + (ruleset.tax.percent if ruleset.tax else 0)
    space = Space([rule.when for rule in ruleset.rules], tax)
    left: list[Box] = [space.everything]
    boxes, reach = [], []
    for rule in ruleset.rules:
        own = space.boxes(rule.when)
        boxes.append(own)
        reach.append([shared for a in own for b in left if (shared := meet(a, b))])
        for hole in own:
            left = subtract(left, hole)
    return Surveyed(ruleset, space, boxes, reach, left)
