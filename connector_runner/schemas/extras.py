"""How a person gets packages that an installation lacks: the one place that says it, as nothing is published. Pure."""

from __future__ import annotations

IMAGE = ("runner", "kafka", "lake")
"""The extras in the runner's image, unless it is built with others."""


def say_install(*extras: str) -> str:
    """What to do so that the packages of some extras are there."""
    checkout = f"in a checkout of this project `pip install '.[{','.join(extras)}]'`"
    if not set(extras) <= set(IMAGE):
        return checkout
    return f"{checkout}; for an image, build it with `--build-arg EXTRAS={','.join(IMAGE)}`, which is the default"
