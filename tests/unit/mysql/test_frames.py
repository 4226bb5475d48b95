"""Single events out of the stream: checksums, and compressed transactions unpacked piece by piece."""

from __future__ import annotations

import struct
import zlib

import pytest
import zstandard

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql.binlog import frames
from connector_runner.sources.mysql.binlog.events import Event
from connector_runner.sources.mysql.binlog.frames import Frames, Payload


def event(kind: int, body: bytes, *, offset: int = 0, checksum: bool = False) -> bytes:
    raw = struct.pack("<IBIIIH", 1, kind, 1, 19 + len(body) + 4 * checksum, offset, 0) + body
    return raw + zlib.crc32(raw).to_bytes(4, "little") if checksum else raw


def read(stream: list[bytes]) -> list[tuple[bytes, int]]:
    found: list[tuple[bytes, int]] = []
    reader = Frames(lambda buffer, start, end, offset: found.append((buffer[start + 19 : end], offset)))
    for raw in stream:
        reader.feed(b"--" + raw, 2, 2 + len(raw))
        while reader.unpack():
            pass
    return found


@pytest.mark.parametrize("checksum", [True, False])
def test_checksums_are_cut_off_where_there_are_some(checksum: bool) -> None:
    stream = [event(4, b"binlog.000001", offset=5, checksum=checksum), event(2, b"body", offset=9, checksum=checksum)]
    assert read(stream) == [(b"binlog.000001", 0), (b"body", 0)]


def described(algorithm: int) -> bytes:
    return event(15, b"a new file" + bytes([algorithm]), offset=126, checksum=True)


def test_each_file_tells_its_own_algorithm() -> None:
    """It can be changed while the server runs; a rotation is still in the words of the file before."""
    stream = [
        event(4, b"1"), described(1), event(2, b"with", checksum=True), event(4, b"2", checksum=True),
        described(0), event(2, b"without"), event(4, b"3"), described(1), event(2, b"again", checksum=True),
    ]  # fmt: skip
    bodies = [body for body, _ in read(stream)]
    assert [body for body in bodies if not body.startswith(b"a new file")] == [
        b"1",
        b"with",
        b"2",
        b"without",
        b"3",
        b"again",
    ]


def test_a_damaged_or_unknown_description_is_told() -> None:
    with pytest.raises(TransientError, match="arrived damaged"):
        read([described(1).replace(b"a new", b"a nEw")])
    with pytest.raises(ActionRequiredError, match=r"checksums of an unknown kind \(9\)"):
        read([described(9)])


def test_a_description_that_is_sent_again_without_a_checksum_of_its_own() -> None:
    """As servers do when they start in the middle of a file without checksums."""
    stream = [event(4, b"1", checksum=True), event(15, b"again\0crc!"), event(2, b"without")]
    assert read(stream)[2:] == [(b"without", 0)]


def test_a_damaged_event_is_told() -> None:
    stream = [event(4, b"binlog.000001", checksum=True), event(2, b"body", offset=700, checksum=True)]
    stream[1] = stream[1].replace(b"body", b"bodY")
    with pytest.raises(TransientError, match="ends at 700 of the log arrived damaged"):
        read(stream)


def packed(inner: bytes, *, is_plain: bool = False) -> bytes:
    body = inner if is_plain else zstandard.ZstdCompressor().compress(inner)
    head = b"\2" + (b"\3\xfc\xff\x00" if is_plain else b"\1\0") + b"\0"
    return head + body


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_compressed_transaction_is_unpacked(is_plain: bool) -> None:
    inner = [event(2, bytes([number]) * 3000) for number in range(200)]
    stream = [
        event(Event.TRANSACTION_PAYLOAD, packed(b"".join(inner), is_plain=is_plain), offset=77),
        event(2, b"after", offset=99),
    ]
    assert read(stream) == [(bytes([number]) * 3000, 77) for number in range(200)] + [(b"after", 0)]


def test_only_a_piece_of_it_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "PIECE_BYTES", 4096)
    payload = Payload(packed(b"".join(event(2, bytes(1000)) for _ in range(3000))))
    held, count = 0, 0
    while found := payload.next():
        held, count = max(held, len(found[0])), count + 1
    assert count == 3000
    assert held < 3 * 4096


def test_a_compressed_transaction_that_is_cut_off_is_told() -> None:
    payload = Payload(packed(event(2, bytes(1000))[:500]))
    with pytest.raises(TransientError, match="cut off"):
        payload.next()
