"""Everything that is written as DICOM, in one place to import from."""

from mureg.io.dicom.ct_write import PADDING_HU, write_ct_series
from mureg.io.nm.write_tomo import write_nm_tomo
from mureg.io.nm.write_volume import write_nm_volume

__all__ = ["PADDING_HU", "write_ct_series", "write_nm_tomo", "write_nm_volume"]
