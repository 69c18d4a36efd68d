"""A second, simpler simulated camera that tests take as a referee.

It shares no physics with the package: neither with the simulator of the virtual patients nor with the reconstruction.
Of `mureg` it takes grids, volumes and the exceptions alone; every constant is its own.
"""
