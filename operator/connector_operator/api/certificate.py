"""The certificate of the API's own HTTPS: read again when its files change, as those of a mounted Secret do when it is renewed."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

EVERY = 10.0
"""Seconds between two looks at the files."""
log = logging.getLogger("connectors.api")


class Certificate:
    """A certificate with its key, from two PEM files.

    Attributes:
        context: What listeners serve; new connections get the certificate that was read last.
    """

    def __init__(self, certificate: str, key: str) -> None:
        """Reads both files.

        Raises:
            OSError: They can't be read, or are none.
        """
        self._files = certificate, key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(*self._files)
        self._seen = self._read()
        self._said = ""

    def _read(self) -> tuple[bytes, ...]:
        return tuple(Path(file).read_bytes() for file in self._files)

    def look(self) -> None:
        """Takes what is new in the files; what can't be used is said once, and the last good certificate stays."""
        try:
            found = self._read()
            if found == self._seen:
                return
            # Two that do not belong together would leave the served context without a key.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except OSError as error:
            said = error.strerror or str(error)
            if said != self._said:
                log.error("the certificate has become bad, the last good one is served: %s", said)
            self._said = said
        else:
            self._seen, self._said = found, ""
            log.info("the certificate has changed, and is served from now on")

    async def follow(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            self.look()
