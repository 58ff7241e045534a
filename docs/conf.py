"""How the documentation is built: `.ci/docs`, or sphinx-build docs build/docs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "balancebench"
author = "the balancebench contributors"
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "component_pages"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_build", "_extensions"]

html_theme = "furo"
html_title = "balancebench"
html_static_path: list[str] = []

myst_enable_extensions = ["linkify", "colon_fence"]
myst_heading_anchors = 3
# Links to files of the repository that are no pages, in READMEs that are included from elsewhere.
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
autodoc_typehints = "signature"
nitpicky = False
