"""The network with its training; see pynet.model.net."""

from __future__ import annotations

from pynet.model.net import Evaluation, LayerView, Network, OptimizerState, load

__all__ = ["Evaluation", "LayerView", "Network", "OptimizerState", "load"]
