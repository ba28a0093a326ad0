"""What is deployed exists: commands, options, settings, files; and the commands run."""

import copy
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, text

from cli import system
from cli.embedded.servers import Servers
from shared import queue
from shared.db import transaction
from shared.feeds import feed
from shared.ledger import KINDS
from shared.settings import Settings, load
from tests.builders import due_item
from tests.cli.test_conventions import facet
from tests.ops import formats
from tests.ops.deployment import (
    COMPOSE,
    K8S,
    ROOT,
    SYSTEMD,
    Run,
    compose,
    manifests,
    pods,
    runs,
    settings_named,
    unit,
)
from tests.test_pages import NOT_SETTINGS, commands

LIMIT_S = 200.0  # for what takes some seconds on an idle machine
ROLES = ("steward", "scheduler", "worker", "consolidator")
# Of Docker Compose alone: read by the file, not by Facet.
OF_COMPOSE = {"FACET_IMAGE", "FACET_ACCOUNTS"}


@pytest.mark.parametrize("run", runs(), ids=lambda run: run.where)
def test_a_deployed_command_exists_with_its_options(run: Run) -> None:
    known = commands()
    words = list(run.words)
    if words == ["facet", "--help"]:
        return
    depth = next(n for n in (3, 2) if len(words) >= n and " ".join(words[:n]) in known)
    command = known[" ".join(words[:depth])]
    with command.make_context(words[depth - 1], words[depth:]) as context:
        given = context.params
    if words[1] in ("serve", "health") and given["role"] is not None:
        assert given["role"] in system.ROLES
    if words[1:3] == ["run", "start"]:
        feed(given["feed"])


def test_every_role_is_deployed_everywhere() -> None:
    for place in ("compose", "k8s", "systemd"):
        served = {r.words[2] for r in runs() if r.where.startswith(place) and r.words[1] == "serve"}
        assert served == set(system.ROLES)


def test_every_setting_that_is_deployed_exists() -> None:
    known = {f"FACET_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS | OF_COMPOSE
    assert {(file, name) for file, name in settings_named() if name not in known} == set()


def test_every_file_that_is_deployed_is_there() -> None:
    volumes = [v for one in compose()["services"].values() for v in one.get("volumes", ())]
    for source in (v.split(":")[0] for v in volumes):
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in compose()["volumes"], source
    for resource in next(m for m in manifests() if m["kind"] == "Kustomization")["resources"]:
        assert (K8S / resource).is_file()
    for copied in (ROOT / ".dockerignore").read_text().splitlines():
        if copied.startswith("!"):
            assert (ROOT / copied[1:]).exists(), copied


def test_the_image_has_all_that_the_package_has() -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.search(r"^packages = \[(.*)\]$", project, re.MULTILINE)
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= kept


def test_our_containers_are_nobody_and_can_write_nowhere() -> None:
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()
    ours = [s for s in compose()["services"].values() if "FACET_IMAGE" in s["image"]]
    assert len(ours) == 8
    for one in ours:
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"], name
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_nothing_is_stopped_sooner_than_work_is_given_back() -> None:
    grace = queue.SHUTDOWN_GRACE_S
    services = compose()["services"]
    assert all(int(services[role]["stop_grace_period"].rstrip("s")) > grace for role in ROLES)
    assert all(pod["terminationGracePeriodSeconds"] > grace for _, pod in pods())
    for path in SYSTEMD.glob("*.service"):
        if unit(path).get("Restart") == ["always"]:
            assert int(unit(path)["TimeoutStopSec"][0]) > grace


def test_no_secret_and_no_port_of_the_servers_is_open() -> None:
    for name, one in compose()["services"].items():
        for value in one.get("environment", {}).values():
            assert "PASSWORD" not in value or re.search(r"\$\{\w+:[?-]", value), name
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ())), name


def test_keda_scales_on_the_backlog(engine: Engine) -> None:
    """Its query runs, answers one number, and knows every kind of work of the role it scales."""
    scaled = [m for m in manifests() if m["kind"] == "ScaledObject"]
    assert {m["spec"]["scaleTargetRef"]["name"] for m in scaled} == {"worker", "consolidator"}
    for _ in range(3):
        due_item(engine, "fetch")
        with transaction(engine) as tx:
            tx.execute(text("UPDATE runs SET state = 'failed', reason = 'x', finished_at = now()"))
    for one in scaled:
        role = one["spec"]["scaleTargetRef"]["name"]
        (trigger,) = one["spec"]["triggers"]
        kinds = set(re.findall(r"'(\w+)'", trigger["metadata"]["query"]))
        assert kinds == set(system.CELERY[role][1].split(",")) & set(KINDS)
        with transaction(engine) as tx:
            waiting = tx.execute(text(trigger["metadata"]["query"])).scalar_one()
        assert waiting == (3 if role == "worker" else 0)


def test_the_composed_file_says_nothing_that_compose_does_not_read() -> None:
    """Where `docker compose` is not at hand, see below."""
    read = formats.compose_file(compose())
    for name, service in read.services.items():
        assert set(service.depends_on) <= set(read.services), name
    wrong = copy.deepcopy(compose())
    wrong["services"]["worker"]["healthcheck"]["intervall"] = "30s"
    with pytest.raises(ValidationError, match="intervall"):
        formats.compose_file(wrong)


def test_what_kubernetes_is_to_run_is_written_in_its_words() -> None:
    """And each pod has the volumes that it mounts, and the labels that it is selected by."""
    running = [one for one in manifests() if one["kind"] in formats.WORKLOADS]
    assert len(running) == 8
    for one in running:
        read = formats.workload(one)
        if isinstance(read, formats.Deployment):
            labels = read.spec.template.metadata.labels.items()
            assert read.spec.selector.match_labels.items() <= labels
    for name, pod in pods():
        there = {volume["name"] for volume in pod["volumes"]}
        mounted = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
        assert mounted == there, name
    wrong = copy.deepcopy(running[0])
    wrong["spec"]["shedule"] = "0 1 * * *"
    with pytest.raises(ValidationError, match="shedule"):
        formats.workload(wrong)


def test_everything_else_that_kubernetes_is_given_is_written_in_its_words_too() -> None:
    rest = [one for one in manifests() if one["kind"] not in formats.WORKLOADS]
    assert {one["kind"] for one in rest} == set(formats.OTHERS)
    for one in rest:
        formats.other(one)
    targets = {o["spec"]["scaleTargetRef"]["name"] for o in rest if o["kind"] == "ScaledObject"}
    assert targets <= {o["metadata"]["name"] for o in manifests() if o["kind"] == "Deployment"}
    wrong = copy.deepcopy(next(one for one in rest if one["kind"] == "ScaledObject"))
    wrong["spec"]["coolDownPeriod"] = wrong["spec"].pop("cooldownPeriod")
    with pytest.raises(ValidationError, match="coolDownPeriod"):
        formats.other(wrong)


def test_docker_compose_reads_its_file() -> None:
    asking = ["docker", "compose", "version"]
    found = shutil.which("docker") and subprocess.run(asking, capture_output=True, check=False)
    if not found or found.returncode:
        pytest.skip("no docker compose here")
    environment = os.environ | {"POSTGRES_PASSWORD": "x", "VALKEY_PASSWORD": "x"}
    profiles = ("--profile", "simulator", "--profile", "monitoring", "--profile", "tools")
    done = subprocess.run(
        ["docker", "compose", "-f", str(COMPOSE), *profiles, "config", "--quiet"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_systemd_reads_its_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    for path in SYSTEMD.iterdir():
        content = path.read_text().replace("/opt/facet/.venv/bin/facet", "/bin/true")
        name = path.name.replace("@.", "@x.")
        (tmp_path / name).write_text(content.replace("/opt/facet", "/"))
    units = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "facet" in line]
    assert said == []


# As processes


@contextmanager
def process(run: Run, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A deployed command, as this installation runs it."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *run.words[1:]],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield started
        finally:
            started.terminate()
            with suppress(subprocess.TimeoutExpired):
                started.wait(60)
            started.kill()


@pytest.mark.timeout(600)
def test_the_composed_roles_run_and_are_healthy(
    engine: Engine, database_url: str, servers: Servers, tmp_path: Path
) -> None:
    """Each with the environment that its service gives it, save for where the servers are."""
    services = {
        "FACET_DATABASE_URL": database_url,
        "FACET_BROKER_URL": str(servers.broker_url),
        "FACET_REDIS_URL": str(servers.redis_url),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FACET_")}
    deployed = {r.words[2]: r for r in runs() if r.where in {f"compose {role}" for role in ROLES}}
    assert set(deployed) == set(ROLES)
    celery = queue.make_app(load(services))
    with ExitStack() as stack:
        there = {
            role: stack.enter_context(
                process(deployed[role], _as(kept, role, services), tmp_path / role)
            )
            for role in ROLES
        }
        wanted = {f"{role}-{one.pid}@" for role, one in there.items() if role != "steward"}
        deadline = time.monotonic() + LIMIT_S
        heard: set[str] = set()
        while not wanted <= heard:
            assert time.monotonic() < deadline, _logs(tmp_path)
            answers = celery.control.ping(timeout=1.0) or []
            heard |= {name.partition("@")[0] + "@" for answer in answers for name in answer}
        for role in ("steward", "worker"):
            done = facet("health", role, "--pid", str(there[role].pid), **services)
            assert (done.returncode, done.stderr) == (0, "")
        assert [one.poll() for one in there.values()] == [None] * len(ROLES), _logs(tmp_path)
    assert [one.returncode for one in there.values()] == [0] * len(ROLES), _logs(tmp_path)
    deaf = facet("health", "worker", "--pid", str(there["worker"].pid), **services)
    assert (deaf.returncode, "does not answer" in deaf.stderr) == (1, True)


def _as(kept: dict[str, str], role: str, services: dict[str, str]) -> dict[str, str]:
    given: dict[str, str] = compose()["services"][role]["environment"]
    assert set(services) - {"FACET_REDIS_URL"} <= set(given)
    return kept | given | services


def _logs(folder: Path) -> str:
    return "\n".join(f"== {path.name}\n{path.read_text()[-1_500:]}" for path in folder.iterdir())


def test_a_steward_that_announces_nothing_is_not_healthy(
    engine: Engine, database_url: str, servers: Servers
) -> None:
    services = {"FACET_DATABASE_URL": database_url, "FACET_BROKER_URL": str(servers.broker_url)}
    due_item(engine, "fetch")
    with transaction(engine) as tx:
        tx.execute(text("UPDATE work_items SET not_before = now() - interval '10 min'"))
    done = facet("health", "steward", "--json", **services)
    assert done.returncode == 1
    assert "no steward announces what is due: fetch, plan" in done.stdout
