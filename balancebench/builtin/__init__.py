"""The components that come with balancebench, declared through the same hooks as any plugin."""
