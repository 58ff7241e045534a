"""Synthetic images mixed with real ones, or in their place, for balancebench."""
