"""Everything Facet raises on purpose.

FacetError
├── Transient               worth another attempt; the task shell makes it
│   ├── SupplierUnavailable     no connection, timeout, 5xx
│   ├── SupplierBusy            our limit used up, or our breaker open; says how long to wait
│   │   └── Throttled               the supplier said so itself: 429, or its firewall's 403
│   ├── Stopped                 we were asked to stop
│   ├── DatabaseUnavailable     connection lost, deadlock, statement timeout
│   │   └── CommitInDoubt           lost while it committed: look first whether it did
│   ├── BrokerUnavailable       no connection, timeout
│   └── ChannelUnavailable      an alert's channel: no connection, timeout, 429, 5xx
└── Permanent               another attempt cannot help; recorded and mailed
    ├── SupplierRefused         not allowed, or an answer we cannot read
    │   └── LoginRefused            name or password are not taken
    ├── SupplierChanged         its contract drifted so far that a run would harm
    ├── ChannelRefused          an alert's channel does not take it
    ├── BadMessage              a message that does not fit its contract
    ├── BadRuleset              a ruleset that cannot be read or is unsound
    ├── BadSettings             a setting that is missing or wrong
    ├── UnknownFeed             no feed of that name
    ├── NotNow                  the thing asked for does not fit the present state
    │   ├── RunIsOpen               the feed has a run that has not ended
    │   └── FeedPaused              the feed starts no runs
    ├── OldSchema               the database is not at the schema this code was written for
    ├── ArchiveFailed           what is to be archived cannot be written, or not be read back
    ├── BackupFailed            a backup or restore that is not what it should be
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

    untried = False  # True: nothing was tried, so no attempt is used up

    def __init__(
        self, message: str = "", *, hint: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class SupplierUnavailable(Transient):
    """No connection, a timeout, or an answer of 5xx."""


class SupplierBusy(Transient):
    """Our own limit used up, or our breaker open: nothing was sent."""

    untried = True


class Throttled(SupplierBusy):
    """The supplier itself told us to slow down: 429, or its firewall's 403."""

    untried = False


class Stopped(Transient):
    """We were asked to stop, and did at the next page; the next holder goes on from there."""

    untried = True


class DatabaseUnavailable(Transient):
    """Connection lost, deadlock, serialization failure or statement timeout."""


class CommitInDoubt(DatabaseUnavailable):
    """The connection was lost during COMMIT: it may have happened or not. Read by key before doing
    anything again."""


class BrokerUnavailable(Transient):
    """No connection to the broker or the limiter's Redis, or no answer in time."""

    untried = True


class ChannelUnavailable(Transient):
    """The channel of an alert cannot be reached, is busy or fails."""


class Permanent(FacetError):
    """Another attempt cannot help."""


class SupplierRefused(Permanent):
    """The supplier does not allow it, or answered something we cannot read."""


class LoginRefused(SupplierRefused):
    """Name or password are not taken."""


class SupplierChanged(Permanent):
    """The supplier's contract drifted so far that a run would harm."""


class ChannelRefused(Permanent):
    """The channel of an alert does not take it: wrong key or address, gone, or not set up."""


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


class RunIsOpen(NotNow):
    """The feed has a run that has not ended: one at a time."""


class FeedPaused(NotNow):
    """The feed is paused by hand: it starts no runs."""


class OldSchema(Permanent):
    """The database is not at the schema this code was written for."""


class ArchiveFailed(Permanent):
    """What is to be archived cannot be written, or does not come back as it was."""


class BackupFailed(Permanent):
    """A backup or a restore that is not what it should be; nothing was replaced."""


class ClaimLost(Permanent):
    """Another holder owns the work item now, or it is finished: change nothing more."""
