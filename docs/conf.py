"""How the documentation is built: `tox -e docs`, or `sphinx-build -W docs build/docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "_ext")]

from absent import leave_out  # noqa: E402

# Everything that is slow to install or import and no page needs.
leave_out(
    *("torch", "torchvision", "timm", "safetensors", "cv2", "skimage", "sklearn", "scipy"),
    *("pandas", "matplotlib", "mpl_toolkits"),
)

from cebench import __version__  # noqa: E402

project = "cebench"
author = "The cebench developers"
copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "generated_pages",
]
exclude_patterns = ["_ext", "images"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
default_role = "code"
highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"cebench {version}"
html_static_path = ["_static"]
html_css_files = ["cebench.css"]
html_copy_source = False
html_theme_options = {
    "source_repository": "",
    "light_css_variables": {
        "color-brand-primary": "#0b5a7a",
        "color-brand-content": "#0b5a7a",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6cc3e6",
        "color-brand-content": "#6cc3e6",
    },
}
