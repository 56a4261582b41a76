"""A network as C source: one file and its header, with nothing else to link but the C library's mathematics."""

from __future__ import annotations

import contextlib
import os
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet._ffi import VERSION, Array
from pynet.data.inputs import NOTE as INPUTS
from pynet.data.inputs import Inputs
from pynet.data.table_model import TrainedTable, table_of
from pynet.files import replacing, sha256_of
from pynet.formats.c_float import float_program
from pynet.formats.c_program import Call, Memory, Program, Value, c_float, c_float32, placed
from pynet.formats.int8 import Int8Network, quantised
from pynet.network import Network
from pynet.pictures.preparation import NOTE as PICTURES
from pynet.text import figure_text, figure_words

TYPES = {"float32": "float", "uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t"}
SHORT = {"float32": "f32", "uint8": "u8", "int8": "i8", "int16": "i16"}
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\.c")
STANDARD = {"math", "stdint"}  # headers that the files include
LONGEST_NAME = 40  # C99 promises 63 characters of a name, of which the longest end takes 8
SAMPLES = 10  # of the self-test
WIDTH = 120
MATH = re.compile(r"\b(?:fmaf|sqrtf)\b")
COMMENT = re.compile(r"/\*.*?\*/", re.S)

LIMIT = """
/* 1e-5, or 1e-5 times the largest result. */
static float limit_of(const float *results_of)
{
    float largest = 1;
    for (int32_t j = 0; j < OUTPUTS; j++) {
        const float size = results_of[j] < 0 ? -results_of[j] : results_of[j];
        largest = size > largest ? size : largest;
    }
    return 1e-5f * largest;
}
"""


class CFile(NamedTuple):
    """What an exported file needs: bytes of constants, without its code, and of work memory; int8: its NumPy model.

    scores: with samples for testing, the accuracy (of a regression the RMSE) of the network and, of int8, of the file.
    """

    constants: int
    work: int
    int8: Int8Network | None
    scores: tuple[float, ...]


def export_c(
    net: Network,
    path: str | os.PathLike[str],
    *,
    input: Literal["float32", "uint8"] | None = None,
    selftest: bool = False,
    calibrate: npt.ArrayLike | None = None,
    test: tuple[npt.ArrayLike, Array] | None = None,
    model: str | os.PathLike[str] | None = None,
) -> CFile:
    """Writes NAME.c and NAME.h, C99, for path NAME.c: a function NAME_predict(y, x, work).

    input: the type of x; "uint8" means x/255, as in the network. None: bytes if the network was trained on bytes, else
    float32. selftest: adds a main that returns 0 if the results for ten random inputs are pynet's. calibrate: inputs
    (n, ...) from the training, for a file in integers of 8 bits; their dtype is that of x, floats become int8. test:
    samples (x, y), the accuracy on which is to be stated in place of the model's own note. model: the file that the
    network was loaded from, whose SHA-256 is to be stated.

    ValueError: a path, type or layer that is not accepted; OSError.
    """
    place = Path(path)
    if not FILE_NAME.fullmatch(place.name) or place.stem in STANDARD:
        raise ValueError(
            f"the file is called {place.name!r:.80}; accepted: letters, digits and _ + - . before .c, but not "
            + " and ".join(f"{name}.c" for name in sorted(STANDARD))
        )
    if input not in (None, "float32", "uint8"):
        raise ValueError(f"input is {input!r:.40}; accepted: float32, uint8")
    int8 = None if calibrate is None else quantised(net, calibrate)
    if int8 and input not in (None, int8.given):
        raise ValueError(f"input is {input}, and the samples for calibration are {int8.given}; accepted: the same")
    program = int8.program() if int8 else float_program(net, input or _trained_on(net))
    scores = _scores(net, int8, *test) if test else ()
    source = _Source(net, c_name(place.stem), program, int8, model, scores)
    with replacing(place) as file, replacing(place.with_suffix(".h")) as header:
        file.writelines(part.encode() for part in source.file(place.with_suffix(".h").name, selftest))
        header.write(source.header().encode())
    return CFile(program.constant_bytes, source.work_bytes, int8, scores)


def _scores(net: Network, int8: Int8Network | None, x: npt.ArrayLike, y: Array) -> tuple[float, ...]:
    before = next(iter(net.evaluate(x, y).named().values()))
    return (before, int8.score(x, y)) if int8 else (before,)


def c_name(text: str) -> str:
    """A name for C made of any text: letters, digits and _, not at its start a digit or _."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text)[:LONGEST_NAME].strip("_")
    return name if name[:1].isalpha() and name not in STANDARD else f"net_{name}".rstrip("_")


def _trained_on(net: Network) -> str:
    try:
        return "uint8" if INPUTS in net.meta and Inputs.from_note(net.meta[INPUTS]).bytes else "float32"
    except ValueError:
        return "float32"


@cache
def _paragraphs(file: str) -> tuple[tuple[str, str], ...]:
    """(name, text) of each function, type and macro in a file of C functions, in its order."""
    found = (Path(__file__).parent / file).read_text("utf-8").split("\n\n")[1:]
    named = re.compile(r"^static \w+ (\w+)\(|^} (\w+);|^#define (\w+)\(", re.M)
    return tuple((next(filter(None, named.search(text).groups())), text.strip("\n")) for text in found)  # type: ignore[union-attr]


class _Source:
    def __init__(
        self,
        net: Network,
        name: str,
        program: Program,
        int8: Int8Network | None,
        model: str | os.PathLike[str] | None,
        scores: tuple[float, ...],
    ) -> None:
        self.net, self.name, self.program, self.int8, self.model = net, name, program, int8, model
        self.scores = scores
        self.unit = "int16" if int8 else "float32"
        self.memory: Memory = placed(program, np.dtype(self.unit).itemsize)

    # ---- the comment ----

    def comment(self) -> str:
        net, table = self.net, table_of(self.net)
        lines = [f"Written by pynet {VERSION}; do not edit.", "", f"network   {net.spec}"]
        if self.model is not None:
            lines.append(f"model     {Path(self.model).name}, SHA-256 {sha256_of(self.model)}")
        lines.append(f"weights   SHA-256 {net.weights_sha256()}")
        lines += [f"{words:<10}{value}" for words, value in self._figures()]
        lines.append(f"flash     {self.program.constant_bytes:,} bytes of constants, and the code")
        output = self.program.output
        lines.append(f"RAM       {self.work_bytes:,} bytes of work memory, and {output.bytes:,} of results")
        lines += ["", *self._inputs(), *self._outputs()]
        if table is not None:
            lines += self._columns(table)
        elif PICTURES in net.meta:
            lines.append("Not exported: how pictures become inputs. x must look like the samples of the training.")
        lines.append("Calls with y and work of their own may run at the same time.")
        return _comment(lines)

    def _figures(self) -> Iterator[tuple[str, str]]:
        """What was measured, or what the model's notes say of its quality on the test samples."""
        of = " by the network in floating point" if self.int8 else ""
        if self.scores:
            name = "rmse" if self.net.task == "regression" else "accuracy"
            before = f" ({figure_text(name, self.scores[0])}{of})" if self.int8 else ""
            yield figure_words(name), f"{figure_text(name, self.scores[-1])} on the test samples{before}"
            return
        for name in ("accuracy", "rmse", "r2"):
            with contextlib.suppress(KeyError, ValueError):
                value = float(self.net.meta[f"test_{name}"])
                yield figure_words(name), f"{figure_text(name, value)} on the test samples{of}"

    def _inputs(self) -> list[str]:
        order = ", channels first" if len(self.net.in_shape) == 3 else ""
        kind = self.program.input.dtype
        meaning = {
            "uint8": "bytes, which stand for x / 255",
            "int8": f"inputs / {self.macro('INPUT_SCALE')}, rounded and limited to -127..127",
            "float32": "the network's inputs as they are",
        }[kind]
        return [f"x: {_counted(self.net.in_shape)}{order}: {meaning}."]

    def _outputs(self) -> list[str]:
        names = self._class_names()
        what = "the network's outputs"
        if self.int8:
            what = f"outputs / {self.macro('SCALE')}"
            if self.int8.closing == "softmax":
                what += ", before the closing softmax: the largest is still the largest"
            elif self.int8.closing:
                what += ", before the closing sigmoid: a number above 0 is a probability above 1/2"
        elif self.net.task == "classes" and self.net.layers[-1].kind == "softmax":
            what = "the probability of each class"
        elif self.net.task != "regression" and self.net.layers[-1].kind == "sigmoid":
            what = "the probability of each label" if self.net.task == "multi-label" else "probabilities"
        lines = [f"y: {_counted(self.net.out_shape)}: {what}."]
        if self.net.task == "classes" and self.program.output.size == 1 and self.net.loss_name != "cross_entropy":
            limit = "y is above 0" if self.int8 and self.int8.closing else "the output is above 1/2"
            lines.append(f"The class is 1 if {limit}, else 0.")
        if names:
            lines.append(f"Classes: {', '.join(f'{i} {name!r}' for i, name in enumerate(names))}.")
        return lines

    def _columns(self, table: TrainedTable) -> list[str]:
        """The inputs of a model of a table, which the caller has to make."""
        columns, means = table
        lines = ["Not exported: how rows of a table become inputs. A text is 1 at its own input and 0 at the others"]
        lines.append("of its column, a missing number the mean that stands beside its column. The inputs are:")
        rows = enumerate(zip(columns.names, columns.are_numbers.tolist(), means.tolist(), strict=True))
        lines += [f"{i:>6}  {name}{f', mean {mean:.9g}' if number else ''}" for i, (name, number, mean) in rows]
        if self.net.task == "regression":
            lines.append(f"y is {columns.target.name!r}, in the unit of the training table.")
        return lines

    def _class_names(self) -> list[str]:
        """Names of classes that say more than their numbers."""
        names = self.net.classes
        return names if self.net.task != "regression" and names != [str(i) for i in range(len(names))] else []

    # ---- names and declarations ----

    def macro(self, end: str) -> str:
        return f"{self.name}_{end}".upper()

    @property
    def work_bytes(self) -> int:
        """The size of the work memory, which is never empty: C has no empty arrays."""
        return max(self.memory.bytes, np.dtype(self.unit).itemsize)

    @property
    def prototype(self) -> str:
        kinds = TYPES[self.program.output.dtype], TYPES[self.program.input.dtype], TYPES[self.unit]
        return "void {}_predict({} *y, const {} *x, {} *work)".format(self.name, *kinds)

    def header(self) -> str:
        guard = self.macro("H")
        work = -(-self.work_bytes // np.dtype(self.unit).itemsize)
        sizes = {"INPUTS": self.program.input.size, "OUTPUTS": self.program.output.size, "WORK": work}
        lines = [self.comment(), f"#ifndef {guard}", f"#define {guard}", "", "#include <stdint.h>", ""]
        lines += [f"#define {self.macro(end)} {size}" for end, size in sizes.items()]
        if self.int8:
            lines.append(f"#define {self.macro('SCALE')} {c_float(self.int8.output_scale)}")
            if self.program.input.dtype == "int8":
                lines.append(f"#define {self.macro('INPUT_SCALE')} {c_float(self.int8.input_scale)}")
        names = self._class_names()
        lines += ["", "#ifdef __cplusplus", 'extern "C" {', "#endif", ""]
        if names:
            lines += [f"extern const char *const {self.name}_classes[{len(names)}];", ""]
        lines.append(f"/* y ({self.macro('OUTPUTS')}) = the network's outputs for x ({self.macro('INPUTS')}).")
        lines.append(f"   work: {self.macro('WORK')} numbers, which may hold anything. None may overlap another. */")
        lines += [f"{self.prototype};", "", "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]
        return "\n".join(lines)

    # ---- the file ----

    def file(self, header: str, selftest: bool) -> Iterator[str]:
        """The parts of the .c file."""
        functions = "\n\n".join(self._functions())
        math_h = "#include <math.h>\n" if MATH.search(functions) else ""
        yield f'{self.comment()}\n#include "{header}"\n\n{math_h}#include <stdint.h>\n\n{functions}\n\n'
        for name, sizes in self.program.windows.items():
            yield f"static const windows {name} = {{{', '.join(map(str, sizes))}}};\n"
        for name, array in self.program.arrays.items():
            yield from _array(f"static const {TYPES[array.dtype.name]} {name}", array.ravel())
        if names := self._class_names():
            texts = ",\n".join(f"    {_text(one)}" for one in names)
            yield f"\nconst char *const {self.name}_classes[{len(names)}] = {{\n{texts},\n}};\n"
        yield f"\n{self.prototype}\n{{\n{self._body()}}}\n"
        if selftest:
            yield from self._main()

    def _functions(self) -> Iterable[str]:
        """The C functions that are called, and those that these use."""
        known = dict([*_paragraphs("c_layers_any.c"), *_paragraphs(f"c_layers{'_int8' if self.int8 else ''}.c")])
        wanted: dict[str, None] = {}
        todo = [call.function for call in self.program.calls]
        todo += ["windows"] if self.program.windows else []
        while todo:
            name = todo.pop()
            wanted[name] = None
            code = COMMENT.sub("", known[name])
            todo += [word for word in re.findall(r"\w+", code) if word in known and word not in wanted]
        for name, text in known.items():
            if name in wanted and "IN" not in name.split("_"):
                yield text
        for made, call in {_name(call): call for call in self.program.calls}.items():
            if made != call.function:
                text = known[call.function].replace(call.function, made)
                text = re.sub(r"\bOUT\b", TYPES[call.to.dtype], text)
                yield re.sub(r"\bIN\b", TYPES[call.reads[0].dtype], text)

    def _body(self) -> str:
        lines = []
        for call in self.program.calls:
            arguments = [self._pointer(value) for value in (call.to, *call.reads)]
            lines.append(f"    {_name(call)}({', '.join([*arguments, *call.arguments])});\n")
        unused = "" if self.memory.bytes else "    (void)work;\n"
        return unused + "".join(lines)

    def _pointer(self, value: Value) -> str:
        if value is self.program.input:
            return "x"
        if value not in self.memory.places:
            return "y"
        at = self.memory.places[value] // np.dtype(self.unit).itemsize
        text = f"work + {at}" if at else "work"
        return text if value.dtype == self.unit else f"({TYPES[value.dtype]} *)({text})"

    def _main(self) -> Iterator[str]:
        """A main that compares with pynet's results."""
        x = self._samples()
        y = self.int8.integers(x) if self.int8 else self.net.predict_proba(x)
        x, y = x.reshape(SAMPLES, -1), y.reshape(SAMPLES, -1)
        yield "\n/* ---- the self-test ---- */\n"
        yield from _array(f"static const {TYPES[x.dtype.name]} samples", x)
        yield from _array(f"static const {TYPES[y.dtype.name]} results", y)
        outputs, limit, differs = self.macro("OUTPUTS"), "", "y[j] != results[i][j]"
        if not self.int8:
            yield LIMIT.replace("OUTPUTS", outputs)
            limit = "        const float limit = limit_of(results[i]);\n"
            differs = "!(y[j] - results[i][j] <= limit && results[i][j] - y[j] <= limit)"
        kinds = TYPES[self.program.output.dtype], TYPES[self.unit]
        yield f"""
/* Returns 0, or the number of the first sample, from 1, whose results are not those of pynet. */
int main(void)
{{
    static {kinds[0]} y[{outputs}];
    static {kinds[1]} work[{self.macro("WORK")}];
    for (int32_t i = 0; i < {SAMPLES}; i++) {{
{limit}        {self.name}_predict(y, samples[i], work);
        for (int32_t j = 0; j < {outputs}; j++)
            if ({differs})
                return (int)i + 1;
    }}
    return 0;
}}
"""

    def _samples(self) -> npt.NDArray[Any]:
        """Random inputs (10, *in_shape), half of them 0; about the means of a standardize layer, if there is one."""
        rng = np.random.default_rng(0)
        shape = (SAMPLES, *self.net.in_shape)
        kept = rng.random(shape) < 0.5
        if self.program.input.dtype == "uint8":
            return (rng.integers(0, 256, shape) * kept).astype(np.uint8)
        if self.int8:
            return (rng.integers(-127, 128, shape) * kept).astype(np.int8)
        x = rng.normal(size=shape) * kept
        first = self.net.layers[0]
        if first.kind == "standardize":
            mean, scale = (first.tensors[name].reshape(-1, *[1] * (len(shape) - 2)) for name in ("mean", "scale"))
            x = x * scale + mean
        return x.astype(np.float32)


# ---- C texts --------------------------------------------------------------------------------------------------------


def _name(call: Call) -> str:
    """The function that is called: that for the types of what it reads and writes."""
    name = call.function.replace("_IN", f"_{SHORT[call.reads[0].dtype]}")
    return name.replace("_OUT", f"_{SHORT[call.to.dtype]}")


def _counted(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} number{'' if shape == (1,) else 's'}"


def _comment(lines: list[str]) -> str:
    """A comment of C. No line can end it, whatever text it holds."""
    wrapped = []
    for line in lines:
        safe = "".join(c if c.isprintable() else "?" for c in line.replace("\\", "|"))
        safe = re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", safe)
        wrapped += textwrap.wrap(safe, WIDTH - 3, subsequent_indent=" " * 10, break_on_hyphens=False) or [""]
    return "/* " + "\n".join(f"   {line}".rstrip() for line in wrapped).lstrip() + " */"


def _text(text: str) -> str:
    """A string constant of C: what is not plain ASCII, and ? of a trigraph, in octal digits."""
    plain = set(map(ord, " !#$%&'()*+,-./:;<=>@[]^_`{|}~")) | {c for c in range(128) if chr(c).isalnum()}
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode("utf-8", "replace")) + '"'


def _array(declaration: str, array: npt.NDArray[Any]) -> Iterator[str]:
    """The definition of a constant array: of one dimension, or for (rows, columns) of two."""
    yield f"\n{declaration}{''.join(f'[{size}]' for size in array.shape)} = {{\n"
    number, line = (c_float32, 8) if array.dtype.kind == "f" else (str, 16)
    for row in array if array.ndim > 1 else [array]:
        yield "    {\n" if array.ndim > 1 else ""
        for i in range(0, len(row), line):
            yield f"    {', '.join(map(number, row[i : i + line].tolist()))},\n"
        yield "    },\n" if array.ndim > 1 else ""
    yield "};\n"
