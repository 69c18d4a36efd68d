"""The checker behind the shapes in signatures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import config

checked = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # an int is welcome where a float is asked for
        hint_overrides=FrozenDict({npt.ArrayLike: Any}),  # its protocols cannot be told at run time
    )
)


@contextmanager
def unchecked() -> Iterator[None]:
    """As it is for users, who have no shape checker: the refusal must be the package's own."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)
