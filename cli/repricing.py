"""`facet ruleset preview|status|reprice|cancel|rollback|report`: what rules do to the catalogue."""

import getpass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from cli import system
from cli.acts import Because
from cli.output import Json, ago, emit, money, say, table
from cli.rulesets import Either, contents, is_file
from shared.db import transaction
from shared.errors import NotNow
from sql import query

if TYPE_CHECKING:
    from consolidator.active import Active
    from consolidator.preview import Preview

REPRICES_SHOWN = 5

# The engine is imported where it is used: half a second that other commands need not wait for.


def preview(ruleset: Either, json: Json = False) -> None:
    """What a ruleset would do to the catalogue: prices that change, by how much, what is refused.

    \b
    Examples:
      facet ruleset preview 4
      facet ruleset preview rules.yaml --json

    Nothing is written; a file need not be imported.
    """
    from consolidator.preview import preview as look  # noqa: PLC0415

    engine = system.engine()
    with transaction(engine) as tx:
        wanted = pricing_of(tx, ruleset)
    found = look(engine, wanted)
    show_preview(found, json=json)


def status(json: Json = False) -> None:
    """What prices now, and how far its reprice is: stones done, changed, refused, time left.

    \b
    Examples:
      facet ruleset status
      facet ruleset status --json | jq .reprices[0]
    """
    with transaction(system.engine()) as tx:
        row = tx.execute(query("active_ruleset")).mappings().one_or_none()
        latest = tx.execute(query("latest_reprices"), {"limit": REPRICES_SHOWN}).mappings().all()
    reprices = [progress(dict(one)) for one in latest]
    active = {name: row[name] for name in ("ruleset_id", "name", "checksum")} if row else None
    if json:
        emit({"active": active, "reprices": reprices})
        return
    if active is None:
        say("no ruleset is active; `facet ruleset activate FILE --because TEXT`")
        return
    say(f"ruleset {active['ruleset_id']} is active: {active['name']} ({active['checksum'][:12]})")
    table(
        ("reprice", "cause", "state", "opened", "stones", "changes", "refused", "left"),
        [
            (
                one["reprice_id"],
                one["cause"],
                one["state"],
                ago(one["opened_at"]),
                f"{one['stones_done']:,}/{one['stones']:,}",
                one["price_changes"],
                one["refused"],
                duration(one["eta_s"]) if one["state"] == "open" else "–",
            )
            for one in reprices
        ],
        right=("stones", "changes", "refused", "left"),
    )
    for one in reprices:
        if one["why_ended"]:
            say(f"reprice {one['reprice_id']}: {one['why_ended']}")


def reprice(reason: Because, json: Json = False) -> None:
    """Price all stones by the active ruleset again, such as after a cancelled reprice.

    \b
    Examples:
      facet ruleset reprice --because "the rest of Tuesday's"

    Stones whose price stays are not written. `facet ruleset status` shows how far it is.
    """
    from consolidator import reprices  # noqa: PLC0415

    with transaction(system.engine()) as tx:
        reprice_id = reprices.ask(tx, actor=getpass.getuser(), reason=reason)
    if json:
        emit({"reprice_id": reprice_id})
    elif reprice_id is None:
        say("there are no stones to reprice")
    else:
        say(f"reprice {reprice_id} is open")
        say("  next: `facet ruleset status`")


def cancel(reason: Because, json: Json = False) -> None:
    """Stop the open reprice; what it has written stays. `facet ruleset reprice` does the rest.

    \b
    Examples:
      facet ruleset cancel --because "wrong rate"

    Exit 1 where none is open.
    """
    from consolidator import reprices  # noqa: PLC0415

    with transaction(system.engine()) as tx:
        reprice_id = reprices.cancel(tx, actor=getpass.getuser(), reason=reason)
    if json:
        emit({"reprice_id": reprice_id, "state": "cancelled"})
    else:
        say(f"reprice {reprice_id} is cancelled")


def rollback(reason: Because, json: Json = False) -> None:
    """Activate the ruleset that was active before, and reprice by it; again: back once more.

    \b
    Examples:
      facet ruleset rollback --because "pears came out too dear"

    Exit 1 where there was none before.
    """
    from consolidator import rulesets  # noqa: PLC0415

    with transaction(system.engine()) as tx:
        ruleset_id = rulesets.rollback(tx, actor=getpass.getuser(), reason=reason)
    if json:
        emit({"ruleset_id": ruleset_id, "activated": True})
    else:
        say(f"ruleset {ruleset_id} is active again")
        say("  next: `facet ruleset status`")


def report(json: Json = False) -> None:
    """Compare the arms of the active ruleset's experiment: stones, prices and margins.

    \b
    Examples:
      facet ruleset report
      facet ruleset report --json

    Exit 1 where the active ruleset has no experiment.
    """
    from consolidator import rulesets  # noqa: PLC0415
    from consolidator.report import compare  # noqa: PLC0415

    engine = system.engine()
    with transaction(engine) as tx:
        active = rulesets.active(tx)
    if active.variant is None:
        raise NotNow("the active ruleset has no experiment", hint="docs/pricing.md, Experiments")
    arms = compare(engine, active, active.variant)
    if json:
        for arm in arms:
            emit(arm)
        return
    share = Decimal(active.variant.share).scaleb(-4).normalize()
    say(f"experiment {active.variant.experiment}: {share:f} % of the stones are the variant's")
    table(
        ("arm", "ruleset", "stones", "refused", "mean", "median", "margin", "median"),
        [
            (
                one.arm,
                one.ruleset_id,
                one.stones,
                one.refused,
                money(one.price_mean, active.currency),
                money(one.price_median, active.currency),
                percent(one.margin_mean),
                percent(one.margin_median),
            )
            for one in arms
        ],
        right=("ruleset", "stones", "refused", "mean", "median", "margin"),
    )


def pricing_of(tx: Connection, wanted: str) -> "Active":
    """A ruleset as it would price now: by id, checksum or file. Raises NotNow, BadRuleset."""
    from consolidator import rulesets  # noqa: PLC0415

    if is_file(wanted):
        return rulesets.load_file(tx, contents(Path(wanted)), wanted)
    return rulesets.load(tx, rulesets.find(tx, wanted))


def progress(row: dict[str, Any]) -> dict[str, Any]:
    """A reprice's row with `stones_per_s` and `eta_s`; that is None before the first batch."""
    pace = row["stones_done"] / row["elapsed_s"] if row["elapsed_s"] else 0.0
    left = row["stones"] - row["stones_done"]
    eta_s = left / pace if pace and row["state"] == "open" else None
    return row | {"stones_per_s": round(pace), "eta_s": eta_s}


def show_preview(found: "Preview", *, json: bool) -> None:
    """A preview for people, or as one JSON object."""
    if json:
        emit(found)
        return
    say(f"{found.name}: {found.stones:,} stones, {found.changed:,} prices change")
    table(
        ("", "stones"),
        [
            ("unchanged", found.unchanged),
            ("risen", found.risen),
            ("fallen", found.fallen),
            ("in another currency until now", found.in_another_currency),
            ("refused, on sale now", found.refused),
            ("refused, as they are now", found.still_refused),
            ("back on sale", found.returned),
            ("matched by no rule", found.no_rule),
        ],
        right=("stones",),
    )
    before, after = (money(n, found.currency) for n in (found.before_cents, found.after_cents))
    say(f"all prices together: {before} before, {after} after")
    if any(found.changes.values()):
        table(("change", "stones"), found.changes.items(), right=("stones",))
    if found.movers:
        table(
            ("stone", "before", "after", "change", "rule"),
            [
                (
                    str(one["stone_id"]),
                    money(one["before_cents"], found.currency),
                    money(one["after_cents"], found.currency),
                    f"{one['percent']:+.1f} %",
                    one["rule"],
                )
                for one in found.movers
            ],
            right=("before", "after", "change"),
        )
    for word, stones in found.refusals.most_common():
        say(f"{word}: {stones:,} stones")
    if found.refused_stones:
        table(
            ("stone", "refusal", "detail"),
            [(str(r["stone_id"]), r["refusal"], r["refusal_detail"]) for r in found.refused_stones],
        )


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"


def duration(seconds: float | None) -> str:
    """How long it will take, in words; a dash before anybody can tell."""
    if seconds is None:
        return "–"
    return f"{seconds / 60:,.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
