"""Finds the number of blocks that a refusal suggests: patterns for known messages, and a rule for unknown ones. Pure.

A number that is mistaken for a limit costs little: if too large, it is refused again; if too small, it grows (`endpoints.limits`).
"""

from __future__ import annotations

import re

_DECIMAL = r"\d[\d,._']*+"
_THOUSANDS = r"\s*(?P<k>k\b|thousand\b)?"
_N = rf"(?P<n>0x[0-9a-f]+\b|{_DECIMAL}){_THOUSANDS}"
# The number must count blocks: not results, bytes, seconds or codes. Digits are taken whole ("*+"): of "25 requests" not even the 2 counts.
_OTHERS = r"results?|logs?|events?|bytes?|[kmg]i?b|m?s|sec(?:ond)?s?|minutes?|requests?|credits?|topics?|addresses|transactions|calls"
_COUNTED = rf"(?!\s*(?:{_OTHERS})\b)"
_GAP = r"(?:(?!results|logs\b|events|bytes|response|addresses|topics|batch|rate|requests? per|(?:from|to)(?:block)?\s*[:=])[^\d]){0,60}?"

_ENDS = (
    # Alchemy, Infura, zkSync, Nethermind: "this block range should work: [0x7d0, 0x9c3]", "Try with this block range [0x1, 0x2]"
    (r"\[\s*(0x[0-9a-f]+|\d+)\s*,", r"\[[^\],]*,\s*(0x[0-9a-f]+|\d+)\s*\]"),
    # Infura's member data, when the message does not repeat it, with its members in any order; "use fromBlock=0x1, toBlock=0x2"
    (
        r"\bfrom(?:_?block)?\b[\"'\s:=]*(0x[0-9a-f]+|\d+)\b",
        r"\bto(?:_?block)?\b[\"'\s:=]*(0x[0-9a-f]+|\d+)\b",
    ),
    # Reth, Erigon, HyperEVM, Arc: "retry with the range 6000000-6000509"
    (
        r"(?:re-?try|try|use|should work|works)\b[^\d]{0,40}(\d+)\s*(?:-|to|and|\.\.)\s*\d",
        r"(?:re-?try|try|use|should work|works)\b[^\d]{0,40}\d+\s*(?:-|to|and|\.\.)\s*(\d+)",
    ),
)
"""Finds the first and the last block of a range that would be answered. A range as large as the requested one only repeats the request."""

_SIZES = (
    # 1RPC: "is limited to 0 - 10000 blocks range"
    rf"\b0\s*(?:-|to|\.\.)\s*{_N}",
    # Blast: "exceeds the range allowed for your plan (5000 > 3000)"
    rf"\d[\d,]*\s*>=?\s*{_N}",
    # Cloudflare, Avalanche, Thirdweb, Moonbeam, PublicNode, Morph, Celo, Taiko, Merkle, Sei, Cronos (blocks distance), …
    rf"max(?:imum|allowed)?{_GAP}{_N}{_COUNTED}",
    # QuickNode, BlockPI, Infura, Linea, Sonic, Ronin: "is limited to a 10,000 range", "exceeds limit of 10000", "the limit is 100"
    rf"limit(?:s|ed)?\b{_GAP}{_N}{_COUNTED}",
    # Alchemy, Aurora, Coinbase: "up to a 10 block range", "at most 1000 blocks"
    rf"(?:up to|at most|no more than|not more than|not exceed|allowed|only|within){_GAP}{_N}{_COUNTED}",
    # Mantle, X Layer, Swell, Somnia, dRPC, Harmony: "greater than 100 max", "ranges over 10000 blocks", "smaller than size 1024"
    rf"(?:greater|larger|wider|more|smaller|less|narrower) than (?:size )?{_N}{_COUNTED}",
    rf"(?:ranges?|blocks?|span|interval) (?:over|above|exceeds?|exceeding) {_N}{_COUNTED}",
    # "1000 blocks is the limit", "100 blocks max"
    rf"{_N}[\s-]*blocks?\b[^\d]{{0,20}}(?:max|limit|allowed)",
)  # fmt: skip
"""A number of blocks that the message calls the maximum."""

_IS_ABOUT_BLOCKS = re.compile(
    r"block|range|span|distance|interval|gap\b|rounds|epochs|heights|区块|getlogs query", re.IGNORECASE
)
_UNKNOWN = re.compile(rf"(?<![\w.-])(?P<n>{_DECIMAL}){_THOUSANDS}(?![\w-]){_COUNTED}", re.IGNORECASE)
_LINK = re.compile(r"https?://\S+")


def suggested_range(message: str, asked: int | None = None) -> int | None:
    """Returns the number of blocks that a message suggests, None when there is none; `asked`: the requested number, if known.

    `this block range should work: [0x7d0, 0x9c3]` → 500, `range 1000000 exceeds limit of 10000` → 10000, `limited to a 5 range` → 5.
    """
    message = _LINK.sub("", message)
    for first, last in (_ends(message, *patterns) for patterns in _ENDS):
        if 0 <= first <= last and (asked is None or last - first + 1 < asked):
            return last - first + 1
    if not _IS_ABOUT_BLOCKS.search(message):
        return None
    said = {
        number
        for pattern in _SIZES
        for match in re.finditer(pattern, message, re.IGNORECASE)
        if (number := _whole(match)) > 0
    }
    # The requested number is often repeated; it is the limit only if nothing else can be.
    smaller = {number for number in said if asked is None or number < asked}
    return min(smaller, default=None) or _lone_number(message, asked) or min(said, default=None)


def _ends(message: str, first: str, last: str) -> tuple[int, int]:
    """The first and last block that a message names; (0, -1) if it names none."""
    found = [re.search(pattern, message, re.IGNORECASE) for pattern in (first, last)]
    begins, ends = (_number(match[1]) if match else -1 for match in found)
    return (begins, ends) if min(begins, ends) >= 0 else (0, -1)


def _whole(match: re.Match[str]) -> int:
    return _number(re.sub(r"[,._']", "", match["n"])) * (1000 if match["k"] else 1)


def _number(text: str) -> int:
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


def _lone_number(message: str, asked: int | None) -> int | None:
    """For unknown messages: the only number below the requested one, if there is exactly one and it counts nothing else."""
    if asked is None:
        return None
    numbers = {number for match in _UNKNOWN.finditer(message) if 1 < (number := _whole(match)) < asked}
    return numbers.pop() if len(numbers) == 1 else None
