"""The one message there is: a work item may be claimed at this epoch."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Wakeup(BaseModel):
    """A work item may be claimed at this epoch. Under 300 bytes; never rows, never filters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: int = Field(ge=1, le=2**63 - 1)
    epoch: int = Field(ge=0, le=2**31 - 1)
    traceparent: str | None = Field(default=None, max_length=64)


def problem_of(error: ValidationError) -> str:
    """What is wrong with a message, field by field."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)
    )
