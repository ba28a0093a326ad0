"""What a process is told from outside: environment variables that begin with `FACET_`, or files
of those names in the folder that `FACET_SECRETS_DIR` names.

Checked once, before anything starts. Secrets are SecretStr: they do not print. The table in
docs/settings.md is compared with this file by a test.
"""

import math
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.alerts.settings import AlertSettings
from shared.errors import BadSettings
from shared.feeds.base import SupplierSettings

PREFIX = "FACET_"
FILES_PER_S = 1.0  # a supplier of files makes a new one every hour or two
SECRETS_DIR = "FACET_SECRETS_DIR"
# Whose account a feed is under, by how its name begins; the first that fits.
ACCOUNTS = {"idex-": "idex", "nivoda-file-": "nivoda-file", "nivoda-": "nivoda"}


class FeedNames(BaseSettings):
    """What must be known to tell which feeds there are, before there is a database."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    feeds_file: Path | None = Field(
        default=None, description="YAML file that names feeds of local files"
    )


class Settings(FeedNames, AlertSettings):
    """Everything a stage reads from the environment. Unknown variables are left alone."""

    database_url: SecretStr = Field(
        description="PostgreSQL 15 or later, as SQLAlchemy writes it: postgresql+psycopg://…"
    )
    broker_url: SecretStr = Field(
        description="Redis or Valkey (redis://, rediss://, redis+socket://) or RabbitMQ (amqp://)"
    )
    database_url_scheduler: SecretStr | None = Field(
        default=None, description="in its place for stewards and schedulers, a login of their own"
    )
    database_url_worker: SecretStr | None = Field(
        default=None, description="in its place for workers"
    )
    database_url_consolidator: SecretStr | None = Field(
        default=None, description="in its place for consolidators"
    )
    database_url_readonly: SecretStr | None = Field(
        default=None, description="in its place for `facet metrics`"
    )
    database_url_migrate: SecretStr | None = Field(
        default=None, description="in its place for `facet db` and for what `facet up` prepares"
    )
    database_pooled: bool = Field(
        default=False, description="a pooler in transaction mode stands before the database"
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey of limiter and breakers; default: the broker, if it is one",
    )

    lease_s: float = Field(
        default=60, gt=0, description="how long a claim lasts between heartbeats"
    )
    announce_again_s: float = Field(
        default=30, gt=0, description="a due item not claimed so long after its message: send again"
    )
    announced_max: int = Field(
        default=64, ge=1, description="messages of one kind in the broker at once"
    )
    steward_poll_s: float = Field(
        default=0.25, gt=0, le=60, description="pause between two rounds of the steward"
    )
    leader_lease_s: float = Field(
        default=5,
        gt=0,
        le=300,
        description="how long stewards wait for one that led and fell silent",
    )
    pool_size: int = Field(
        default=2,
        ge=1,
        description="database connections a process keeps; `facet serve` and `facet up` set it",
    )
    pool_timeout_s: float = Field(
        default=30,
        gt=0,
        le=300,
        description="longest wait for one of them; then work goes back",
    )
    pool_report_s: float = Field(
        default=0,
        ge=0,
        description="how often a process tells `facet metrics` of its connections; 0: never",
    )
    statement_timeout_s: float = Field(
        default=300, gt=0, description="a statement that takes longer is cancelled"
    )

    fetch_workers: int = Field(
        default=2, ge=1, description="partitions fetched at once, over all workers together"
    )
    scan_in_flight: int = Field(default=8, ge=1, le=64, description="counts asked at once")
    count_timeout_s: float = Field(default=60, gt=0, description="patience with one count")
    scan_deadline_s: float = Field(
        default=600, gt=0, description="the scan ends then, with the best plan it has"
    )
    partition_offers_max: int = Field(
        default=10_000, ge=1, description="offers a partition is planned to hold at most"
    )
    delist_after_runs: int = Field(
        default=1, ge=1, description="complete full runs in a row that miss a stone before it goes"
    )
    empty_below_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="a full run that saw less than this share of the stones on sale is suspicious",
    )

    nivoda_url: str | None = Field(
        default=None, description="endpoint, such as https://HOST/api/diamonds"
    )
    nivoda_username: str | None = Field(default=None, description="account at Nivoda")
    nivoda_password: SecretStr | None = Field(default=None, description="its password")
    nivoda_requests_per_s: float | None = Field(
        default=25, ge=0, description="limit over all processes together; 0: none"
    )
    nivoda_burst: int = Field(
        default=1,
        ge=1,
        description="requests at once after a pause; they stay within the limit",
    )
    nivoda_in_flight_max: int = Field(
        default=20, ge=1, le=200, description="requests at once over all processes together"
    )
    nivoda_timeout_s: float = Field(default=60, gt=0, description="patience with one request")
    nivoda_retry_share: float = Field(
        default=0.2, ge=0, le=1, description="retries that an answered request earns"
    )
    nivoda_breaker_failures: int = Field(
        default=5, ge=1, description="failures in a row, over all processes, that open the breaker"
    )
    nivoda_breaker_cooldown_s: float = Field(
        default=30, gt=0, description="pause before one request tries whether it is over"
    )

    nivoda_file_natural_url: SecretStr | None = Field(
        default=None, description="secret URL of Nivoda's file of natural stones"
    )
    nivoda_file_fancy_url: SecretStr | None = Field(
        default=None, description="secret URL of Nivoda's file of fancy coloured stones"
    )
    nivoda_file_labgrown_url: SecretStr | None = Field(
        default=None, description="secret URL of Nivoda's file of lab-grown stones"
    )
    idex_url: str = Field(
        default="https://api.idexonline.com/onsite/api", description="where IDEX's files are asked"
    )
    idex_api_key: SecretStr | None = Field(default=None, description="account at IDEX")
    idex_api_secret: SecretStr | None = Field(default=None, description="its password")
    file_timeout_s: float = Field(
        default=900, gt=0, le=900, description="patience with one file of a supplier"
    )

    sentry_dsn: SecretStr | None = Field(
        default=None, description="where Sentry takes errors; none: it is not even imported"
    )
    keep_raw_offers_days: int = Field(
        default=14, ge=0, description="age at which raw offers are dropped; 0: never"
    )
    keep_rejected_offers_days: int = Field(
        default=30, ge=0, description="the same of rejected offers"
    )
    keep_price_changes_days: int = Field(
        default=1_095, ge=0, description="the same of price changes, by whole months"
    )
    keep_ledger_days: int = Field(
        default=90,
        ge=0,
        description="the same of a run's work items, partitions and checks, and schedules' slots",
    )
    keep_heatmaps_days: int = Field(default=90, ge=0, description="the same of heatmaps")
    keep_dead_letters_days: int = Field(
        default=180, ge=0, description="the same of dead letters, from when they were settled"
    )
    keep_alerts_days: int = Field(
        default=365,
        ge=0,
        description="the same of incidents that are over, of alerts and of what runs did to prices",
    )
    retention_at: str = Field(
        default="03:30",
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$",
        description="when stewards drop what is too old, once a day, UTC; empty: never",
    )
    archive_url: str | None = Field(
        default=None,
        description="where raw offers go as Parquet before they are dropped: a folder, or s3://…",
    )
    database_disk_bytes: int | None = Field(
        default=None, ge=1, description="size of the database's disk, for the forecast"
    )
    backup_dir: Path | None = Field(
        default=None, description="where backups are kept; default: `backups` in FACET_HOME"
    )
    backup_daily: int = Field(default=7, ge=1, description="days of which a backup is kept")
    backup_weekly: int = Field(default=4, ge=0, description="weeks of which a backup is kept")

    log_json: bool = Field(default=True, description="log lines as JSON; else for people")

    @field_validator("nivoda_url")
    @classmethod
    def _without_credentials(cls, url: str | None) -> str | None:
        """An address is logged and stored; a name and a password are not."""
        if url is not None and "@" in urlsplit(url).netloc:
            raise ValueError(
                "a name or password stands before the @; they belong in "
                "FACET_NIVODA_USERNAME and FACET_NIVODA_PASSWORD"
            )
        return url

    def secrets(self) -> set[str]:
        """Every secret there is, and the password of every URL: what is blotted out of reports."""
        found = set()
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr) and value.get_secret_value():
                plain = value.get_secret_value()
                found |= {plain, urlsplit(plain).password if "://" in plain else None}
        return {secret for secret in found if secret}

    def redis(self) -> str:
        """The URL of the limiter's and breakers' Redis, as redis-py reads it.

        Raises BadSettings where the broker is not one and none is named.
        """
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        broker = self.broker_url.get_secret_value()
        if broker.startswith(("redis://", "rediss://", "unix://")):
            return broker
        raise BadSettings(
            "the limiter needs a Redis or Valkey, and FACET_BROKER_URL names none it can read",
            hint="set FACET_REDIS_URL",
        )

    @staticmethod
    def account(feed: str) -> str | None:
        """Whose limit and breaker a feed is under; None where nobody is asked."""
        for prefix, account in ACCOUNTS.items():
            if feed.startswith(prefix):
                return account
        return None

    def supplier(self, feed: str) -> SupplierSettings:
        """The account behind a feed. Raises BadSettings naming what is missing."""
        if feed.startswith("idex-"):
            self._need(feed, "idex_api_key", "idex_api_secret")
            return SupplierSettings(
                account="idex",
                url=self.idex_url,
                username=_plain(self.idex_api_key),
                password=self.idex_api_secret or SecretStr(""),
                requests_per_s=FILES_PER_S,
                timeout_s=self.file_timeout_s,
            )
        if feed.startswith("nivoda-file-"):
            name = f"{feed.replace('-', '_')}_url"
            self._need(feed, name)
            return SupplierSettings(
                account="nivoda-file",
                url="",
                password=getattr(self, name),  # the URL itself is the secret
                requests_per_s=FILES_PER_S,
                timeout_s=self.file_timeout_s,
            )
        if not feed.startswith("nivoda-"):
            return SupplierSettings(account=feed, url="")  # local files: nobody is asked
        self._need(
            feed,
            *("nivoda_url", "nivoda_username", "nivoda_password"),
            hint="set them, or try `facet up --simulator`",
        )
        login = {
            "url": str(self.nivoda_url),
            "username": str(self.nivoda_username),
            "password": self.nivoda_password or SecretStr(""),
        }
        return self.bounds("nivoda").model_copy(update=login)

    def bounds(self, account: str) -> SupplierSettings:
        """What an account may do, without its address and login."""
        if account != "nivoda":
            return SupplierSettings(
                account=account, url="", requests_per_s=FILES_PER_S, timeout_s=self.file_timeout_s
            )
        return SupplierSettings(
            url="",
            requests_per_s=self.nivoda_requests_per_s or None,
            burst=self.nivoda_burst,
            in_flight_max=self.nivoda_in_flight_max,
            timeout_s=self.nivoda_timeout_s,
            retry_share=self.nivoda_retry_share,
            breaker_failures=self.nivoda_breaker_failures,
            breaker_cooldown_s=self.nivoda_breaker_cooldown_s,
        )

    def fetch_ahead(self) -> int:
        """Pages of one partition that are asked for before their turn.

        Partitions fetched at once together keep all requests in flight that the account may have,
        and still do while half of them are at their beginning or end.
        """
        in_flight_max = self.nivoda_in_flight_max
        return min(in_flight_max, max(2, math.ceil(2 * in_flight_max / self.fetch_workers)))

    def _need(self, feed: str, *names: str, hint: str = "docs/settings.md lists them") -> None:
        missing = [PREFIX + name.upper() for name in names if getattr(self, name) is None]
        if missing:
            raise BadSettings(f"{feed} cannot be reached: {', '.join(missing)} not set", hint=hint)


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def feeds_file() -> Path | None:
    """The file that names feeds of local files, if any."""
    return FeedNames().feeds_file


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings, from `environment` on top of the process's own.

    What neither names is looked for as a file. Raises BadSettings with one line a wrong variable.
    """
    folder = _secrets_dir()
    given = {
        key.removeprefix(PREFIX).lower(): value
        for key, value in (environment or {}).items()
        if key.startswith(PREFIX)
    }
    try:
        return Settings(_secrets_dir=folder, **given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise BadSettings("; ".join(lines), hint="docs/settings.md lists all settings") from None


def is_named(name: str) -> bool:
    """Whether the process was told this variable, by its environment or by a file."""
    folder = _secrets_dir()
    return name in os.environ or (folder is not None and (folder / name.lower()).is_file())


def _secrets_dir() -> Path | None:
    named = os.environ.get(SECRETS_DIR)
    if not named:
        return None
    folder = Path(named)
    try:
        files = list(folder.iterdir())
        for file in files:
            if file.name.lower().startswith(PREFIX.lower()) and file.is_file():
                file.read_bytes()
    except OSError as error:
        raise BadSettings(
            f"{SECRETS_DIR}: {error.filename or named} cannot be read: {error.strerror}",
            hint="name a folder whose files are settings, such as /run/secrets",
        ) from error
    return folder


@cache
def settings() -> Settings:
    """The process's settings, read once."""
    return load()
