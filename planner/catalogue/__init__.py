"""The built-in catalogue: well-known models, devices, published variants with their evidence, and presets, all cited."""

from planner.catalogue.load import Catalogue, load_catalogue

__all__ = ["Catalogue", "load_catalogue"]
