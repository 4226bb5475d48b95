"""From which site a request comes, as far as a browser says so."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from connector_operator.api.origin import is_of_another_site

OWN = {"Host": "console:8080"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (OWN, False),
        (OWN | {"Sec-Fetch-Site": "same-origin"}, False),
        (OWN | {"Sec-Fetch-Site": "none"}, False),
        (OWN | {"Sec-Fetch-Site": "same-site"}, True),
        (OWN | {"Sec-Fetch-Site": "cross-site", "Origin": "http://console:8080"}, True),
        (OWN | {"origin": "http://Console:8080"}, False),
        (OWN | {"Origin": "http://console"}, True),
        (OWN | {"Origin": "http://console:8081"}, True),
        (OWN | {"Origin": "http://evil.example"}, True),
        (OWN | {"Origin": "null"}, True),
        (OWN | {"Origin": ""}, True),
        (OWN | {"Origin": "http://console:x"}, True),
        ({"Host": "console:80", "Origin": "http://console"}, False),
        ({"Host": "console", "Origin": "https://console:443"}, False),
        ({"Host": "[fd00::1]:8080", "Origin": "http://[fd00::1]:8080"}, False),
        ({"Host": "inner", "X-Forwarded-Host": "outer, middle", "Origin": "https://outer"}, False),
        ({"Host": "inner", "X-Forwarded-Host": "outer", "Origin": "https://middle"}, True),
        ({"Origin": "null"}, True),
        ({"Host": "", "Origin": ""}, True),
    ],
)
def test_of_another_site(headers: dict[str, str], expected: bool) -> None:
    assert is_of_another_site(CIMultiDict(headers)) is expected
