"""Measurements of objects in their image: volume, surface, diameter, intensity, place."""

from promptile.measuring.kept import measure_run
from promptile.measuring.objects import Measured, measure_objects
from promptile.measuring.tables import brief, check_table, plain, table_of, write_table

__all__ = ["Measured", "brief", "check_table", "measure_objects", "measure_run", "plain", "table_of", "write_table"]
