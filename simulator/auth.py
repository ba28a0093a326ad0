"""Who may ask: logins, and tokens that look like the supplier's.

A token is a signed JWT with the claims id, role, country, iat and exp. Its end comes in seconds of
the clock that is handed in; the answer's `expires` is the same moment in epoch milliseconds. Tokens
outlive a restart with the same seed and password. Messages are those that clients have reported.
"""

import base64
import hashlib
import hmac
import itertools
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

TOKEN_LIFETIME_S = 6 * 3600  # as documented
TOKENS_DEAD_MAX = 1_000
REFRESH_LIFETIME_S = 30 * 24 * 3600

_HEADER = {"alg": "HS256", "typ": "JWT"}


class UnauthenticatedError(Exception):
    """No token, a wrong one, or wrong credentials; says it in the supplier's words."""


class Death(NamedTuple):
    """How a token that died before its time is refused."""

    wording: str
    status: int  # of HTTP
    code: bool  # whether extensions.code says what it is


class DeadTokenError(UnauthenticatedError):
    def __init__(self, death: Death) -> None:
        super().__init__(death.wording)
        self.death = death


class Session(NamedTuple):
    token: str
    expires: float  # epoch milliseconds
    refresh_token: str


class Door:
    """Gives out tokens and checks them.

    lifetime_s  of a token; may be set anew while it runs
    clock       seconds since the epoch
    """

    def __init__(
        self,
        *,
        username: str,
        password: str,
        seed: int,
        lifetime_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.lifetime_s = lifetime_s
        self._username = username
        self._password = password
        self._clock = clock
        self._key = hashlib.sha256(f"{seed}:{username}:{password}".encode()).digest()
        self._serial = itertools.count(1)
        self._dead: OrderedDict[str, Death] = OrderedDict()

    def login(self, username: str, password: str) -> Session:
        """Raises UnauthenticatedError for any but the one account."""
        right = hmac.compare_digest(username.encode(), self._username.encode())
        if not (right & hmac.compare_digest(password.encode(), self._password.encode())):
            raise UnauthenticatedError("Unauthorized")
        return self._session()

    def refresh(self, refresh_token: str) -> Session:
        """Raises UnauthenticatedError for what is no refresh token of ours, or is over."""
        self._read(refresh_token, use="refresh")
        return self._session()

    def renew(self, username: str, token: str) -> Session:
        """A new session for a token that still holds. Raises UnauthenticatedError."""
        if self.check(token) != username:
            raise UnauthenticatedError("Unauthorized")
        return self._session()

    def check(self, token: str | None) -> str:
        """The account that the token stands for. Raises UnauthenticatedError."""
        if not token:
            raise UnauthenticatedError("Unauthenticated")
        if token in self._dead:
            raise DeadTokenError(self._dead[token])
        return str(self._read(token, use="access")["username"])

    def kill(self, token: str, death: Death) -> None:
        """Let a token die now. The last TOKENS_DEAD_MAX are remembered."""
        self._dead[token] = death
        while len(self._dead) > TOKENS_DEAD_MAX:
            self._dead.popitem(last=False)

    def _session(self) -> Session:
        expires = self._clock() + self.lifetime_s
        return Session(
            token=self._sign("access", expires),
            expires=round(expires * 1000),
            refresh_token=self._sign("refresh", self._clock() + REFRESH_LIFETIME_S),
        )

    def _sign(self, use: str, expires: float) -> str:
        claims = {
            "id": hashlib.sha256(self._username.encode()).hexdigest()[:12],
            "username": self._username,
            "role": "CUSTOMER",
            "country": "GB",
            "use": use,
            "jti": next(self._serial),
            "iat": round(self._clock(), 3),
            "exp": round(expires, 3),
        }
        body = f"{_base64(json.dumps(_HEADER).encode())}.{_base64(json.dumps(claims).encode())}"
        return f"{body}.{self._signature(body)}"

    def _signature(self, body: str) -> str:
        return _base64(hmac.digest(self._key, body.encode(), "sha256"))

    def _read(self, token: str, *, use: str) -> dict[str, Any]:
        if token.count(".") != 2:
            raise UnauthenticatedError("jwt malformed")
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise UnauthenticatedError("invalid token")
        # The signature is ours, so what it signs can be read.
        claims = json.loads(base64.urlsafe_b64decode(body.partition(".")[2] + "=="))
        if claims["use"] != use:
            raise UnauthenticatedError("invalid token")
        if claims["exp"] <= self._clock():
            raise UnauthenticatedError("jwt expired")
        return dict(claims)


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
