"""The files that people deploy with, read: which commands they run, with which settings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
K8S = ROOT / "ops" / "k8s"
SYSTEMD = ROOT / "ops" / "systemd"


class Run(NamedTuple):
    """One command of a file; `words` begin with `facet`."""

    where: str
    words: tuple[str, ...]


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


def manifests() -> list[dict[str, Any]]:
    return [
        one
        for path in sorted(K8S.glob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pod of each workload, by name."""
    for one in manifests():
        spec = one.get("spec", {})
        if one["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield one["metadata"]["name"], spec["template"]["spec"]


def unit(path: Path) -> dict[str, list[str]]:
    """A unit's settings, whatever their section; a name may come several times."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def runs() -> list[Run]:
    """Every `facet …` that a file runs, its health checks among them."""
    found: list[tuple[str, list[str]]] = []
    for name, one in compose()["services"].items():
        found.append((f"compose {name}", one.get("command", [])))
        found.append(
            (f"compose {name} healthcheck", one.get("healthcheck", {}).get("test", [])[1:])
        )
    for name, pod in pods():
        for container in pod["containers"]:
            found.append((f"k8s {name}", container["command"]))
            alive = container.get("livenessProbe")
            if alive:
                found.append((f"k8s {name} probe", alive["exec"]["command"]))
    for path in sorted(SYSTEMD.glob("*.service")):
        words = shlex.split(unit(path)["ExecStart"][0].replace("%i", "nivoda-natural"))
        found.append((f"systemd {path.name}", [Path(words[0]).name, *words[1:]]))
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.findall(r"CMD (\[.*\])$", dockerfile, re.MULTILINE)
    found += [("Dockerfile", yaml.safe_load(line)) for line in lines]
    return [Run(where, tuple(words)) for where, words in found if words[:1] == ["facet"]]


def settings_named() -> set[tuple[str, str]]:
    """Every FACET_… that a file sets, with the file."""
    files = [COMPOSE, ROOT / "Dockerfile", *K8S.glob("*"), *SYSTEMD.glob("*")]
    files += (ROOT / "ops" / "compose").glob("*.env")
    pattern = r"\b(FACET_[A-Z_]+)(?=[:=])|^\s+(facet_[a-z_]+):"
    return {
        (path.name, (upper or lower).upper())
        for path in files
        for upper, lower in re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    }
