"""Presets of `pynet train`: options that go together, by name. Those that are given besides override them one by one.

They were tuned on MNIST by --val-split 0.1, a part of the training samples; nothing was chosen by the test set.
"""

from __future__ import annotations

from dataclasses import dataclass

MIN_STEPS = 1500  # of a training: a small data set is gone through more often
SMALL_SIDE = 20  # pixels on the shorter side: below, a window of 5 would cut off too much of a picture
LARGE_SIDE = 14  # and above, pooling goes on, else the dense layer behind it would be huge


@dataclass(frozen=True)
class Preset:
    """What it is for, the layers between input and the last dense one, epochs, and options, as one would type them."""

    about: str
    layers: str
    epochs: int
    options: str

    def epochs_for(self, samples: int, batch_size: int) -> int:
        """More than `epochs` where the samples are so few that these would be less than LEAST_STEPS."""
        return max(self.epochs, -(-MIN_STEPS // max(1, -(-samples // batch_size))))

    @property
    def on_pictures(self) -> bool:
        """Does the network have convolutions?"""
        return self.layers.startswith("conv")


PRESETS = {
    "tutorial": Preset("the plain network of the tutorials", "dense(128) relu dense(64) relu", 10, "--lr 0.1"),
    "fast": Preset(
        "98 % of MNIST as soon as possible",
        "dense(192) relu",
        5,
        "--optimizer adam --lr 0.005 --schedule onecycle --batch-size 128",
    ),
    "best": Preset(
        "the most that a dense network learns in half a minute",
        "dense(512) relu dropout(0.3) dense(256) relu dropout(0.3)",
        20,
        "--optimizer adam --lr 0.002 --schedule onecycle --batch-size 64 --augment",
    ),
    "cnn": Preset(
        "the most that convolutions learn in a minute",
        "conv(16,5) relu maxpool(2) conv(32,5) relu maxpool(2) dense(128) batchnorm relu dropout(0.3)",
        18,
        "--optimizer adam --lr 0.004 --schedule onecycle --batch-size 100 --augment",
    ),
}


def layers_for(preset: Preset, height: int, width: int) -> str:
    """The preset's layers for pictures of this size: convolutions keep small ones as large, large ones are pooled on.

    Where a side has come down to one pixel, pooling is left out.
    """
    side, words = min(height, width), []
    for word in preset.layers.split():
        if word.startswith("conv"):
            same_size = min(height, width) < SMALL_SIDE
            words.append(word.replace(")", ",pad=same)") if same_size else word)
            side -= 0 if same_size else 4
        elif word == "maxpool(2)":
            if side > 1:
                words.append(word)
                side //= 2
        elif word.startswith("dense") and preset.on_pictures:
            while side > LARGE_SIDE:
                words.append("maxpool(2)")
                side //= 2
            words.append(word)
        else:
            words.append(word)
    return " ".join(words)
