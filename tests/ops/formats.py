"""What Docker Compose and Kubernetes read, as far as our files use it; any other word is refused.

Written by hand from the Compose Specification and the API of Kubernetes, so that a misspelt key
is found where neither program is at hand.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]+$")]
Span = Annotated[str, Field(pattern=r"^([0-9]+(us|ms|s|m|h))+$")]
Size = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(b|k|kb|m|mb|g|gb)$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$")]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


# Docker Compose


class Healthcheck(Strict):
    test: list[str] | str | None = None
    interval: Span | None = None
    timeout: Span | None = None
    start_period: Span | None = None
    start_interval: Span | None = None
    retries: int | None = None
    disable: bool | None = None


class Dependency(Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]
    restart: bool | None = None
    required: bool | None = None


class EnvFile(Strict):
    path: str
    required: bool = True


class Bound(Strict):
    cpus: str | None = None
    memory: Size | None = None
    pids: int | None = None


class Bounds(Strict):
    limits: Bound | None = None
    reservations: Bound | None = None


class Deploy(Strict):
    replicas: int | None = None
    resources: Bounds | None = None


class Logging(Strict):
    driver: str
    options: dict[str, str] = {}


class Service(Strict):
    image: str
    build: str | None = None
    cap_drop: list[str] = []
    command: list[str] | None = None
    depends_on: list[Name] | dict[Name, Dependency] = []
    deploy: Deploy | None = None
    env_file: list[EnvFile | str] = []
    environment: dict[str, str | int | None] = {}
    healthcheck: Healthcheck | None = None
    logging: Logging | None = None
    ports: list[Annotated[str, Field(pattern=r"^([0-9.]+:)?[0-9]+:[0-9]+(/(tcp|udp))?$")]] = []
    profiles: list[Name] = []
    read_only: bool = False
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    security_opt: list[str] = []
    shm_size: Size | None = None
    stop_grace_period: Span | None = None
    tmpfs: list[str] = []
    user: str | None = None
    volumes: list[Annotated[str, Field(pattern=r"^[^:]+:/[^:]*(:(ro|rw))?$")]] = []


class Compose(Strict):
    """The whole file, without its `x-` parts."""

    name: Name
    services: dict[Name, Service]
    volumes: dict[Name, None] = {}


# Kubernetes


class Camel(Strict):
    model_config = ConfigDict(alias_generator=to_camel)


class Capabilities(Camel):
    add: list[str] = []
    drop: list[str] = []


class SeccompProfile(Camel):
    type: Literal["RuntimeDefault", "Localhost", "Unconfined"]


class ContainerSecurity(Camel):
    allow_privilege_escalation: bool
    read_only_root_filesystem: bool
    capabilities: Capabilities


class PodSecurity(Camel):
    run_as_non_root: bool
    run_as_user: int
    run_as_group: int
    fs_group: int
    seccomp_profile: SeccompProfile


class Exec(Camel):
    command: list[str]


class Probe(Camel):
    exec: Exec
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3


class NameOf(Camel):
    name: DnsName


class EnvSource(Camel):
    config_map_ref: NameOf | None = None
    secret_ref: NameOf | None = None


class Variable(Camel):
    name: str
    value: str


class Mount(Camel):
    name: DnsName
    mount_path: Annotated[str, Field(pattern="^/")]
    read_only: bool = False


class Resources(Camel):
    requests: dict[Literal["cpu", "memory", "storage", "ephemeral-storage"], Quantity] = {}
    limits: dict[Literal["cpu", "memory", "storage", "ephemeral-storage"], Quantity] = {}


class Container(Camel):
    name: DnsName
    image: str
    command: list[str]
    env: list[Variable] = []
    env_from: list[EnvSource] = []
    security_context: ContainerSecurity
    volume_mounts: list[Mount] = []
    resources: Resources
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None


class SecretFiles(Camel):
    secret_name: DnsName
    default_mode: int


class EmptyDir(Camel):
    size_limit: Quantity | None = None


class Claim(Camel):
    claim_name: DnsName


class Volume(Camel):
    name: DnsName
    secret: SecretFiles | None = None
    empty_dir: EmptyDir | None = None
    persistent_volume_claim: Claim | None = None


class Pod(Camel):
    automount_service_account_token: bool
    containers: list[Container]
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    security_context: PodSecurity
    termination_grace_period_seconds: int
    volumes: list[Volume] = []


class Metadata(Camel):
    name: DnsName
    labels: dict[str, str] = {}


class PodMetadata(Camel):
    labels: dict[str, str]


class Template(Camel):
    metadata: PodMetadata
    spec: Pod


class Selector(Camel):
    match_labels: dict[str, str]


class Rolling(Camel):
    max_unavailable: int | str
    max_surge: int | str


class Strategy(Camel):
    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    rolling_update: Rolling | None = None


class DeploymentSpec(Camel):
    replicas: int | None = None
    selector: Selector
    strategy: Strategy
    template: Template


class JobSpec(Camel):
    active_deadline_seconds: int
    backoff_limit: int
    ttl_seconds_after_finished: int | None = None
    template: Template


class JobTemplate(Camel):
    spec: JobSpec


class CronJobSpec(Camel):
    schedule: str
    time_zone: str
    concurrency_policy: Literal["Allow", "Forbid", "Replace"]
    starting_deadline_seconds: int
    successful_jobs_history_limit: int
    failed_jobs_history_limit: int
    job_template: JobTemplate


class Workload(Camel):
    api_version: str
    kind: str
    metadata: Metadata


class Deployment(Workload):
    api_version: Literal["apps/v1"]
    spec: DeploymentSpec


class Job(Workload):
    api_version: Literal["batch/v1"]
    spec: JobSpec


class CronJob(Workload):
    api_version: Literal["batch/v1"]
    spec: CronJobSpec


class Named(Camel):
    """Metadata of what is no workload."""

    name: DnsName
    namespace: str | None = None
    labels: dict[str, str] = {}


class Other(Camel):
    api_version: str
    kind: str
    metadata: Named


class Namespace(Other):
    api_version: Literal["v1"]


class ConfigMap(Other):
    api_version: Literal["v1"]
    data: dict[str, str]


class Secret(Other):
    api_version: Literal["v1"]
    string_data: dict[str, str]


class Requests(Camel):
    requests: dict[Literal["storage"], str]


class ClaimSpec(Camel):
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"]]
    resources: Requests
    storage_class_name: str | None = None


class VolumeClaim(Other):
    api_version: Literal["v1"]
    spec: ClaimSpec


class SecretTarget(Camel):
    parameter: str
    name: str
    key: str


class TriggerAuthenticationSpec(Camel):
    secret_target_ref: list[SecretTarget]


class TriggerAuthentication(Other):
    api_version: Literal["keda.sh/v1alpha1"]
    spec: TriggerAuthenticationSpec


class NameOnly(Camel):
    name: str


class PostgresTrigger(Camel):
    """KEDA's `postgresql`; its numbers are text."""

    query: str
    target_query_value: str
    activation_target_query_value: str = "0"


class Trigger(Camel):
    type: Literal["postgresql"]
    authentication_ref: NameOnly
    metadata: PostgresTrigger


class ScaledObjectSpec(Camel):
    scale_target_ref: NameOnly
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    cooldown_period: int
    triggers: list[Trigger]


class ScaledObject(Other):
    api_version: Literal["keda.sh/v1alpha1"]
    spec: ScaledObjectSpec


class Image(Camel):
    name: str
    new_name: str
    new_tag: str


class Kustomization(Camel):
    api_version: Literal["kustomize.config.k8s.io/v1beta1"]
    kind: Literal["Kustomization"]
    namespace: str
    resources: list[str]
    images: list[Image]


OTHERS: dict[str, type[Camel]] = {
    "ConfigMap": ConfigMap,
    "Kustomization": Kustomization,
    "Namespace": Namespace,
    "PersistentVolumeClaim": VolumeClaim,
    "ScaledObject": ScaledObject,
    "Secret": Secret,
    "TriggerAuthentication": TriggerAuthentication,
}
WORKLOADS: dict[str, type[Workload]] = {"Deployment": Deployment, "Job": Job, "CronJob": CronJob}


def compose_file(loaded: dict[str, Any]) -> Compose:
    """The file as Compose reads it. Raises ValidationError."""
    parts = {name: part for name, part in loaded.items() if not name.startswith("x-")}
    return Compose.model_validate(parts)


def workload(loaded: dict[str, Any]) -> Workload:
    """A manifest of something that runs. Raises ValidationError, KeyError for another kind."""
    return WORKLOADS[loaded["kind"]].model_validate(loaded)


def other(loaded: dict[str, Any]) -> Camel:
    """A manifest of anything else. Raises ValidationError, KeyError for an unknown kind."""
    return OTHERS[loaded["kind"]].model_validate(loaded)
