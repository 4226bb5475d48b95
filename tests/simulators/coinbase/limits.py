"""The exchange's limits (docs.cdp.coinbase.com/exchange: rate limits) and its signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """`rate` a second, bursts of `burst`; rate 0: no limit."""

    rate: float
    burst: float
    tokens: float = -1.0
    updated: float = field(default_factory=time.monotonic)

    def take(self, now: float) -> bool:
        if self.rate <= 0:
            return True
        if self.tokens < 0:
            self.tokens = self.burst
        self.tokens = min(self.burst, self.tokens + (now - self.updated) * self.rate)
        self.updated = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one API key that the simulator knows."""

    key: str = "simulator-key"
    secret: str = base64.b64encode(b"a secret of the simulator's own").decode()
    passphrase: str = "simulator-passphrase"

    def refusal(self, request: dict[str, object], path: str = "/users/self/verify") -> str | None:
        """Why the signature in a message is not accepted; None when it is right."""
        signature, timestamp = str(request.get("signature", "")), str(request.get("timestamp", ""))
        if request.get("key") != self.key:
            return "invalid api key"
        if request.get("passphrase") != self.passphrase:
            return "invalid passphrase"
        try:
            if abs(float(timestamp) - time.time()) > 30:
                return "request timestamp expired"
        except ValueError:
            return "invalid timestamp"
        wanted = hmac.new(base64.b64decode(self.secret), f"{timestamp}GET{path}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(base64.b64encode(wanted).decode(), signature):
            return "invalid signature"
        return None
