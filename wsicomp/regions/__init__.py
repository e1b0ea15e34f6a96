"""What matters where: regions of a slide by class, read from whatever draws or finds them."""

from wsicomp.regions.class_table import ClassTable, read_class_table
from wsicomp.regions.reader import read_regions
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.regions import RegionClass, Regions

__all__ = ["ClassTable", "RegionClass", "RegionReading", "Regions", "read_class_table", "read_regions"]
