"""Everything Facet raises on purpose.

FacetError
├── Transient               worth another attempt; the task shell makes it
│   ├── SupplierUnavailable     no connection, timeout, 5xx
│   ├── SupplierBusy            429, our limit used up, or our breaker open; says how long to wait
│   ├── Stopped                 we were asked to stop; no attempt is used up
│   ├── DatabaseUnavailable     connection lost, deadlock, statement timeout
│   └── BrokerUnavailable       no connection, timeout
└── Permanent               another attempt cannot help; recorded and mailed
    ├── SupplierRefused         not allowed, or an answer we cannot read
    ├── BadMessage              a message that does not fit its contract
    ├── BadRuleset              a ruleset that cannot be read or is unsound
    ├── BadSettings             a setting that is missing or wrong
    ├── UnknownFeed             no feed of that name
    ├── NotNow                  the thing asked for does not fit the present state
    ├── OldSchema               the database is not at the schema this code was written for
    └── ClaimLost               another holder owns the work item now

Any other exception is a bug: it fails the task at once, with its traceback.
"""


class FacetError(Exception):
    """The root. `hint` is the next command or setting for whoever reads the message, or ""."""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Transient(FacetError):
    """Worth another attempt. `retry_after_s`: wait at least so long; None: the caller's choice."""

    def __init__(
        self, message: str = "", *, hint: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class SupplierUnavailable(Transient):
    """No connection, a timeout, or an answer of 5xx."""


class SupplierBusy(Transient):
    """429, our own limit used up, or our breaker open."""


class Stopped(Transient):
    """We were asked to stop, and did at the next page; the next holder goes on from there."""


class DatabaseUnavailable(Transient):
    """Connection lost, deadlock, serialization failure or statement timeout."""


class BrokerUnavailable(Transient):
    """No connection to the broker, or no answer in time."""


class Permanent(FacetError):
    """Another attempt cannot help."""


class SupplierRefused(Permanent):
    """The supplier does not allow it, or answered something we cannot read."""


class BadMessage(Permanent):
    """A message that does not fit its contract."""


class BadRuleset(Permanent):
    """A ruleset that cannot be read or is unsound."""


class BadSettings(Permanent):
    """A setting that is missing or wrong."""


class UnknownFeed(Permanent):
    """No feed of that name."""


class NotNow(Permanent):
    """The thing asked for does not fit the present state, such as a second run of one feed."""


class OldSchema(Permanent):
    """The database is not at the schema this code was written for."""


class ClaimLost(Permanent):
    """Another holder owns the work item now, or it is finished: change nothing more."""
