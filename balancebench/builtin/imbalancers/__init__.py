"""The imbalancers that come with balancebench: how many images each class keeps, and which ones."""
