"""Figures of networks, their training and their mistakes; each function returns a matplotlib figure.

>>> figure = pynet.figures.weights(net)
>>> pynet.figures.save(figure, "weights.png")

No display is needed. All figures are readable in grey and with colour blindness. matplotlib is an optional dependency
(`pip install ".[plot]"` in a clone), imported when the first figure is drawn. The command is `pynet visualize`.
"""

from pynet.figures.boundary import boundary
from pynet.figures.canvas import MissingMatplotlib, require, save
from pynet.figures.curves import curves, learning_rates
from pynet.figures.maps import feature_maps, filters
from pynet.figures.numbers import importance, predicted, residuals
from pynet.figures.predictions import confusion, mistakes, noise, temperatures
from pynet.figures.preferred_inputs import gradient_ascent, preferred_inputs
from pynet.figures.saliency import saliency
from pynet.figures.samples import samples
from pynet.figures.weights import weights

__all__ = ["MissingMatplotlib", "require", "save"]
__all__ += ["boundary", "confusion", "curves", "feature_maps", "filters", "gradient_ascent", "importance"]
__all__ += ["learning_rates", "mistakes", "noise", "predicted", "preferred_inputs", "residuals", "saliency", "samples"]
__all__ += ["temperatures", "weights"]
