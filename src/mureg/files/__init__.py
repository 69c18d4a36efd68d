"""Writing on disks that people share: whole or not at all, one writer at a time, no foreign file touched."""
