"""What a process is told from outside: environment variables that begin with `FACET_`.

Checked once, before anything starts. Secrets are SecretStr: they do not print. The table in
docs/settings.md is compared with this file by a test.
"""

from collections.abc import Mapping
from functools import cache

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import BadSettings
from shared.feeds.base import SupplierSettings

PREFIX = "FACET_"


class Settings(BaseSettings):
    """Everything a stage reads from the environment. Unknown variables are left alone."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    database_url: SecretStr = Field(
        description="PostgreSQL 15 or later, as SQLAlchemy writes it: postgresql+psycopg://…"
    )
    broker_url: SecretStr = Field(
        description="Redis or Valkey (redis://, rediss://, redis+socket://) or RabbitMQ (amqp://)"
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
    pool_size: int = Field(default=2, ge=1, description="database connections a process keeps")
    statement_timeout_s: float = Field(
        default=300, gt=0, description="a statement that takes longer is cancelled"
    )

    fetch_workers: int = Field(
        default=2, ge=1, description="workers among whom a plan balances its partitions"
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
    nivoda_timeout_s: float = Field(default=60, gt=0, description="patience with one request")

    log_json: bool = Field(default=True, description="log lines as JSON; else for people")

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

    def supplier(self, feed: str) -> SupplierSettings:
        """The account behind a feed. Raises BadSettings naming what is missing."""
        missing = [
            name
            for name in ("nivoda_url", "nivoda_username", "nivoda_password")
            if getattr(self, name) is None
        ]
        if missing or self.nivoda_password is None:
            named = ", ".join(PREFIX + name.upper() for name in missing)
            raise BadSettings(
                f"{feed} cannot be reached: {named} not set",
                hint="set them, or try `facet up --simulator`",
            )
        return SupplierSettings(
            url=str(self.nivoda_url),
            username=str(self.nivoda_username),
            password=self.nivoda_password,
            requests_per_s=self.nivoda_requests_per_s or None,
            timeout_s=self.nivoda_timeout_s,
        )


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings, from `environment` on top of the process's own.

    Raises BadSettings with one line a wrong variable.
    """
    given = {
        key.removeprefix(PREFIX).lower(): value
        for key, value in (environment or {}).items()
        if key.startswith(PREFIX)
    }
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise BadSettings("; ".join(lines), hint="docs/settings.md lists all settings") from None


@cache
def settings() -> Settings:
    """The process's settings, read once."""
    return load()
