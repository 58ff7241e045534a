"""The shared training code: plans, models, augmentation, and the loop every classifier of the core runs in."""
