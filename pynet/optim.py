"""Optimizers, as small descriptions: the core does the arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: w -= learning_rate * dw (Robbins and Monro 1951)."""

    learning_rate: float = 0.1
