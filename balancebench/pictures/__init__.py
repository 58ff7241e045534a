"""Pictures of what a suite did, drawn from its store."""
