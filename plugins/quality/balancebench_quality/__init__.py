"""How good, how varied and how new synthetic images are: metrics for balancebench."""
