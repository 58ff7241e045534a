"""Augmentation, DCGAN and Stable Diffusion as balancers, for balancebench."""
