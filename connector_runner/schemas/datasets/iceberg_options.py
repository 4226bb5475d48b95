"""Options of Iceberg datasets with a REST catalogue, under the names that Iceberg's engines use.

Not among them is whatever the promise rests on, what loads code, and what reads files of the runner's machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from connector_runner.schemas.datasets.descriptor import Option
from connector_runner.schemas.datasets.s3_options import (
    KEY_ID,
    REFUSED_S3_OPTIONS,
    S3_OPTIONS,
    SECRET_KEY,
    check_s3_options,
)

TOKEN, CREDENTIAL, TOKEN_URL, CA = "token", "credential", "oauth2-server-uri", "ssl.ca.pem"
CONNECT, REQUEST = "connect-timeout-ms", "request-timeout-ms"
OAUTH = ("scope", "audience", "resource")
"""What a request for a token may say besides."""
_GIVEN = "the catalogue gives it"
_KEYS = {KEY_ID: "the access key, where the catalogue gives none", SECRET_KEY: "its secret"}
ICEBERG_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        TOKEN: Option("a token for the catalogue (Bearer)", is_secret=True),
        CREDENTIAL: Option(
            "client id and secret, for which the catalogue gives tokens (OAuth2, client credentials)",
            is_secret=True,
            pattern=r"[^\s:]+:\S+",
            expected="the client id, a colon and its secret",
        ),
        TOKEN_URL: Option(
            "where tokens are had",
            pattern=r"https?://[^\s@?#]+",
            expected="a URL that begins with https:// or http://, without a user",
            default="`v1/oauth/tokens` of the catalogue",
        ),
        "scope": Option("the scope to ask for", default="catalog"),
        "audience": Option("the audience to ask for"),
        "resource": Option("the resource to ask for"),
        CA: Option(
            "the certificate authority of the catalogue",
            pattern=r"\s*-----BEGIN .*-----END [A-Z0-9 ]+-----\s*",
            expected="PEM text, from -----BEGIN to -----END",
            default="the system's",
        ),
        CONNECT: Option("how long connecting to the catalogue may take", between=(100, 60_000), default="5000"),
        REQUEST: Option("how long the catalogue may take to answer", between=(1000, 300_000), default="60000"),
        **{
            name: replace(option, meaning=_KEYS.get(name, option.meaning), default=option.default and _GIVEN)
            if name in {KEY_ID, SECRET_KEY, "s3.region", "s3.endpoint"}
            else option
            for name, option in S3_OPTIONS.items()
        },
    }
)
_URL = "the URL names it"
_CODE = "it would load code"
REFUSED_ICEBERG_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        **REFUSED_S3_OPTIONS,
        "uri": _URL,
        "warehouse": _URL,
        "type": _URL,
        "prefix": "the catalogue says it",
        "py-io-impl": _CODE,
        "py-catalog-impl": _CODE,
        "auth.impl": _CODE,
        "ssl.cabundle": f"files of the runner's machine are not read; give the text in {CA}",
        "rest.sigv4-enabled": "requests are not signed; use a catalogue that takes tokens",
        "commit.retry.num-retries": "the promise rests on it, and the runner sets it",
        "client_id": f"its name here is {CREDENTIAL}: client id, a colon and its secret",
        "client_secret": f"its name here is {CREDENTIAL}: client id, a colon and its secret",
    }
)


def check_iceberg_options(options: Mapping[str, str]) -> Iterator[str]:
    """See `Descriptor.check_options`."""
    yield from check_s3_options(options)
    if TOKEN in options and CREDENTIAL in options:
        yield f"{TOKEN} and {CREDENTIAL} are two ways; give one"
    if CREDENTIAL not in options:
        for name in (TOKEN_URL, *OAUTH):
            if name in options:
                yield f"{name} has no effect without {CREDENTIAL}"
