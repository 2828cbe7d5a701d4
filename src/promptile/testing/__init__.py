"""What every model must do, as tests that a model's own suite runs: see ``docs/extending.md``.

::

    from promptile.testing import ModelContract

    class TestMyModel(ModelContract):
        def model(self):
            return MyModel()

pytest runs the methods whose name begins with ``test``; those for abilities that the card does not name pass at once.
"""

from __future__ import annotations

from promptile.testing.contract import ModelContract

__all__ = ["ModelContract"]
