"""The left ventricle: its shape, where it is in an image, its long axis, polar maps along it."""
