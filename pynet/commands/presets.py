"""Presets of `pynet train`: named sets of options. Options given on the command line override those of the preset.

They were tuned on MNIST with a validation set (--val-split 0.1), never on the test set.
"""

from __future__ import annotations

from dataclasses import dataclass

MIN_STEPS = 1500  # mini-batches in all: a small data set is trained for more epochs to reach this
SMALL_SIDE = 20  # pixels on the shorter side: smaller pictures are padded, as a 5x5 window would cut off too much
LARGE_SIDE = 14  # larger feature maps are pooled again, or the dense layer after them would be huge


@dataclass(frozen=True)
class Preset:
    """Its purpose, the layers between the input and the last dense layer, epochs, and options as typed."""

    about: str
    layers: str
    epochs: int
    options: str

    def epochs_for(self, samples: int, batch_size: int) -> int:
        """`epochs`, or more where a small data set needs them for MIN_STEPS steps."""
        return max(self.epochs, -(-MIN_STEPS // max(1, -(-samples // batch_size))))

    @property
    def on_pictures(self) -> bool:
        """Whether the network has convolutions."""
        return self.layers.startswith("conv")


PRESETS = {
    "tutorial": Preset("the simple network of the tutorials", "dense(128) relu dense(64) relu", 10, "--lr 0.1"),
    "fast": Preset(
        "98 % accuracy on MNIST in the shortest time",
        "dense(192) relu",
        5,
        "--optimizer adam --lr 0.005 --schedule onecycle --batch-size 128",
    ),
    "best": Preset(
        "the best accuracy of a dense network in half a minute",
        "dense(512) relu dropout(0.3) dense(256) relu dropout(0.3)",
        20,
        "--optimizer adam --lr 0.002 --schedule onecycle --batch-size 64 --augment",
    ),
    "cnn": Preset(
        "the best accuracy of a convolutional network in a minute",
        "conv(16,5) relu maxpool(2) conv(32,5) relu maxpool(2) dense(128) batchnorm relu dropout(0.3)",
        18,
        "--optimizer adam --lr 0.004 --schedule onecycle --batch-size 100 --augment",
    ),
}


def layers_for(preset: Preset, height: int, width: int) -> str:
    """The preset's layers for pictures of this size.

    Convolutions on small pictures are padded to keep the size. Large feature maps are pooled again before the dense
    layer; those with a side of one pixel are not pooled.
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
