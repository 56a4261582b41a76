"""What the commands share: an option that there is not, and the one that was meant."""

from __future__ import annotations

import pytest
from helpers.command import one_line, run

from pynet.commands import predict, visualize


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("--optimzer", "--optimizer"),
        ("--learning-rate", "--lr"),
        ("--learning_rate=0.1", "--lr"),
        ("--batch_size", "--batch-size"),
        ("-epochs", "--epochs"),
        ("--Hiden", "--hidden"),
        ("--validation_split", "--val-split"),
    ],
)
def test_the_option_that_was_meant_is_named(wrong: str, meant: str) -> None:
    message = f"error: there is no option '{wrong.partition('=')[0]}', did you mean {meant}? pynet train --help lists"
    one_line(run(wrong, "3"), 2, message)


def test_other_commands_and_options_like_no_other() -> None:
    one_line(run("weights", "--layr", "2", command=visualize), 2, "no option '--layr', did you mean --layer? pynet")
    one_line(run("a.png", "--top_k", "2", command=predict), 2, "no option '--top_k', did you mean --top? pynet predict")
    one_line(run("--xyz", "2"), 2, "there is no option '--xyz'; pynet train --help lists the options")
    one_line(run("here"), 2, "there is no argument 'here'; pynet train --help lists the options")
