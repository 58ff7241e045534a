"""The balancer that comes with balancebench: none, the floor every other one is measured against."""
