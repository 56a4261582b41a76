"""The notebooks of examples/ run from top to bottom, and show what their text speaks of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from helpers import ROOT

WHERE = "needs Jupyter and scikit-learn: .ci/run has them"
nbformat = pytest.importorskip("nbformat", reason=WHERE)
nbclient = pytest.importorskip("nbclient", reason=WHERE)
for name in ("ipykernel", "sklearn", "pandas", "matplotlib"):
    pytest.importorskip(name, reason=WHERE)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own


def shown(name: str) -> list[dict[str, Any]]:
    """What each cell of code shows: texts by their MIME type, printed ones as "stream"."""
    notebook = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "its file holds no outputs, which would grow old"
    folder = {"metadata": {"path": str(ROOT / "examples")}}
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", resources=folder).execute()
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            data = {kind: text for output in cell.outputs for kind, text in output.get("data", {}).items()}
            printed = {output.name: output.text for output in cell.outputs if output.output_type == "stream"}
            found.append(data | printed)
    return found


def test_digits() -> None:
    cells = shown("digits")
    assert all("stderr" not in cell for cell in cells)
    assert cells[0]["text/plain"].startswith("Dataset(name='digits'")
    figures = [cell for cell in cells if "image/png" in cell]
    assert len(figures) == 2
    assert "dense(32)" in cells[2]["text/html"]
    assert cells[3]["text/html"].count("<polyline") == 4
    [accuracy] = re.findall(r"accuracy ([\d.]+) %", cells[4]["text/html"])
    assert float(accuracy) > 95
    assert "three.png: 3" in cells[6]["text/html"]
    before, after = map(float, re.findall(r"[\d.]+\d", cells[7]["stdout"]))
    assert after < before / 2


def test_table() -> None:
    cells = shown("table")
    assert all("stderr" not in cell for cell in cells)
    [r2] = re.findall(r"r2=([\d.]+)", cells[4]["text/plain"])
    assert float(r2) > 0.3
    scores = [float(score) for score in re.findall(r"\d\.\d*", cells[5]["stdout"])]
    assert len(scores) == 5
    assert sum(scores) / 5 > 0.3
