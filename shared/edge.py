"""The one place every call to a supplier goes through.

A call waits for its slot under the account's limit, passes the breaker, is cut off when it takes
too long or answers too much, is tried again a few times where that is worth it, and hands what
came to the caller, who checks it. Every way to fail leaves under one of our names, `from` its
cause. The table of tests/feeds/test_edge.py is the contract.
"""

import copy
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import IO, Any, Literal, NamedTuple, TypeVar

import httpx
import redis
import structlog
import tenacity

from shared import failpoints, tracing
from shared.breaker import Breaker
from shared.errors import SupplierRefused, SupplierUnavailable, Throttled
from shared.feeds.base import SupplierSettings
from shared.limits import Call, Limiter

log = structlog.get_logger(__name__)

T = TypeVar("T")

ATTEMPTS_MAX = 3  # an outage is for the breaker and the ledger, not for more of these
BACKOFF_S = 0.2  # before the second attempt, doubled for the next, plus as much at random
CONNECT_S_MAX = 10.0
KEPT_OPEN_S = 30.0  # an idle connection
ANSWER_BYTES_MAX = 64 * 2**20  # a page of 50 offers has about 0.1 MB
FILE_BYTES_MAX = 4 * 2**30  # a file of a million stones has about 0.5 GB
HEAD_BYTES = 64 * 2**10  # of a file, to be looked at
RETRY_AFTER_S_MAX = 3_600.0  # a supplier that asks for more is asked again after an hour
WAIT_HERE_S_MAX = 5.0  # a longer wait is the ledger's: the work goes back
FIREWALL_WAIT_S = 30.0


class Answer(NamedTuple):
    """What came back, whole: any status but 408, 429, 5xx and a firewall's 403."""

    status: int
    body: bytes


class Edge:
    """The way to one account at a supplier; one object a process, used by all its threads."""

    def __init__(
        self,
        *,
        limiter: Limiter,
        breaker: Breaker,
        timeout_s: float,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limiter = limiter
        self.timeout_s = timeout_s
        self._breaker = breaker
        self._sleep = sleep
        self._sent = 0
        self._counting = threading.Lock()
        self._client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            headers={"User-Agent": "facet", "Accept": "application/json"},
            limits=httpx.Limits(keepalive_expiry=KEPT_OPEN_S),
            # A proxy named in the environment stands between us and the world, not ourselves.
            mounts=dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]")),
        )

    @classmethod
    def for_account(
        cls,
        supplier: SupplierSettings,
        client: "redis.Redis",
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> "Edge":
        """The edge of an account, its limit and breaker shared through Redis by all processes."""
        limiter = Limiter(
            client,
            supplier.account,
            rate_per_s=supplier.requests_per_s,
            burst=supplier.burst,
            in_flight_max=supplier.in_flight_max,
            wait_s_max=supplier.wait_s_max,
            retry_share=supplier.retry_share,
        )
        breaker = Breaker(
            client,
            supplier.account,
            failures_max=supplier.breaker_failures,
            cooldown_s=supplier.breaker_cooldown_s,
        )
        return cls(
            limiter=limiter,
            breaker=breaker,
            timeout_s=supplier.timeout_s,
            transport=transport,
        )

    def post(
        self,
        url: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        read: Callable[[Answer], T],
        timeout_s: float | None = None,
    ) -> T:
        """Send, and return what `read` makes of the answer.

        read       raises one of our errors for an answer it cannot take; a SupplierUnavailable of
                   its own is tried again like any other
        timeout_s  for one whole answer, waits for our turn not included; None: the account's

        Raises SupplierUnavailable, SupplierBusy, SupplierRefused, BrokerUnavailable. Up to
        `ATTEMPTS_MAX` requests, as far as the account's retries last.
        """
        patience_s = self.timeout_s if timeout_s is None else timeout_s
        request = self._request("POST", url, content, headers, patience_s)
        return self._attempts(lambda turn: read(self._send(request, turn, patience_s)), patience_s)

    def download(
        self,
        method: Literal["GET", "POST"],
        url: str,
        *,
        into: IO[bytes],
        shown: str,
        content: bytes = b"",
        headers: Mapping[str, str],
        read: Callable[[Answer], T],
        alive: Callable[[], None],
        timeout_s: float | None = None,
    ) -> T:
        """Ask for a file, write it to `into` from its start, and return what `read` makes of it.

        shown  what errors and logs call the address, which may hold a secret
        read   gets the status and the first HEAD_BYTES, whatever JSON an error came with included
        alive  called at each piece of the file; what it raises ends the download

        Raises as `post`.
        """
        patience_s = self.timeout_s if timeout_s is None else timeout_s
        request = self._request(method, url, content, headers, patience_s)
        save = partial(self._save, request, into, shown, patience_s, alive)
        return self._attempts(lambda turn: read(save(turn)), patience_s)

    def _attempts(self, call: Callable[[Call], T], patience_s: float) -> T:
        """Make the call, in its turn, up to `ATTEMPTS_MAX` times."""

        def attempt() -> T:
            self._breaker.check()  # before the limiter: a call that is not made takes no slot
            with (
                tracing.span("supplier request", kind="client", account=self.limiter.key),
                self.limiter.turn(place_s=2 * patience_s) as turn,
            ):
                return self._breaker.call(lambda: call(turn))

        retrying = tenacity.Retrying(
            stop=self._enough,
            wait=_wait_s,
            retry=tenacity.retry_if_exception(_worth_another),
            before_sleep=_log_retry,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(attempt)

    def requests(self) -> int:
        """Requests sent since this edge was built."""
        return self._sent

    def apart(self) -> "Edge":
        """The same edge, limit, breaker and connections, with a count of requests of its own."""
        other = copy.copy(self)
        other._sent = 0
        other._counting = threading.Lock()
        return other

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        """Whether that was the last attempt; takes one of the account's retries where not."""
        if state.attempt_number >= ATTEMPTS_MAX:
            return True
        if self.limiter.may_retry():
            return False
        log.warning("retries_spent", account=self.limiter.key)
        return True

    def _request(
        self, method: str, url: str, content: bytes, headers: Mapping[str, str], patience_s: float
    ) -> httpx.Request:
        timeout = httpx.Timeout(patience_s, connect=min(patience_s, CONNECT_S_MAX))
        try:
            return self._client.build_request(
                method, url, content=content, headers=dict(headers), timeout=timeout
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise SupplierRefused(f"the address cannot be read: {error}") from error

    def _send(self, request: httpx.Request, turn: Call, patience_s: float) -> Answer:
        """One request and its whole answer."""
        url = _shown(request.url)
        body = bytearray()
        with self._answering(request, turn, url, patience_s) as (response, chunks):
            _check_status(response, url)
            for chunk in chunks:
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise SupplierRefused(f"{url} answered over {ANSWER_BYTES_MAX:,} bytes")
        return Answer(response.status_code, bytes(body))

    def _save(
        self,
        request: httpx.Request,
        into: IO[bytes],
        url: str,
        patience_s: float,
        alive: Callable[[], None],
        turn: Call,
    ) -> Answer:
        """One request and its whole answer, in the file where it is one."""
        head = bytearray()
        size = 0
        into.seek(0)
        into.truncate()
        with self._answering(request, turn, url, patience_s) as (response, chunks):
            is_json = "json" in response.headers.get("Content-Type", "")
            if response.status_code in (408, 429) or not is_json:
                _check_status(response, url)
            for chunk in chunks:
                alive()
                head += chunk[: HEAD_BYTES - len(head)]
                size += len(chunk)
                if size > FILE_BYTES_MAX:
                    raise SupplierRefused(f"{url} answered over {FILE_BYTES_MAX:,} bytes")
                if response.status_code == 200:
                    into.write(chunk)
        return Answer(response.status_code, bytes(head))

    @contextmanager
    def _answering(
        self, request: httpx.Request, turn: Call, url: str, patience_s: float
    ) -> Iterator[tuple[httpx.Response, Iterator[bytes]]]:
        """One request, in its slot; the answer and the pieces of its body, to be read before
        `patience_s`."""
        request.extensions["trace"] = _telling(partial(self.limiter.sent, turn))
        waited_s = self.limiter.wait(turn)
        tracing.note(method=request.method, host=request.url.host, waited_s=round(waited_s, 3))
        deadline = time.monotonic() + patience_s
        late = f"{url} gave no whole answer within {patience_s:g} s"

        def chunks(response: httpx.Response) -> Iterator[bytes]:
            for chunk in response.iter_bytes():
                yield chunk
                if time.monotonic() > deadline:
                    raise SupplierUnavailable(late)

        with self._counting:
            self._sent += 1
        try:
            failpoints.reached("supplier.before_call")
            response = self._client.send(request, stream=True)
            tracing.note(status=response.status_code)
            try:
                yield response, chunks(response)
                failpoints.reached("supplier.after_call")
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise SupplierUnavailable(
                f"{url} gave no answer within {patience_s:g} s: {type(error).__name__}"
            ) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise SupplierRefused(f"{url} is no address: {error}") from error
        except httpx.TransportError as error:
            raise SupplierUnavailable(
                f"{url} cannot be reached: {str(error) or type(error).__name__}"
            ) from error
        except httpx.DecodingError as error:
            raise SupplierUnavailable(f"{url}: answer cannot be unpacked: {error}") from error


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """The seconds a `Retry-After` asks for: at least 0, at most `RETRY_AFTER_S_MAX`.

    header  a number of seconds or an HTTP date
    now     with time zone; what a date is compared with

    None where there is none or it cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        seconds = (date - now).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


def _check_status(response: httpx.Response, url: str) -> None:
    """Raise for a status that says enough by itself."""
    status = response.status_code
    said = f"{url} answered {status}"
    if status == 429:
        wait_s = retry_after_s(response.headers.get("Retry-After"), _now(response))
        raise Throttled(f"{said}, too many requests", retry_after_s=wait_s)
    if status == 403 and "json" not in response.headers.get("Content-Type", ""):
        raise Throttled(
            f"{said}, as a firewall does when it sees too many requests",
            hint="an account that is not activated yet is answered the same way",
            retry_after_s=FIREWALL_WAIT_S,
        )
    if status == 408 or status >= 500:
        raise SupplierUnavailable(said)


def _now(response: httpx.Response) -> datetime:
    """The supplier's clock, or ours: a date is to be read by the clock that wrote it."""
    try:
        date = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _telling(sent: Callable[[], None]) -> Callable[[str, Mapping[str, Any]], None]:
    """What httpcore is to call at each step of a request; calls `sent` when it is written."""
    tunnel = False

    def trace(step: str, info: Mapping[str, Any]) -> None:
        nonlocal tunnel
        if step == "http11.send_request_headers.started":
            tunnel = info["request"].method == b"CONNECT"  # for a proxy, not for the supplier
        elif step == "http11.send_request_body.complete" and not tunnel:
            sent()

    return trace


def _shown(url: httpx.URL) -> str:
    """Without what may be a secret."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))


def _worth_another(error: BaseException) -> bool:
    if isinstance(error, Throttled):
        return error.retry_after_s is None or error.retry_after_s <= WAIT_HERE_S_MAX
    return isinstance(error, SupplierUnavailable)


def _wait_s(state: tenacity.RetryCallState) -> float:
    backoff_s = tenacity.wait_exponential_jitter(multiplier=BACKOFF_S, jitter=BACKOFF_S)(state)
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, Throttled) else None
    return max(backoff_s, asked_s or 0.0)


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.info("supplier_asked_again", attempt=state.attempt_number, error=str(error))
