"""A table of chains by what their blocks do not commit to; chosen by chain id or by the setting `proofs`, never guessed.

A block of Ethereum commits to its transactions, receipts and withdrawals with roots, and to its logs with a bloom; answers are
checked against these. Other chains omit some of them, or use these members for something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from connector_runner.sources.ethereum.settings import Proofs

PROOF_NAMES = {
    "transactions": "transactions (transactionsRoot)",
    "receipts": "receipts and logs (receiptsRoot)",
    "withdrawals": "withdrawals (withdrawalsRoot)",
    "bloom": "that a block has no such logs (logsBloom)",
    "numbering": "that no log is missing in between (logs numbered from 0)",
    "gas": "that the last receipt is there (gasUsed)",
    "heights": "that each height has a block",
}


@dataclass(frozen=True, slots=True)
class Family:
    """What the blocks of a family of chains commit to.

    Attributes:
        name: The family's name.
        why: What is different, for people; "" for Ethereum's own family.
        transactions, receipts, withdrawals: Whether the root commits to the list.
        bloom: Whether the bloom has all logs, so that it can exclude blocks without wanted logs.
        numbering: Whether logs are numbered from 0 in each block, without gaps.
        gas: Whether the last receipt's cumulativeGasUsed is the block's gasUsed.
        heights: Whether each height has a block.
    """

    name: str
    why: str = ""
    transactions: bool = True
    receipts: bool = True
    withdrawals: bool = True
    bloom: bool = True
    numbering: bool = True
    gas: bool = True
    heights: bool = True

    @property
    def lacks(self) -> tuple[str, ...]:
        """What can't be proven, in words; empty if everything can."""
        return tuple(words for name, words in PROOF_NAMES.items() if not getattr(self, name))


ETHEREUM = Family("ethereum")
_NO_ROOTS = {"transactions": False, "receipts": False}
_NOTHING = dict.fromkeys((field.name for field in fields(Family) if field.name in PROOF_NAMES), False)
RELAXED = Family("relaxed", "chosen by proofs: relaxed", **{**_NOTHING, "heights": True})

FAMILIES: tuple[tuple[Family, dict[int, str]], ...] = (
    (ETHEREUM, {
        1: "Ethereum", 11155111: "Sepolia", 17000: "Holesky", 560048: "Hoodi", 61: "Ethereum Classic", 100: "Gnosis",
        10200: "Chiado", 56: "BNB Smart Chain", 97: "BNB Smart Chain testnet", 59144: "Linea", 59141: "Linea Sepolia",
        369: "PulseChain", 1337: "development (geth)", 31337: "development (anvil, hardhat)",
    }),
    (Family("op-stack", "withdrawalsRoot is a contract's storage, and there are no withdrawals", withdrawals=False), {
        10: "OP Mainnet", 11155420: "OP Sepolia", 8453: "Base", 84532: "Base Sepolia", 7777777: "Zora", 34443: "Mode",
        480: "World Chain", 130: "Unichain", 57073: "Ink", 1868: "Soneium", 1135: "Lisk", 252: "Fraxtal", 81457: "Blast",
        204: "opBNB", 288: "Boba", 690: "Redstone", 1750: "Metal", 185: "Mint",
    }),
    (Family("mantle", "deposits have members of their own", **_NO_ROOTS, withdrawals=False), {5000: "Mantle", 5003: "Mantle Sepolia"}),
    (Family("celo", "receipts of fee-currency transactions have a member of their own", receipts=False, withdrawals=False), {
        42220: "Celo", 11142220: "Celo Sepolia",
    }),
    (Family("arbitrum", "transactions of the chain's own types", **_NO_ROOTS), {
        42161: "Arbitrum One", 42170: "Arbitrum Nova", 421614: "Arbitrum Sepolia", 33139: "ApeChain", 660279: "Xai",
    }),
    (Family("scroll", "messages from L1 are transactions of the chain's own type", **_NO_ROOTS), {534352: "Scroll", 534351: "Scroll Sepolia"}),
    (Family("polygon", "state syncs are system transactions outside of roots, bloom and gasUsed", **_NO_ROOTS, bloom=False, gas=False), {
        137: "Polygon PoS", 80002: "Polygon Amoy",
    }),
    (Family("avalanche", "the bloom does not hold all logs", bloom=False), {43114: "Avalanche C-Chain", 43113: "Avalanche Fuji"}),
    (Family("zksync", "roots and bloom are empty", **{**_NOTHING, "heights": True}), {
        324: "zkSync Era", 300: "zkSync Sepolia", 2741: "Abstract", 232: "Lens", 50104: "Sophon",
    }),
    (Family("cdk-erigon", "roots over another kind of tree", **_NO_ROOTS, bloom=False), {1101: "Polygon zkEVM", 2442: "Cardona"}),
    (Family("sei", "roots over transactions of another kind, system logs outside of the bloom", **{**_NOTHING, "heights": True}), {
        1329: "Sei", 1328: "Sei testnet",
    }),
    (Family("cosmos-evm", "transactionsRoot is Tendermint's, over other transactions; receiptsRoot is a constant", **_NO_ROOTS, gas=False), {
        25: "Cronos", 338: "Cronos testnet", 9001: "Evmos", 2222: "Kava", 7700: "Canto", 1776: "Injective", 1440000: "XRPL EVM",
    }),
    (Family("filecoin", "heights without a block; roots over messages; the bloom is full", **_NOTHING), {314: "Filecoin", 314159: "Filecoin Calibration"}),
    (Family("kaia", "transactions of the chain's own types", **_NO_ROOTS, gas=False), {8217: "Kaia", 1001: "Kaia Kairos"}),
    (Family("opera", "roots of another kind", **_NO_ROOTS, gas=False), {250: "Fantom", 146: "Sonic"}),
    (Family("rootstock", "roots over another kind of tree", **_NO_ROOTS), {30: "Rootstock", 31: "Rootstock testnet"}),
    (Family("hyperevm", "system transactions outside of roots and bloom", **_NO_ROOTS, bloom=False, gas=False), {999: "HyperEVM"}),
    (Family("no-commitments", "roots and blooms are filled for their shape alone", **{**_NOTHING, "heights": True}), {
        295: "Hedera", 296: "Hedera testnet", 728126428: "Tron", 4689: "IoTeX", 1313161554: "Aurora",
    }),
)  # fmt: skip
"""From the chains' documentation and the reports of their users; no chain was queried."""
_BY_CHAIN = {chain: family for family, chains in FAMILIES for chain in chains}


def family_of(chain: int, chosen: Proofs | None) -> Family:
    """Returns what can be proven on a chain; a chain without a family must pass the same proofs as Ethereum."""
    if chosen is Proofs.RELAXED:
        # Whether each height has a block is not a proof but a property of the chain, so only the chain decides it.
        return replace(RELAXED, heights=_BY_CHAIN.get(chain, ETHEREUM).heights)
    if chosen is Proofs.ETHEREUM:
        return ETHEREUM
    return _BY_CHAIN.get(chain, ETHEREUM)


def chain_of(identity: str) -> int:
    """Returns the chain id in a chain's identity, as checkpoints store it."""
    match = re.match(r"chain (\d+)", identity)
    return int(match[1]) if match else 0


def describe(chain: int, chosen: Proofs | None) -> str:
    """Describes for people what is unusual about a chain's proofs; "" if nothing is."""
    family = family_of(chain, chosen)
    known = _BY_CHAIN.get(chain)
    if chosen is not None and chosen is not Proofs.RELAXED:
        return (
            ""
            if known in (None, ETHEREUM)
            else f"proofs: ethereum is set, though chain {chain} is of the family {known.name} ({known.why})"
        )
    if family.lacks:
        return f"chain {chain}, family {family.name} ({family.why}): not provable here: {'; '.join(family.lacks)}"
    if known is None:
        return (
            f"chain {chain} is in no known family: its blocks must prove as Ethereum's do; if they are made otherwise, "
            "set proofs: relaxed"
        )
    return ""
