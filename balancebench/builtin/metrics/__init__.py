"""The metrics that come with balancebench; `components` declares them."""
