"""Suite files: reading TOML, naming every mistake with its place, and binding components to their options."""
