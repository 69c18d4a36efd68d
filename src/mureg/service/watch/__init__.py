"""A folder that is watched: studies are put together, registered and written into the store."""
