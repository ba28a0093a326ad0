"""When to start a dead process again. Pure, but for the clock's default."""

import time
from dataclasses import dataclass, field

RESTART_DELAY_S_FIRST = 0.5  # doubles with each crash in a row
RESTART_DELAY_S_MAX = 30.0
STEADY_S = 60.0  # a process that ran this long begins again at the first delay


@dataclass
class Backoff:
    """When to start a dead thing again."""

    started: float = field(default_factory=time.monotonic)  # seconds
    crashes: int = 0  # in a row
    restart_at: float | None = None  # monotonic seconds; None while it runs

    def crashed(self, now: float) -> float:
        """Note a crash. Returns the seconds to wait before the next start."""
        self.crashes = 1 if now - self.started >= STEADY_S else self.crashes + 1
        delay_s = min(RESTART_DELAY_S_FIRST * 2.0 ** (self.crashes - 1), RESTART_DELAY_S_MAX)
        self.restart_at = now + delay_s
        return delay_s

    def is_due(self, now: float) -> bool:
        return self.restart_at is not None and now >= self.restart_at

    def restarted(self) -> None:
        self.started, self.restart_at = time.monotonic(), None
