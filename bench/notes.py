"""Why targets are missed on two virtual cores of a Zen 4, and what was tried."""

from __future__ import annotations

UNKNOWN = "not looked into yet."
# what the names of the targets begin with, and the note
NOTES: list[tuple[tuple[str, ...], str]] = [
    (
        ("W64, 1 thread",),
        "of the 111 us of a step the first layer's product takes 33 (20 if all of it were multiply-adds), its "
        "gradient 29 (20), the small layers 31 (26), the inputs 7. A pixel costs 10 cycles at 128 columns, not 8: to "
        "load the weights is the limit there. Lists of indices instead of masks, pairs of rows or of pixels, and "
        "other block sizes were no faster.",
    ),
    (
        ("W64, 2 threads", "batch"),
        "of the 73 us of a step the first layer's product and gradient take 44 (a pixel costs 5.4 cycles at 64 "
        "columns, not 4, and a row of the gradient 25 more: 36 at the least), the small layers 20, the inputs 6, the "
        "barriers 1.4. While the host gives both virtual cores the arithmetic of one, or another program has one of "
        "them, two threads take the 108 ms of one thread, not 70; in the run with all peers W64 and the batches above "
        "64 met that. What helped: the sums of "
        "the sparse product stay with their thread, the backward pass is split by the columns that a thread owns, "
        "each thread transposes small weights for itself, threads wait awake at the two barriers that are left.",
    ),
    (
        ("W64 standardised",),
        "of the 292 us of a step on one thread the first layer's product and gradient take 230 (206 at the peak), and "
        "to gather 200 kB of float rows 24. Prefetches spread over the products saved 13 there and cost 14 here; to "
        "read the rows where they lie cost what the copy had saved.",
    ),
    (
        ("784-512-512-10",),
        "its 2.7 MB of weights do not fit into the L2 cache of 1 MB: every step of 64 samples brings them in for the "
        "forward pass and again for the update. The first layer's gradient takes 190 us and its product 96, where the "
        "multiply-adds take 39 each; the second layer runs at 89 % of the peak. Two threads are twice as fast as one. "
        "Not tried: to use each block of weights for the next batch as soon as it is updated.",
    ),
    (
        ("LeNet-like step, 2 threads",),
        "threads that slept at a barrier were woken on their partner's core. Since they wait awake a step takes 0.91 "
        "to 0.94 ms where both cores are free, before 1.0 to 1.6; PyTorch took 2.8 to 3.2.",
    ),
    (
        ("W64 with",),
        "while the host gives both virtual cores the arithmetic of one (the row of fused multiply-adds alone shows "
        "it), two threads take the time of one, and the barrier that batchnorm needs comes on top. At other times "
        "momentum, batchnorm and dropout take 0.95 to 1.1 of W64's time.",
    ),
    (
        ("Python's share",),
        "Python itself takes 0.5 of the 75 ms of an epoch on two threads. In the core a step takes 76 to 79 us when "
        "called from it, and 75 from the C program; the first steps, after a sleep, take up to five times as long. "
        "Where the host moves the virtual cores meanwhile, or other programs use them, turns differ by far more: -18 "
        "to 13 % within an hour. On one thread of a quiet machine the share is below 1 %.",
    ),
    (
        ("matrix product, 256",),
        "the worst case is 64 x 64 x 64, where the product itself takes 4.7 us (NumPy 5.7) and the function that "
        "checks the arrays another 1.5, down from 2.6. From 128 on, on one thread, pynet makes 80 to 87 % of the "
        "peak and NumPy 75 to 80 %, so 1.2 times as fast would be 90 to 96 % of it; on two it is reached.",
    ),
    (
        ("matrix product, 512",),
        "while no other program uses the cores pynet is 0.89 to 1.10 times as fast as NumPy on one thread and 0.92 "
        "to 1.5 on two, least with a transposed A of 2048 rows. One that does slows either down, NumPy to as little "
        "as a tenth.",
    ),
    (
        ("ReLU from", "SGD from"),
        "at 8,000,000 elements the memory's bandwidth is the limit, and 90 % of a copy's speed would do; in this run "
        "the copy beside it was faster.",
    ),
    (
        ("kernels at 1,000",),
        "checking the arrays and making the new one takes 0.5 to 0.8 us for ReLU and SGD, down from 0.7 to 1.7; the "
        "C calls alone are as fast as NumPy's or faster (the rows with a buffer).",
    ),
    (
        ("10,000 images, 2 threads",),
        "the limit was found on cores that make 190 GFLOP/s of multiply-adds each, these make 128. Two threads take "
        "4.7 ms when both cores have arithmetic of their own, 9 while the host lets them share one.",
    ),
    (
        ("one image from Python",),
        "C takes 1.4 us of it; the rest looks at the array, takes the lock, makes the array of answers.",
    ),
    (
        ("import pynet",),
        "5 ms of it are ten data classes, whose methods Python writes at import, the rest is spread over twenty "
        "modules, none above 5 ms. What only some uses need, such as schedules and checkpoints, is imported by "
        "these.",
    ),
]


def why(what: str) -> str:
    """The note on a target."""
    found = (note for beginnings, note in NOTES if what.startswith(beginnings))
    return next(found, UNKNOWN)
