"""Finds the number of blocks that a refusal suggests: patterns for known messages, and a rule for unknown ones. Pure.

A number that is mistaken for a limit costs little: if too large, it is refused again; if too small, it grows (`endpoints.limits`).
"""

from __future__ import annotations

import re

_N = r"(?P<n>\d[\d,._']*)\s*(?P<k>k\b|thousand\b)?"
# The number must count blocks: not results, bytes, seconds or codes.
_OTHERS = r"results?|logs?\b|events?|bytes?|[kmg]i?b\b|m?s\b|sec|minutes?|requests?|credits?|topics?|addresses|transactions|calls"
_COUNTED = rf"(?!\s*(?:{_OTHERS}))"
_GAP = r"(?:(?!results|logs\b|events|bytes|response|addresses|topics|batch|rate|requests? per)[^\d]){0,60}?"

_SPANS = (
    # Alchemy, Infura, zkSync, Nethermind: "this block range should work: [0x7d0, 0x9c3]", "Try with this block range [0x1, 0x2]"
    r"\[\s*(0x[0-9a-f]+)\s*,\s*(0x[0-9a-f]+)\s*\]",
    # Infura's member data, when the message does not repeat it
    r"\"from\":\s*\"(0x[0-9a-f]+)\".*\"to\":\s*\"(0x[0-9a-f]+)\"",
    # Reth, Erigon, HyperEVM, Arc: "retry with the range 6000000-6000509"
    r"(?:re-?try|try|use|should work|works)\b[^\d]{0,40}(\d+)\s*(?:-|to|and|\.\.)\s*(\d+)",
)  # fmt: skip
"""First and last block of a range that would be answered."""

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

_IS_ABOUT_BLOCKS = re.compile(r"block|range|span|distance|interval|getlogs query", re.IGNORECASE)
_UNKNOWN = re.compile(rf"(?<![\w.-]){_N}(?![\w-]){_COUNTED}", re.IGNORECASE)


def suggested_range(message: str, asked: int | None = None) -> int | None:
    """Returns the number of blocks that a message suggests, None when there is none; `asked`: the requested number, if known.

    `this block range should work: [0x7d0, 0x9c3]` → 500, `range 1000000 exceeds limit of 10000` → 10000, `limited to a 5 range` → 5.
    """
    for pattern in _SPANS:
        if match := re.search(pattern, message, re.IGNORECASE | re.DOTALL):
            first, last = (int(text, 16 if text.startswith("0x") else 10) for text in match.groups())
            if last >= first:
                return last - first + 1
    if not _IS_ABOUT_BLOCKS.search(message):
        return None
    said = [
        number
        for pattern in _SIZES
        for match in re.finditer(pattern, message, re.IGNORECASE)
        if (number := _whole(match)) > 0
    ]
    return min(said) if said else _lone_number(message, asked)


def _whole(match: re.Match[str]) -> int:
    digits = re.sub(r"[,._']", "", match["n"])
    return int(digits) * (1000 if match["k"] else 1)


def _lone_number(message: str, asked: int | None) -> int | None:
    """For unknown messages: the only number below the requested one, if there is exactly one and it counts nothing else."""
    if asked is None:
        return None
    numbers = {number for match in _UNKNOWN.finditer(message) if 1 < (number := _whole(match)) < asked}
    return numbers.pop() if len(numbers) == 1 else None
