"""Results that are kept for their next use, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class KeptByBytes(Generic[Value]):
    """A cache that gives up what was used longest ago once its values take more memory than it may.

    A cache that counts its values would hold sixteen times the memory where the images have four times the voxels along
    each side.
    """

    def __init__(self, most_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._most_bytes, self._size_of = most_bytes, size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory of the values that are kept."""
        return self._bytes

    def value(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, which `make` gives where it is not kept; safe in threads."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        new_value = make()
        with self._lock:
            if key in self._values:  # another thread was faster
                return self._values[key]
            self._values[key] = new_value
            self._bytes += self._size_of(new_value)
            while self._bytes > self._most_bytes and self._values:
                self._bytes -= self._size_of(self._values.popitem(last=False)[1])
        return new_value
