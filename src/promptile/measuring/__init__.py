"""Measurements of objects in their image: volume, surface, diameter, intensity, place."""

from promptile.measuring.objects import Measured, measure_objects
from promptile.measuring.tables import check_table, plain, table_of, write_table

__all__ = ["Measured", "check_table", "measure_objects", "plain", "table_of", "write_table"]
