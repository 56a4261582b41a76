"""Exported C files on Cortex-M4F, M3 and M0 under qemu: the same results. `make arm` runs this where the tools are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.random_networks import SPECS, filled

import pynet

# Machine of qemu, flags of the compiler, and whether it has fused multiply-adds.
CORTEX = {
    "m4f": ("mps2-an386", "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard -DRAM_END=0x20400000", True),
    "m3": ("mps2-an385", "-mcpu=cortex-m3 -DRAM_END=0x20400000", False),
    "m0": ("microbit", "-mcpu=cortex-m0 -DRAM_END=0x20004000", False),  # 16 kB of RAM
}
FLAGS = "-std=c99 -O2 -mthumb -Wall -Wextra -Wpedantic -Werror -nostartfiles --specs=nosys.specs"
PLACES = "-Wl,--section-start=.vectors=0 -Wl,-Ttext=0x40 -Wl,-Tdata=0x20000000"
MLP = "input(784) dense(32) relu dense(10) softmax"
LENET = "input(1,28,28) conv(8,5) relu maxpool(2) conv(16,5) relu maxpool(2) dense(128) relu dense(10) softmax"
INT8 = (MLP, "input(1,28,28) conv(8,5) batchnorm relu maxpool(2) conv(16,5) relu avgpool(2) dense(32) relu dense(10)")


def status(source: Path, cortex: str) -> int:
    """The exit status of the self-test of a C file."""
    machine, cpu, _ = CORTEX[cortex]
    program = source.with_suffix(".elf")
    start = Path(__file__).parent / "start.c"
    command = ["arm-none-eabi-gcc", *f"{FLAGS} {cpu} {PLACES}".split(), start, source, "-o", program, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    qemu = ["qemu-system-arm", "-machine", machine, "-semihosting", "-display", "none", "-kernel", str(program)]
    return subprocess.run(qemu, timeout=60).returncode


def exact(source: Path) -> None:
    """Makes the self-test of a C file compare all bits."""
    text = source.read_text()
    assert text.count("limit_of(results[i])") == 1
    source.write_text(text.replace("limit_of(results[i])", "0 * limit_of(results[i])"))


@pytest.mark.parametrize("cortex", ["m4f", "m3"])
@pytest.mark.parametrize("spec", [MLP, LENET, *SPECS])
def test_floating_point(spec: str, cortex: str, tmp_path: Path) -> None:
    """The bits of pynet where multiply-adds are fused, as in its own kernels; else within 1e-5."""
    net = filled(spec)
    pynet.export_c(net, tmp_path / "net.c", input="uint8" if spec in (MLP, LENET) else "float32", selftest=True)
    if CORTEX[cortex][2] and pynet.kernels.cpu() != "portable":
        exact(tmp_path / "net.c")
    assert status(tmp_path / "net.c", cortex) == 0


@pytest.mark.parametrize("cortex", CORTEX)
@pytest.mark.parametrize("spec", INT8)
def test_integers(spec: str, cortex: str, tmp_path: Path) -> None:
    net = filled(spec)
    x = np.random.default_rng(0).integers(0, 256, (50, *net.in_shape), np.uint8)
    pynet.export_c(net, tmp_path / "net.c", selftest=True, calibrate=x)
    assert status(tmp_path / "net.c", cortex) == 0
    functions = subprocess.run(["arm-none-eabi-nm", tmp_path / "net.elf"], capture_output=True, text=True).stdout
    assert "__aeabi_f" not in functions, "floating point in software"


def test_another_result_is_noticed(tmp_path: Path) -> None:
    net = filled(MLP)
    pynet.export_c(net, tmp_path / "net.c", input="uint8", selftest=True)
    text = (tmp_path / "net.c").read_text()
    (tmp_path / "net.c").write_text(text.replace("b_2[10] = {\n    ", "b_2[10] = {\n    0.5f + "))
    assert status(tmp_path / "net.c", "m4f") == 1
