"""Pictures of networks, of what they learn and of what they get wrong; each function returns a matplotlib figure.

>>> figure = pynet.figures.weights(net)
>>> pynet.figures.save(figure, "weights.png")

No display is needed. All pictures can be read in grey and by the colour-blind. matplotlib is an extra of pynet
(`pip install ".[plot]"` in a clone) and imported when the first figure is drawn. `pynet visualize` is the same as a
command.
"""

from pynet.figures.boundary import boundary
from pynet.figures.canvas import MissingMatplotlib, require, save
from pynet.figures.curves import curves, learning_rates
from pynet.figures.maps import feature_maps, filters
from pynet.figures.numbers import importance, predicted, residuals
from pynet.figures.predictions import confusion, mistakes, noise, temperatures
from pynet.figures.preferred_inputs import ascend, looks_for
from pynet.figures.saliency import saliency
from pynet.figures.samples import samples
from pynet.figures.weights import weights

__all__ = ["MissingMatplotlib", "require", "save"]
__all__ += ["ascend", "boundary", "confusion", "curves", "feature_maps", "filters", "learning_rates", "looks_for"]
__all__ += [
    "importance",
    "mistakes",
    "noise",
    "predicted",
    "residuals",
    "saliency",
    "samples",
    "temperatures",
    "weights",
]
