"""Synthetic frontal chest films of a child: drawn, never of a patient. They fill the demo and feed the tests.

numpy, Pillow and pydicom are imported by the functions that need them, so that a web process never loads them.
"""

from diagnostics.phantom.anatomy import Opacity, draw_film
from diagnostics.phantom.encoding import FilmTags, encode_dicom, encode_jpeg, encode_png

__all__ = ["FilmTags", "Opacity", "draw_film", "encode_dicom", "encode_jpeg", "encode_png"]
