"""The classifiers that come with balancebench."""
