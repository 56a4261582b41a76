"""pynet as its users call it, on images."""

from __future__ import annotations

import pynet
from bench.peers import Weights
from bench.peers.lenet import TEXT
from bench.peers.pynet_net import PynetNet


class PynetLenet(PynetNet):
    """Network.fit on bytes."""

    def __init__(self, weights: Weights) -> None:
        self.take(pynet.Network(TEXT), weights)
