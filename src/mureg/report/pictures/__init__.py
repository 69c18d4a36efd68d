"""Pictures of a study: slices, polar maps, the chest, the heart."""
