"""A plugin as a stranger would write it: it uses the public names of balancebench and nothing else."""
