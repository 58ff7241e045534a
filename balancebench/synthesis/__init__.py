"""What balancers that make images share: how many are missing, how classes are filled, weights, curves and seeds."""
