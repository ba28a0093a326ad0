"""What is wrong, or looks wrong, with a ruleset that can be read.

Pure, and without any stone: gaps, overlaps and reach are found by intersecting the rules' regions
(`regions.py`), prices compared in `lint_prices.py`. docs/pricing.md explains each kind of finding.
"""

from collections.abc import Callable, Iterator, Sequence

from consolidator.pricing.conditions import InRange, OneOf
from consolidator.pricing.fields import FIELDS, Sort
from consolidator.pricing.findings import Finding, Kind, about
from consolidator.pricing.lint_prices import always_refused, dearer_cheaper
from consolidator.pricing.matching import tests_of
from consolidator.pricing.regions import TooManyBoxes, meet
from consolidator.pricing.ruleset import Ruleset
from consolidator.pricing.survey import Surveyed, survey

GAPS_SAID_MAX = 10
PAIRS_MAX = 2_000_000  # compared boxes

# The widest gap between two brackets that is taken for a slip: 1.00, 0.01 carat, 1.
_TOUCHING = {Sort.MONEY: 100, Sort.DECIMAL: 10, Sort.WHOLE: 1}


def lint(ruleset: Ruleset) -> list[Finding]:
    """Everything found, in the order of the file; empty for a sound ruleset.

    200 rules of brackets take about half a second, 1,000 about five. Rules too entangled to take
    apart give a finding TOO_COMPLEX instead of the checks that need it.
    """
    findings = list(_spelling(ruleset))
    try:
        surveyed = survey(ruleset)
    except TooManyBoxes:
        said = "the conditions are too entangled for gaps, overlaps and reach to be checked"
        findings.append(Finding(Kind.TOO_COMPLEX, said, None, 1))
    else:
        for check in _CHECKS:
            findings += check(surveyed)
    return sorted(findings, key=lambda finding: finding.line)


def _spelling(ruleset: Ruleset) -> Iterator[Finding]:
    for number, rule in enumerate(ruleset.rules):
        for test in tests_of(rule.when) if rule.when is not None else ():
            for key in test.keys if isinstance(test, OneOf) else ():
                if FIELDS[test.field].capitals and isinstance(key, str):
                    wanted = key.strip().upper()
                    if wanted != key:
                        said = f"{test.field} {key!r} matches no stone: they say {wanted}"
                        yield about(ruleset, number, Kind.SPELLING, said)


def _gaps(surveyed: Surveyed) -> Iterator[Finding]:
    left, ruleset = surveyed.left, surveyed.ruleset
    if not left:
        return
    last = ruleset.line_of(len(ruleset.rules) - 1)
    said = "some stones match no rule; close the gaps, or end with a rule without `when`"
    yield Finding(Kind.NO_DEFAULT, said, None, last)
    for box in left[:GAPS_SAID_MAX]:
        yield Finding(Kind.GAP, f"no rule for {surveyed.space.text(box)}", None, last)
    if len(left) > GAPS_SAID_MAX:
        more = len(left) - GAPS_SAID_MAX
        yield Finding(Kind.GAP, f"no rule for {more} more kinds of stone", None, last)


def _reach(surveyed: Surveyed) -> Iterator[Finding]:
    ruleset = surveyed.ruleset
    for number, (own, reach) in enumerate(zip(surveyed.boxes, surveyed.reach, strict=True)):
        if not own:
            said = "no stone can meet its conditions: they contradict each other"
            yield about(ruleset, number, Kind.IMPOSSIBLE, said)
        elif not reach:
            earlier = [
                ruleset.rules[n].name
                for n in range(number)
                if any(meet(a, b) for a in own for b in surveyed.reach[n])
            ]
            names = ", ".join(repr(name) for name in earlier[:3])
            more = f" and {len(earlier) - 3} more" if len(earlier) > 3 else ""
            said = f"never reached: {names}{more} before it takes its stones; move it up or drop it"
            yield about(ruleset, number, Kind.UNREACHABLE, said)


def _overlaps(surveyed: Surveyed) -> Iterator[Finding]:
    """Price rules that ask about the same fields and cross on one of them."""
    ruleset, space = surveyed.ruleset, surveyed.space
    flat = [
        (number, box)
        for number, boxes in enumerate(surveyed.boxes)
        if ruleset.rules[number].price is not None
        for box in boxes
    ]
    if len(flat) ** 2 > 2 * PAIRS_MAX:
        said = "too many rules for overlaps to be looked for"
        yield Finding(Kind.TOO_COMPLEX, said, None, 1)
        return
    asked = {
        box: tuple(a != b for a, b in zip(box, space.everything, strict=True)) for _, box in flat
    }
    seen: set[tuple[int, int]] = set()
    for place, (first, one) in enumerate(flat):
        for second, other in flat[place + 1 :]:
            if first == second or (first, second) in seen or asked[one] != asked[other]:
                continue
            shared = meet(one, other)
            if shared is None or not any(
                a & ~b and b & ~a for a, b in zip(one, other, strict=True)
            ):
                continue
            seen.add((first, second))
            said = (
                f"overlaps {ruleset.rules[first].name!r}, which comes first and takes"
                f" {space.text(shared)}; let one end where the other begins"
            )
            yield about(ruleset, second, Kind.OVERLAP, said)


def _boundaries(surveyed: Surveyed) -> Iterator[Finding]:
    """A bracket that ends just below where another begins, as if `to` were inclusive."""
    ruleset = surveyed.ruleset
    ranges = [
        (number, test)
        for number, rule in enumerate(ruleset.rules)
        if rule.when is not None
        for test in tests_of(rule.when)
        if isinstance(test, InRange)
    ]
    lows = {(test.field, test.low) for _, test in ranges}
    for number, test in ranges:
        field, high = FIELDS[test.field], test.high
        if high is None or (test.field, high) in lows:
            continue
        highest = high + _TOUCHING[field.sort]
        for other, above in ranges:
            if above.field != test.field or above.low is None or not high < above.low <= highest:
                continue
            if surveyed.meet_but_for(test.field, number, other):
                end = field.text(above.low)
                said = (
                    f"{field.name} from {field.text(high)} to below {end} lies between this rule"
                    f" and {ruleset.rules[other].name!r}; `to` is exclusive: write"
                    f" `to: {end.replace(',', '')}`"
                )
                yield about(ruleset, number, Kind.BOUNDARY, said)
                break


_CHECKS: Sequence[Callable[[Surveyed], Iterator[Finding]]] = (
    _gaps,
    _reach,
    _overlaps,
    _boundaries,
    dearer_cheaper,
    always_refused,
)
