"""What each stage does with its inputs, inside a worker process (or, with --jobs 0, in the main one)."""
