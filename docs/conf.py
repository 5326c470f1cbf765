"""Sphinx: MyST markdown, furo, reference pages from docstrings."""

import re

import longwire

project = "longwire"
author = "the longwire authors"
project_copyright = "2026, the longwire authors"
version = release = longwire.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
]
exclude_patterns = ["_build"]
# The contracts in explain/architecture.md are sketches, not Python to the letter.
# A bare `Server` in an annotation could be longwire.rpc's as well; ours comes first.
suppress_warnings = ["misc.highlighting_failure", "ref.python"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
# In docstrings `name` is a name of longwire or of Python, as in the code beside it.
default_role = "py:obj"


html_theme = "furo"
html_title = f"longwire {release}"
html_static_path = ["_static"]


def _name_functions(app, what, name, obj, options, signature, returns):
    """Show a default that is a function by its name, which Sphinx can parse."""
    if signature is None:
        return None
    return re.sub(r"<function (\w+)>", r"\1", signature), returns


def setup(app):
    app.connect("autodoc-process-signature", _name_functions)
