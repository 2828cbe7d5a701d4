"""The keys of the widget: on the viewer, and on the layers that have the same keys for themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Keys = dict[str, tuple[str, Callable[[], None]]]
"""What a key does, in words and in deed."""


class KeyBindings:
    """Keys that do something as long as they are bound.

    Parameters
    ----------
    viewer : napari.Viewer
    keys : mapping of str to (str, callable)
    """

    def __init__(self, viewer: Any, keys: Keys) -> None:
        self._viewer, self._keys = viewer, keys
        self._before = {key: viewer.keymap[key] for key in keys if key in viewer.keymap}
        self._bind(viewer)

    def also_on(self, layer: Any) -> None:
        """A layer's own keys come before the viewer's: bind them there too."""
        self._bind(layer)

    def release(self) -> None:
        """Give the keys back."""
        for key in self._keys:
            self._viewer.bind_key(key, self._before.get(key), overwrite=True)

    def _bind(self, keeper: Any) -> None:
        for key, (text, act) in self._keys.items():
            keeper.bind_key(key, _pressed(text, act), overwrite=True)


def _pressed(text: str, act: Callable[[], None]) -> Callable[[Any], None]:
    def press(_keeper: Any) -> None:
        act()

    press.__doc__ = text
    return press
