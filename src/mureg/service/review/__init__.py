"""A local page to look at results, move the map, and accept or reject them."""
