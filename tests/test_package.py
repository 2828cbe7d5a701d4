"""The package itself: what it exports, and that importing it is light."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import promptile


def test_every_public_name_is_there() -> None:
    for name in promptile.__all__:
        assert getattr(promptile, name) is not None
    assert set(dir(promptile)) == set(promptile.__all__)


def test_importing_is_fast_and_loads_nothing_heavy() -> None:
    script = (
        "import sys, time; begin = time.process_time(); import promptile; took = time.process_time() - begin;"
        "heavy = {'torch', 'napari', 'qtpy', 'rasterio', 'SimpleITK', 'numba', 'zarr', 'scipy', 'geopandas', 'numpy'};"
        "print(took, sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    took, heavy = out.split(maxsplit=1)
    assert heavy.strip() == "[]"
    assert float(took) < 0.3


def test_the_core_works_without_the_extras() -> None:
    """Nothing but an extra's own room may need what only an extra brings."""
    script = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'transformers', 'napari', 'qtpy', 'magicgui', 'pydicom', 'dask'):\n"
        "    sys.modules[name] = None\n"
        "import promptile.cli, promptile.demo, promptile.segmentation, promptile.compare\n"
        "from promptile import models\n"
        "models.load('basin', 2), models.load('basin', 3)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_public_names_are_not_hidden_by_modules_of_the_same_name() -> None:
    """Importing a module binds its name on the package, over whatever stood there."""
    modules = {module.name for module in pkgutil.iter_modules(promptile.__path__)}
    assert not modules & set(promptile.__all__)
