"""`facet ruleset …`: check, keep, compare and activate what prices the stones."""

import getpass
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy import Connection, Engine

from cli import system
from cli.acts import Because
from cli.output import (
    BAD_USAGE,
    COULD_NOT,
    DIFFERENT,
    SAME,
    Json,
    ago,
    data,
    emit,
    fail,
    say,
    table,
)
from shared.db import transaction
from shared.errors import FacetError, NotNow
from sql import query

if TYPE_CHECKING:
    from consolidator.pricing.ruleset import Ruleset

# The engine is imported where it is used: half a second that other commands need not wait for.

app = typer.Typer(no_args_is_help=True, help="Pricing rules: check, import, compare, activate.")

File = Annotated[Path, typer.Argument(help="A ruleset file; see docs/pricing.md.")]
Which = Annotated[str, typer.Argument(help="A ruleset's id, or the beginning of its checksum.")]
Either = Annotated[str, typer.Argument(help="A ruleset's id, its checksum, or a file.")]


@app.command()
def lint(file: File, json: Json = False) -> None:
    """Look for gaps, overlaps, rules nobody can reach and brackets that do not follow on.

    \b
    Examples:
      facet ruleset lint rules.yaml
      facet ruleset lint rules.yaml --json

    Needs no database. Exit 0 where nothing is found, 1 where something is or the file is no
    ruleset.
    """
    from consolidator.pricing.lint import lint as look  # noqa: PLC0415
    from consolidator.pricing.ruleset import load_ruleset  # noqa: PLC0415

    ruleset = load_ruleset(contents(file), str(file))
    findings = look(ruleset)
    if json:
        for one in findings:
            emit({"file": str(file), "line": one.line, "rule": one.rule} | _said(one))
    else:
        for one in findings:
            rule = f" rule {one.rule!r}:" if one.rule else ""
            said = f"{file}:{one.line}:{rule} {one.kind}: {one.message}"
            data.print(said, markup=False, soft_wrap=True)
        say(f"{len(ruleset.rules)} rules, {len(findings) or 'no'} findings")
    raise SystemExit(COULD_NOT if findings else 0)


def _said(finding: Any) -> dict[str, str]:
    return {"finding": finding.kind, "message": finding.message}


@app.command("import")
def import_ruleset(file: File, json: Json = False) -> None:
    """Check a ruleset file and keep it as a draft, which never changes.

    \b
    Examples:
      facet ruleset import rules.yaml
      facet ruleset import rules.yaml --json | jq .ruleset_id

    The same content again is the same ruleset.
    """
    from consolidator import rulesets  # noqa: PLC0415

    text = contents(file)
    with transaction(system.engine()) as tx:
        ruleset_id = rulesets.add(tx, text, source=str(file), author=getpass.getuser())
        row = dict(tx.execute(query("ruleset"), {"ruleset_id": ruleset_id}).mappings().one())
    if json:
        emit({name: row[name] for name in row if name != "source"})
        return
    say(f"ruleset {ruleset_id}, {row['name']}, checksum {row['checksum'][:12]}: {row['state']}")
    say(f"  next: `facet ruleset preview {ruleset_id}`")


@app.command("list")
def list_rulesets(json: Json = False) -> None:
    """All rulesets, the active one first.

    \b
    Examples:
      facet ruleset list
      facet ruleset list --json
    """
    with transaction(system.engine()) as tx:
        rows = tx.execute(query("list_rulesets")).mappings().all()
    if json:
        for row in rows:
            emit(dict(row))
        return
    table(
        ("id", "name", "checksum", "state", "imported", "author"),
        [
            (
                r["ruleset_id"],
                r["name"],
                r["checksum"][:12],
                r["state"],
                ago(r["imported_at"]),
                r["author"],
            )
            for r in rows
        ],
    )


@app.command()
def show(
    ruleset: Which,
    file: Annotated[
        bool, typer.Option("--file", help="Only its file, as it was imported.")
    ] = False,
    json: Json = False,
) -> None:
    """One ruleset: where it came from, every time it was activated, and its file.

    \b
    Examples:
      facet ruleset show 4
      facet ruleset show 4 --file > rules.yaml
    """
    from consolidator import rulesets  # noqa: PLC0415

    with transaction(system.engine()) as tx:
        ruleset_id = rulesets.find(tx, ruleset)
        row = dict(tx.execute(query("ruleset"), {"ruleset_id": ruleset_id}).mappings().one())
        subject = {"subject": str(ruleset_id)}
        events = [dict(one) for one in tx.execute(query("audit_of_ruleset"), subject).mappings()]
    if json:
        emit(row | {"events": events})
        return
    source = row.pop("source")
    if file:
        sys.stdout.write(source)
        return
    table(("", ""), [(name.replace("_", " "), v) for name, v in row.items() if v is not None])
    say("")
    table(
        ("when", "what", "by", "reason"),
        [(one["at"], one["action"], one["actor"], one["reason"]) for one in events],
    )
    say("")
    sys.stdout.write(source)


@app.command()
def diff(a: Either, b: Either, json: Json = False) -> None:
    """What the second ruleset says otherwise than the first, rule by rule.

    \b
    Examples:
      facet ruleset diff 3 4
      facet ruleset diff 3 rules.yaml --json

    Exit 0: they say the same; 1: they differ; 2: they cannot be compared.
    """
    from consolidator.pricing.diff import differences  # noqa: PLC0415

    try:
        found = differences(ruleset_of(a), ruleset_of(b))
    except FacetError as error:
        fail(error, code=BAD_USAGE)
    for one in found:
        if json:
            emit(one)
            continue
        data.print(f"{one.what} {one.where}", markup=False, style="bold")
        if one.before is not None:
            data.print(f"  - {one.before}", markup=False)
        if one.after is not None:
            data.print(f"  + {one.after}", markup=False)
    if not json:
        say(f"{len(found) or 'no'} differences")
    raise SystemExit(DIFFERENT if found else SAME)


@app.command()
def activate(
    ruleset: Either,
    reason: Because,
    max_change: Annotated[
        str | None, typer.Option(help="Only if prices change by no more, such as 15%.")
    ] = None,
    max_share: Annotated[
        str | None, typer.Option(help="Of the stones that may change by more, such as 5%.")
    ] = None,
    json: Json = False,
) -> None:
    """Price by a ruleset from the next fold on, and all stones anew; a file is imported first.

    \b
    Examples:
      facet ruleset activate rules.yaml --because "first rules"
      facet ruleset activate 4 --because spring --max-change 15% --max-share 5%

    With a bound the ruleset is previewed first, and left a draft, exit 1, where more than
    --max-share of the stones on sale (default: none) would be refused or change by more than
    --max-change (default: at all). `facet ruleset status` shows how far the repricing is, `facet
    ruleset rollback` takes it back.
    """
    from consolidator import rulesets  # noqa: PLC0415

    actor = getpass.getuser()
    engine = system.engine()
    with transaction(engine) as tx:
        ruleset_id = imported(tx, ruleset, actor=actor)
    if max_change is not None or max_share is not None:
        require_bound(engine, ruleset_id, max_change or "0", max_share or "0")
    with transaction(engine) as tx:
        changed = rulesets.activate(tx, ruleset_id, actor=actor, reason=reason)
    if json:
        emit({"ruleset_id": ruleset_id, "activated": changed})
    else:
        say(f"ruleset {ruleset_id} {'is active now' if changed else 'was active already'}")


def require_bound(engine: Engine, ruleset_id: int, max_change: str, max_share: str) -> None:
    """Raises NotNow where more of the stones change by more than that."""
    from consolidator import rulesets  # noqa: PLC0415
    from consolidator.preview import preview  # noqa: PLC0415

    change, share = parts(max_change, "--max-change"), parts(max_share, "--max-share")
    with transaction(engine) as tx:
        wanted = rulesets.load(tx, ruleset_id)
    found = preview(engine, wanted, beyond=change)
    if found.share_beyond * 1_000_000 > share:
        raise NotNow(
            f"{found.beyond:,} stones, {100 * found.share_beyond:.2f} %, would be refused or change"
            f" by more than {max_change}; ruleset {ruleset_id} stays as it was",
            hint=f"`facet ruleset preview {ruleset_id}`",
        )


def parts(given: str, option: str) -> int:
    """A percentage as people write it, "15%" or "2.5", in parts per million; else out."""
    try:
        found = Decimal(given.strip().removesuffix("%").strip()) * 10_000
    except InvalidOperation:
        found = Decimal(-1)
    if not found.is_finite() or found < 0 or found != int(found):
        fail(f"{option} {given!r} is no percentage", hint=f"{option} 15%", code=BAD_USAGE)
    return int(found)


def contents(file: Path) -> str:
    """What a ruleset file says, or an error and out."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {error}", hint="name a readable ruleset file", code=BAD_USAGE)


def is_file(wanted: str) -> bool:
    """Whether people mean a file rather than an id or a checksum."""
    return Path(wanted).is_file() or "/" in wanted or Path(wanted).suffix in (".yaml", ".yml")


def ruleset_of(wanted: str) -> "Ruleset":
    """A ruleset by id, by checksum or from a file. Raises NotNow, BadRuleset."""
    from consolidator import rulesets  # noqa: PLC0415
    from consolidator.pricing.ruleset import load_ruleset  # noqa: PLC0415

    if is_file(wanted):
        return load_ruleset(contents(Path(wanted)), wanted)
    with transaction(system.engine()) as tx:
        return rulesets.load(tx, rulesets.find(tx, wanted)).engine.ruleset


def imported(tx: Connection, wanted: str, *, actor: str) -> int:
    """The id of a ruleset; a file is imported where it is not yet. Raises NotNow, BadRuleset."""
    from consolidator import rulesets  # noqa: PLC0415

    if is_file(wanted):
        return rulesets.add(tx, contents(Path(wanted)), source=wanted, author=actor)
    return rulesets.find(tx, wanted)
