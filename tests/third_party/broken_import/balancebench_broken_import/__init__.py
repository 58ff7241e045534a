"""A plugin that needs a library which is not installed."""

import a_library_that_does_not_exist  # noqa: F401  # pyright: ignore[reportMissingImports]
