"""Which SPECT belongs to which CT: lists and folders of many studies."""
