"""A folder of images, balanced and written out: what `balancebench balance` does."""
