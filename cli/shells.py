"""`facet completion`: what the shell needs to complete `facet` commands."""

import os
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from cli.output import BAD_USAGE, fail

COMPLETE_VARIABLE = "_FACET_COMPLETE"


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[
        Shell | None, typer.Argument(help="bash, zsh or fish; default: that of $SHELL.")
    ] = None,
) -> None:
    """Print the script that completes commands, options, feeds and runs in a shell.

    \b
    Examples:
      facet completion bash > /etc/bash_completion.d/facet
      facet completion zsh > "${fpath[1]}/_facet"
      facet completion fish > ~/.config/fish/completions/facet.fish

    `facet --install-completion` puts it into the present shell's own files.
    """
    wanted = shell.value if shell else Path(os.environ.get("SHELL", "")).name
    if wanted not in set(Shell):
        fail(
            f"no script for {wanted or 'an unknown shell'}",
            hint="facet completion bash",
            code=BAD_USAGE,
        )
    script = get_completion_script(prog_name="facet", complete_var=COMPLETE_VARIABLE, shell=wanted)
    typer.echo(script)


def release() -> str:
    """This installation's version."""
    return version("facet")
