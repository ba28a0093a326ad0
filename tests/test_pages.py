"""The pages tell the truth: commands, settings, dependencies and paths that they name exist."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import app
from shared.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
# Commands that a page names and that are still to come; take each out when it is there.
NOT_SETTINGS = {"FACET_HOME", "FACET_SECRETS_DIR", "FACET_EXAMPLES"}


def commands() -> dict[str, Any]:
    """Every command of `facet`, by the words that call it."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words, command
        for name, one in (inner or {}).items():
            yield from walk(one, f"{words} {name}")

    return dict(walk(typer.main.get_command(app), "facet"))


def names(pattern: str) -> set[tuple[str, str]]:
    return {
        (page.name, match)
        for page in PAGES
        for match in re.findall(pattern, page.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("words", sorted(commands()))
def test_a_command_says_what_it_does(words: str) -> None:
    command = commands()[words]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{words} {parameter.name}"


@pytest.mark.parametrize("words", sorted(commands()))
def test_a_command_has_examples_and_they_are_commands_that_can_be_typed(words: str) -> None:
    _, _, rest = (commands()[words].help or "").partition("Examples:\n")
    examples = [line.strip() for line in rest.partition("\n\n")[0].splitlines()]
    assert examples, words
    assert any(line.startswith(words) for line in examples)
    for line in examples:
        for typed in re.split(r" *(?:;|\||[<>]+ *\S+)", line):
            if typed.startswith("facet "):
                parse(shlex.split(typed))


# They draw a screen, print a script, or stay until they are stopped.
WITHOUT_JSON = {"facet top", "facet completion", "facet serve"}


@pytest.mark.parametrize("words", sorted(commands().keys() - WITHOUT_JSON))
def test_a_command_speaks_json(words: str) -> None:
    assert any("--json" in getattr(one, "opts", ()) for one in commands()[words].params)


def parse(words: list[str]) -> None:
    """Raises where there is no such command, or it has no such options."""
    known = commands()
    depth = next(n for n in (2, 3) if " ".join(words[:n]) in known)
    with known[" ".join(words[:depth])].make_context(words[depth - 1], words[depth:]):
        pass


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [words for words in commands() if words not in readme] == []


def test_every_command_that_a_page_names_exists() -> None:
    known = commands()
    groups = {words.rsplit(" ", 1)[0] for words in known}
    for page, line in names(r"(?:`|^    \$ |^)(facet [a-z][a-z -]*[a-z])"):
        words = line.split()
        assert any(" ".join(words[:n]) in known | dict.fromkeys(groups) for n in (3, 2)), (
            page,
            line,
        )


def test_every_setting_is_in_its_table_with_its_default() -> None:
    table = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        default = "–" if field.is_required() or field.default is None else f"`{field.default}`"
        assert f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |" in table


def test_every_setting_that_a_page_names_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | NOT_SETTINGS
    assert {word for _, word in names(r"\b(FACET_[A-Z_]+)\b")} <= known


def test_every_make_target_that_a_page_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {word for _, word in names(r"\bmake ([a-z-]+)\b(?= |`|$|\n)")} - {"up"} <= targets


def test_every_dependency_has_its_line_in_the_record() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    named = [*project["dependencies"], *(one for extra in extras for one in extra)]
    wanted = {re.split(r"[\[>=<;]", one)[0].strip() for one in named}
    record = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    assert (
        set(re.findall(r"^\| ([a-z][a-z0-9-]+) \|", record, re.MULTILINE)) - {"package"} == wanted
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / link).exists(), link
    rooms = "bench|cli|consolidator|docs|scheduler|shared|simulator|sql|tests|worker"
    for path in re.findall(rf"`((?:{rooms})/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
