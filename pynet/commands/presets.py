"""Presets of `pynet train`: named sets of options. Options given on the command line override those of the preset.

They were tuned on MNIST with a validation set, and tried on letters, drawn shapes and clothes, and tables; nothing was
chosen on a test set. Whether augmentation helps, or dropout on rows of numbers, a trial on the data at hand decides.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from pynet.augment import Augment
from pynet.data import Dataset
from pynet.network import Network, load
from pynet.training.trial import NOTE, Trial, learnt_in_trial, try_out

TUNED_ON = 60_000  # samples: MNIST
TRIAL_EPOCHS = {"augmentation": 12, "dropout": 36}  # dropout helps late, and rows of numbers are fast
TRIAL_SHARE = 5  # at most a fifth of the epochs makes up for the time of a trial
MAX_EPOCHS = 120  # more teach little, however small the data set is
STEPS_AS_THEY_ARE = 1000
MIN_BATCH, MIN_STEPS = 16, 16  # small data sets: so small mini-batches that an epoch has 16, but of 16 samples or more
SMALL_SIDE = 20  # pixels on the shorter side: smaller pictures are padded, as a 5x5 window would cut off too much
LARGE_SIDE = 14  # larger feature maps are pooled again, or the dense layer after them would be huge
AUTO = "auto"  # of --augment: a trial decides


@dataclass(frozen=True)
class Preset:
    """Its purpose, the layers between the input and the last dense layer, and epochs, batch size and options for MNIST.

    options: as typed. tries: what a trial before the training decides.
    """

    about: str
    layers: str
    epochs: int
    batch_size: int
    options: str
    tries: tuple[str, ...] = ()

    def batch_size_for(self, samples: int) -> int:
        """`batch_size`, or less for a small data set."""
        return min(self.batch_size, max(MIN_BATCH, samples // MIN_STEPS))

    def epochs_for(self, samples: int, batch_size: int, tried: str = "", kept: bool = True) -> int:
        """As many as give the number of steps of MNIST, from `epochs` to MAX_EPOCHS.

        tried, kept: what a trial decided before, whose time is taken off. Convolutions without augmentation fit the
        training samples soon, and get STEPS_AS_THEY_ARE.
        """
        steps = self.epochs * -(-TUNED_ON // self.batch_size)
        if self.on_pictures and not kept:
            steps = STEPS_AS_THEY_ARE
        needed = -(-steps // max(1, -(-samples // batch_size)))
        epochs = min(max(needed, self.epochs), MAX_EPOCHS)
        if not tried:
            return epochs
        spent = -(-learnt_in_trial(samples, TRIAL_EPOCHS[tried]) // max(samples, 1))
        return epochs - min(spent, epochs // TRIAL_SHARE)

    @property
    def on_pictures(self) -> bool:
        """Whether the network has convolutions."""
        return self.layers.startswith("conv")


PRESETS = {
    "tutorial": Preset("the simple network of the tutorials", "dense(128) relu dense(64) relu", 10, 64, "--lr 0.1"),
    "fast": Preset(
        "98 % of MNIST as soon as possible",
        "dense(192) relu",
        5,
        128,
        "--optimizer adam --lr 0.005 --schedule onecycle",
    ),
    "best": Preset(
        "the most that a dense network learns in half a minute",
        "dense(512) relu dropout(0.3) dense(256) relu dropout(0.3)",
        20,
        64,
        "--optimizer adam --lr 0.002 --schedule onecycle --augment auto",
        ("augmentation", "dropout"),
    ),
    "cnn": Preset(
        "the most that convolutions learn in a minute",
        "conv(16,5) relu maxpool(2) conv(32,5) relu maxpool(2) dense(128) batchnorm relu dropout(0.3)",
        18,
        100,
        "--optimizer adam --lr 0.004 --schedule onecycle --augment auto",
        ("augmentation",),
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
            word = word.replace(")", ",pad=same)") if same_size else word
            side -= 0 if same_size else 4
        elif word == "maxpool(2)":
            word = word if side > 1 else ""
            side = max(side // 2, 1)
        elif word.startswith("dense") and preset.on_pictures:
            while side > LARGE_SIDE:
                words.append("maxpool(2)")
                side //= 2
        words.append(word)
    return " ".join(filter(None, words))


def without_dropout(text: str) -> str:
    """The text of a network, without its layers of dropout."""
    return re.sub(r" dropout\([^)]*\)", "", text)


def has_pictures(net: Network, dataset: Dataset) -> bool:
    """Whether the samples are pictures, for the network at least."""
    return dataset.x_train.ndim > 2 or len(net.in_shape) == 3


def trial_of(options: argparse.Namespace, net: Network, dataset: Dataset, seed: int) -> Trial | None:
    """The trial that the options ask for; None: nothing is to be tried. A resumed training has had its trial before.

    Tried is augmentation of the default strengths, or, on rows of numbers, the dropout of the preset's own network.
    """
    what = "augmentation" if options.augment == AUTO else ""
    if not has_pictures(net, dataset):
        own = (options.net, options.load, options.hidden, options.activation, options.init) == (None,) * 5
        what = "dropout" if own and options.preset and "dropout" in PRESETS[options.preset].tries else ""
    if not what or not dataset.classes or options.find_lr or options.folds:
        return None
    if options.resume:
        note = load(options.checkpoint).meta.get(NOTE)
        return None if note is None else Trial.from_note(note)
    augment = what == "augmentation"
    return try_out(
        what,
        (net.spec, net.spec if augment else without_dropout(net.spec)),
        (Augment() if augment else None, None),
        dataset.x_train,
        dataset.y_train,
        epochs=TRIAL_EPOCHS[what],
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        schedule=options.schedule,
        seed=seed,
    )


def augmentation_of(options: argparse.Namespace, net: Network, dataset: Dataset, trial: Trial | None) -> Augment | None:
    """As given; if a trial was to decide, the default strengths or none. Too few samples for a trial: the default."""
    if options.augment != AUTO:
        given: Augment | None = options.augment
        return given
    keep = trial.kept if trial else bool(dataset.classes)
    return Augment() if keep and has_pictures(net, dataset) else None
