"""From a CT to the attenuation map of a SPECT: Hounsfield units to 1/cm, body and table, contrast, spine."""
