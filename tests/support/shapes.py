"""The checker behind the shapes in signatures.

Building a checked function costs milliseconds and each checked call tens of microseconds, which was a third of the time
of the tests. So a function is built at its first call, and calls that repeat are checked now and then (`_Forms`).
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
import numpy.typing as npt
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import config

checked = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # an int is welcome where a float is asked for
        hint_overrides=FrozenDict({npt.ArrayLike: Any}),  # its protocols cannot be told at run time
    )
)

ALWAYS, EVERY = 20, 50
"""The first calls of one form are all checked, and then one in so many."""


@contextmanager
def unchecked() -> Iterator[None]:
    """As it is for users, who have no shape checker: the refusal must be the package's own."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)


_eager = jaxtyping.jaxtyped


def jaxtyped(function: Any = None, *, typechecker: Any = None) -> Any:
    """`jaxtyping.jaxtyped` for its import hook: built at the first call, and repeated calls checked now and then."""
    if function is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if inspect.isclass(function):
        if dataclasses.is_dataclass(function) and not hasattr(function.__init__, "_checked_here"):
            function.__init__ = _lazily(function.__init__, typechecker)  # type: ignore[misc]
        return function
    if inspect.isfunction(function):
        return _lazily(function, typechecker)
    if isinstance(function, classmethod | staticmethod):
        return type(function)(_lazily(function.__func__, typechecker))
    return _eager(function, typechecker=typechecker)


def install(modules: list[str]) -> None:
    """Check the shapes of these modules from now on; before any of them is imported."""
    jaxtyping.jaxtyped = jaxtyped
    jaxtyping.install_import_hook(modules, "support.shapes.checked")


def _lazily(function: Callable[..., Any], typechecker: Any) -> Callable[..., Any]:
    whole: Callable[..., Any] | None = None
    calls: dict[Any, int] = {}

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal whole
        key = (*map(_form, args), *((name, _form(value)) for name, value in kwargs.items()))
        calls[key] = n = calls.get(key, 0) + 1
        if n > ALWAYS and n % EVERY:
            return function(*args, **kwargs)
        if whole is None:
            whole = _eager(function, typechecker=typechecker)
        return whole(*args, **kwargs)

    wrapper._checked_here = True  # type: ignore[attr-defined]
    return wrapper


def _form(value: Any) -> Any:
    """What a check of a value depends on: kind, element type and shape; words and truth values may be literals."""
    kind = type(value)
    if kind is str or kind is bool:
        return value
    if kind.__module__ in ("numpy", "torch") and hasattr(value, "shape"):
        return kind, value.dtype, tuple(value.shape)
    return (kind, tuple(map(type, value))) if kind is tuple or kind is list else kind
