"""Layers as objects, an alternative to writing a network as text.

`Network([Input(784), Dense(128), ReLU(), Dense(10), Softmax()])` is the same as
`Network("input(784) dense(128) relu dense(10) softmax")`: each object only produces its part of the text. The core
reads the text; defaults and accepted values are defined there.
"""

from __future__ import annotations

__all__ = ["AvgPool", "BatchNorm", "Conv", "Dense", "Dropout", "Flatten", "GELU", "GlobalAvgPool", "Input", "Layer"]
__all__ += ["LayerNorm", "LeakyReLU", "Loss", "MaxPool", "ReLU", "Rescale", "Residual", "Sigmoid", "Softmax"]
__all__ += ["Standardize", "Tanh"]


class Layer:
    """One layer of a network's text, with its arguments; str() is that text."""

    word: str

    def __init__(self, *args: int | float | str, **options: int | float | str | None) -> None:
        given = [str(value) for value in args]
        given += [f"{name}={value}" for name, value in options.items() if value is not None]
        self._text = self.word + (f"({','.join(given)})" if given else "")

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._text}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layer) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class Input(Layer):
    """Shape of a sample: Input(784), or Input(channels, height, width)."""

    word = "input"


class Standardize(Layer):
    """y = (x - mean) / scale for each feature, or channel of images, right after the input; see Network.adapt."""

    word = "standardize"


class Dense(Layer):
    """y = x W + b with W (n_in, units): Dense(units, init=None), init one of "he", "xavier", "normal"."""

    word = "dense"


class Conv(Layer):
    """Convolution with W (kernel, kernel, channels_in, channels): Conv(channels, kernel, stride=1, pad=0, init=None,
    bias=None).

    pad: zeros around the image, a number or "same" for ceil(size / stride) outputs.
    """

    word = "conv"


class MaxPool(Layer):
    """The largest number of each window: MaxPool(size, stride=size)."""

    word = "maxpool"


class AvgPool(Layer):
    """The mean of each window: AvgPool(size, stride=size)."""

    word = "avgpool"


class GlobalAvgPool(Layer):
    """The mean of each channel."""

    word = "globalavgpool"


class ReLU(Layer):
    """y = max(x, 0)."""

    word = "relu"


class LeakyReLU(Layer):
    """y = x where x > 0, else slope x: LeakyReLU(slope)."""

    word = "leaky_relu"


class GELU(Layer):
    """y = x P(x), with P the cumulative distribution function of the standard normal distribution."""

    word = "gelu"


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x))."""

    word = "sigmoid"


class Tanh(Layer):
    """y = tanh(x)."""

    word = "tanh"


class Softmax(Layer):
    """Probabilities of the classes; as the last layer it makes cross-entropy the default loss."""

    word = "softmax"


class Flatten(Layer):
    """(channels, height, width) as (n)."""

    word = "flatten"


class Dropout(Layer):
    """In training, 0 with probability p, otherwise x / (1 - p): Dropout(p)."""

    word = "dropout"


class BatchNorm(Layer):
    """Normalises each channel over the batch: BatchNorm(eps=None, momentum=None)."""

    word = "batchnorm"


class LayerNorm(Layer):
    """Normalises each sample over its features: LayerNorm(eps=None)."""

    word = "layernorm"


class Residual(Layer):
    """y = x + f(x), f the layers inside: Residual(Dense(64), ReLU(), Dense(64)).

    If f changes the shape, the input is projected: y = x P + f(x).
    """

    word = "residual"

    def __init__(self, *layers: Layer | str) -> None:
        self._text = f"{self.word}({' '.join(map(str, layers))})"


class Rescale(Layer):
    """y = x scale + mean for each output, as the last layer: outputs in the unit of the targets; see Network.adapt.

    The loss works on its x, against targets standardised alike.
    """

    word = "rescale"


class Loss(Layer):
    """The loss, at the end of the list: Loss("mse"), Loss("mae"), Loss("huber", delta=1), Loss("bce"),
    Loss("cross_entropy", smoothing=0.1)."""

    word = "loss"
