"""The datasets that come with balancebench."""
