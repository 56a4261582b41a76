"""Any network has the bits of Python, and no data ends the module."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.random_networks import SPECS, texts
from hypothesis import HealthCheck, example, given, settings
from wasm.module import Core, Refused

from pynet import RMSProp
from pynet.network import Network


@given(texts())
@example(SPECS[0])
@example(SPECS[1])
@example(SPECS[2])
@example(SPECS[3])
@example(SPECS[4])
@example(SPECS[5])
@example(SPECS[6])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_networks(core: Core, text: str) -> None:
    yours = Network(text, seed=4)
    random = np.random.RandomState(5)
    x = random.standard_normal((20, *yours.in_shape)).astype(np.float32)
    y = random.random_sample((20, *yours.out_shape)).astype(np.float32)
    mine = core.net(text, 4)
    labels = y.reshape(20, -1).argmax(axis=1) if yours.loss_name == "cross_entropy" else None
    core.data(x, labels, None if labels is not None else y)
    target = y if labels is None else labels
    for _ in range(3):
        loss = mine.train(np.arange(20), 20, "rmsprop", 0.01)
        assert loss == yours.train_step(x, target, optimizer=RMSProp(0.01))
    assert mine.sha256() == yours.weights_sha256()
    assert np.array_equal(mine.predict(x), yours.predict_proba(x).reshape(20, -1))
    for value in (np.nan, np.inf, -np.inf, 3e38, -1e-45):
        bad = x.copy()
        bad[3] = value
        core.data(bad, labels, None if labels is not None else y)
        try:
            mine.train(np.arange(20), 7, "adam", 1e30)
        except Refused as refused:
            assert refused.args[1]
        core.call("data", 0, 0, 0, 0, 20)
        with pytest.raises(Refused, match="x of the data is NULL"):
            mine.call("infer")
