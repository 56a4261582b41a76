"""pynet as its users call it: Network.fit and Network.predict_proba."""

from __future__ import annotations

import pynet
from bench.peers import LEARNING_RATE, Array
from bench.peers.larger import ADAM, Case


class PynetLarger:
    """Network.fit on float arrays."""

    def __init__(self, case: Case, net: pynet.Network, x: Array, y: Array) -> None:
        self.net, self.x, self.y, self.batch = net, x, y, case.batch
        self.optimizer = pynet.Adam(ADAM) if case.optimizer == "adam" else pynet.SGD(LEARNING_RATE)

    def train(self, epochs: int) -> float:
        """The history's seconds, as in pynet_net.py."""
        history = self.net.fit(
            self.x, self.y, epochs=epochs, batch_size=self.batch, optimizer=self.optimizer, verbose=False
        )
        return sum(history.seconds)

    def predict(self, rows: int) -> Array:
        return self.net.predict_proba(self.x[:rows])
