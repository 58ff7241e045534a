"""Speed, measured beside plain loops. Run one from the repository's root: `uv run python -m benchmarks.small_cnn`."""
