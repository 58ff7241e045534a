"""Generative models that fill imbalanced classes, selection of what they make, and when they help, for balancebench."""
