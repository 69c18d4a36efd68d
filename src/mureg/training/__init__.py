"""Training a registration network: cases prepared once, one readable loop, runs that go on where they were stopped."""
