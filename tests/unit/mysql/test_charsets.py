"""Text in the server's character sets: no byte is lost, no code is taken for another."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.mysql.decode.undecodable import UndecodableError
from connector_runner.sources.mysql.types.charsets import (
    PYTHON_CODECS,
    encode_raw,
    is_supported,
    key_decoder,
    text_decoder,
)


def test_text_never_loses_a_byte() -> None:
    assert text_decoder("latin1")(bytes(range(256)))[0x80:0x82] == "€\x81"
    assert text_decoder("utf8mb4")(b"a\xff") == "a\udcff"
    assert not is_supported("martian")
    with pytest.raises(LookupError, match="martian"):
        text_decoder("martian")


@given(
    st.sampled_from(
        ["latin1", "cp1250", "greek", "swe7", "big5", "cp932", "eucjpms", "gb18030", "sjis", "ujis", "euckr"]
    ),
    st.binary(max_size=12),
)
def test_no_bytes_are_lost_in_any_charset(charset: str, raw: bytes) -> None:
    """What has no character can be written again as it was."""
    text = text_decoder(charset)(raw)
    written = encode_raw(charset, text)
    assert written is None or text_decoder(charset)(written) == text


@pytest.mark.parametrize("charset", ["big5", "eucjpms", "gb18030", "sjis", "ujis"])
def test_a_character_beside_a_lone_byte_is_written_with_its_own_code(charset: str) -> None:
    """A key's literal is compared by the server: a character's second code behind a lead byte would make other characters."""
    decode = key_decoder(charset)
    wrong = {}
    for code in [bytes([first]) for first in range(256)] + [
        bytes(pair) for pair in product(range(128, 256), range(256))
    ]:
        try:
            text = decode(code)
        except UndecodableError:
            continue
        if (
            len(text) == 1
            and not "\ud800" <= text <= "\udfff"
            and encode_raw(charset, f"\udcff{text}") != b"\xff" + code
        ):
            wrong[code] = text
    assert not wrong


@pytest.mark.parametrize(
    "charset", sorted(set(PYTHON_CODECS) | {"armscii8", "dec8", "geostd8", "keybcs2", "latin1", "swe7"})
)
def test_every_byte_can_be_read(charset: str) -> None:
    """Also one below 0x80 that has no character: swe7 has none for 0x7f."""
    for raw in [*(bytes([byte]) for byte in range(256)), *(bytes([lead, 0x7F]) for lead in range(256))]:
        text = text_decoder(charset)(raw)
        written = encode_raw(charset, text)
        assert written is None or written == raw


def test_keys_refuse_codes_that_read_alike() -> None:
    assert key_decoder("cp932")(b"\x81\xbe") == text_decoder("cp932")(b"\x87\x9c") == "\u222a"
    with pytest.raises(UndecodableError, match="0x879c"):
        key_decoder("cp932")(b"\x87\x9c")
    with pytest.raises(UndecodableError, match="0xa5"):
        key_decoder("armscii8")(b"\xa5")
    assert key_decoder("latin1")(b"\xe9") == "é"
