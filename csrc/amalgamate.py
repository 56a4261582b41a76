"""Writes the whole core into one C file, which includes only pynet.h and headers of the system.

    python csrc/amalgamate.py build/pynet.c

Every #include of a file of csrc is replaced by its text, private functions and tables become static, and each kernel
table gets its own copy of the kernels, whose names end with that of the table.
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

CSRC = Path(__file__).resolve().parent
VERSION = runpy.run_path(str(CSRC.parent / "pynet" / "_build.py"))["version"]()

# Contraction is off as in every build of the core; pynet/_build.py says why. No pragma turns math-errno off: it only
# makes the square roots of the portable kernels slower.
OPENING = f"""\
/* pynet {VERSION} in one file, made from csrc/ by csrc/amalgamate.py. Compile it with -O2, beside pynet.h, and link
   with -lm -pthread. It needs no other flag, and gives the same bits as the library. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifdef __FAST_MATH__
#error "pynet: compile without -Ofast and -ffast-math, which change results"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif
"""

INCLUDE = re.compile(r'^#include "([^"]+)"\n', re.M)


def defined_names(text: str) -> set[str]:
    """Functions, tables, types and enum constants that a file of kernels defines."""
    text = re.sub(r"/\*.*?\*/|__attribute__\(\((?:[^()]|\([^()]*\))*\)\)", "", text, flags=re.S)
    functions = re.findall(r"^(?:static|INLINE)\b[^;{}()=]*?(\w+)\s*(?:\[\w*\]\s*)?[(=]", text, re.M)
    types = re.findall(r"^typedef\b[^{};]*?\b(\w+)\s*;|^\}\s*(\w+);", text, re.M)
    enums = [name for body in re.findall(r"\benum\s*\{([^}]*)\}", text) for name in re.findall(r"(\w+)\s*=", body)]
    return {*functions, *enums, *(name for pair in types for name in pair if name)}


def suffixed(text: str, ending: str) -> str:
    """The text with `ending` after each name that it defines; members keep their names, as in .gemm = gemm_avx2."""
    names = "|".join(sorted(defined_names(text)))
    return re.sub(rf"(?<![\w.>])({names})\b", rf"\1_{ending}", text)


def made_static(text: str) -> str:
    """The text with `static` before the functions that it declares and the tables that it declares or defines."""
    text = re.sub(r"^extern (?=const )", "static ", text, flags=re.M)
    text = re.sub(r"^(?=const \w+ [^{};=]*=)", "static ", text, flags=re.M)
    return re.sub(r"^(?!typedef|static|extern)(?=[a-z_][^{}:;=#]*\)\s*;)", "static ", text, flags=re.M)


class Amalgamation:
    """Expands files; a header only at its first #include."""

    def __init__(self) -> None:
        self.seen = {"pynet.h"}

    def expand(self, name: str) -> str:
        """The text of a file and of all that it includes."""
        if name.endswith(".h"):
            if name in self.seen:
                return ""
            self.seen.add(name)
        text = (CSRC / name).read_text("utf-8")
        text = re.sub(r"^#define _(?:GNU|DEFAULT)_SOURCE\b.*\n", "", text, flags=re.M)
        return INCLUDE.sub(lambda found: self.expand(found[1]), text)

    def file(self, name: str) -> str:
        """A .c file as it is in the one file."""
        text = self.expand(name)
        table = re.search(r"^#define TABLE (\w+)", text, re.M)
        return f"\n/* ---- {name} ---- */\n\n" + made_static(suffixed(text, table[1]) if table else text)


def amalgamated() -> str:
    """The text of the one file."""
    # The tables come last, so that no header of the system is read first where other instructions are allowed.
    names = [path.relative_to(CSRC).as_posix() for path in CSRC.glob("*/*.c")]
    names.sort(key=lambda name: ("TABLE " in (CSRC / name).read_text("utf-8"), name))
    whole = Amalgamation()
    return OPENING + '#include "pynet.h"\n' + "".join(map(whole.file, names))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(amalgamated(), "utf-8")
