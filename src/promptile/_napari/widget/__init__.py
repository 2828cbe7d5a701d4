"""The dock widget: small panels around one desk, at which the work is done."""

from promptile._napari.widget.dock import PromptileWidget

__all__ = ["PromptileWidget"]
