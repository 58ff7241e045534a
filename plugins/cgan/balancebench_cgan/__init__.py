"""Conditional GANs that fill the classes of an imbalanced set, for balancebench."""
