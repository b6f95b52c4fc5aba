"""Writing charts."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cebench.files import replace_atomically


def save_figure(figure: Figure, path: Path) -> None:
    """Write a chart as PNG, atomically, into a folder that is made if it is absent."""
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
