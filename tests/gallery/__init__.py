"""A gallery of misdeeds: for each kind of evidence a file that convicts, made by really misbehaving.

Each function in `GALLERY` returns an `Exhibit`: the file, and the only one it may ever name.
"""

from tests.gallery import entries, orders, outcomes, places
from tests.gallery.hanging import GALLERY, Exhibit

__all__ = ["GALLERY", "Exhibit", "entries", "orders", "outcomes", "places"]
