"""Products that became silent on a live connection: which to request again, each once until it is active again. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from connector_runner.sources.coinbase.readers.reader import Reader

QUIET_PRODUCT_SECONDS = 12.0
"""A product without a heartbeat for this many seconds is silent."""
MUTE_PRODUCT_SECONDS = 30.0
"""A product is mute if its heartbeats report new data for this many seconds while the stream brings none."""


class LivenessWatch:
    """Remembers for which products a connection was already dropped: doing so again and again would fix nothing."""

    def __init__(self) -> None:
        self._silent: set[str] = set()
        self._mute: set[str] = set()

    def fresh(self, products: Sequence[str], reader: Reader, now: float) -> tuple[list[str], list[str]]:
        """Products of one connection that have become (silent, mute) and were not reported before."""
        silent = [p for p in products if now - last_sign(reader, p, now) > QUIET_PRODUCT_SECONDS]
        mute = [p for p in products if now - reader.behind.get(p, now) > MUTE_PRODUCT_SECONDS]
        heard = {p for p in products if reader.beats.get(p, -1.0) >= reader.began.get(p, now)}
        self._silent.difference_update(heard.difference(silent))
        self._mute.difference_update(set(products).difference(reader.behind))
        fresh = [p for p in silent if p not in self._silent], [p for p in mute if p not in self._mute]
        self._silent.update(fresh[0])
        self._mute.update(fresh[1])
        return fresh


class LivenessWatches:
    """One watch for each stream."""

    def __init__(self) -> None:
        self._watches: defaultdict[str, LivenessWatch] = defaultdict(LivenessWatch)

    def explain(self, products: Sequence[str], readers: Sequence[Reader], now: float) -> tuple[set[str], str]:
        """Products of one connection that have become silent or mute for a stream, and why the connection must be replaced."""
        quiet: dict[str, None] = {}
        every: set[str] = set()
        reason = ""
        for reader in readers:
            silent, mute = self._watches[reader.spec.id].fresh(products, reader, now)
            quiet.update(dict.fromkeys(silent))
            every.update((*silent, *mute))
            if mute and not reason:
                what = f"{reader.spec.channel} sent nothing of {', '.join(mute[:10])} for {MUTE_PRODUCT_SECONDS:.0f} s"
                reason = f"{what} although heartbeats announced some"
        if quiet:
            reason = f"no heartbeat of {', '.join([*quiet][:10])} for {QUIET_PRODUCT_SECONDS:.0f} s"
        return every, reason


def last_sign(reader: Reader, product: str, now: float) -> float:
    """When a product's last heartbeat arrived, or when its connection began if that is later."""
    return max(reader.beats.get(product, float("-inf")), reader.began.get(product, now))
