"""Nuclear medicine objects: projections, reconstructed volumes and maps, read and written."""
