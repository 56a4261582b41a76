"""Generates the list of all public names in docs/reference.md from docstrings, one line each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pynet

MODULES = (pynet, *(value for name in pynet.__all__ if inspect.ismodule(value := getattr(pynet, name))))


def public(module: ModuleType) -> dict[str, Any]:
    """The public names of a module: its __all__, or else its definitions without a leading underscore."""
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", [name for name in defined if not name.startswith("_")])
    return {name: getattr(module, name) for name in names}


PUBLIC_CLASSES = {value for module in MODULES for value in public(module).values() if inspect.isclass(value)}


def summary(value: Any) -> str:
    """The first paragraph of the docstring, as one line of Markdown."""
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split()).replace("*", "\\*")


def signature(value: Any, is_method: bool = False) -> str:
    """The arguments without their types, "(x, y=None, *, epochs=10)"; "" where the docstring alone lists them."""
    if not callable(value) or (inspect.isclass(value) and issubclass(value, Exception)):
        return ""
    arguments = list(inspect.signature(value).parameters.values())[is_method:]
    if any(p.name == "args" for p in arguments):
        return ""
    shown = [p.replace(annotation=p.empty) for p in arguments if not callable(p.default) or p.default is p.empty]
    return str(inspect.Signature(shown))


def methods(kind: type) -> Iterator[str]:
    """A line for each public method and property, except those of a base class that is listed itself."""
    listed = {name for base in kind.__mro__[1:] if base in PUBLIC_CLASSES for name in vars(base)}
    for name, value in inspect.getmembers(kind):
        source = getattr(value.fget if isinstance(value, property) else value, "__module__", None) or ""
        is_field = name in getattr(kind, "__dataclass_fields__", ())
        if name.startswith("_") or name in listed or is_field or not source.startswith("pynet"):
            continue
        is_bound = not inspect.isfunction(inspect.getattr_static(kind, name))
        yield f"  - `.{name}{signature(value, not is_bound)}`: {summary(value)}"


def lines(module: ModuleType, listed: set[int]) -> Iterator[str]:
    """The lines of one module, without names that an earlier module has listed."""
    for name, value in public(module).items():
        if inspect.ismodule(value) or id(value) in listed:
            continue
        listed.add(id(value))
        if inspect.isclass(value):
            yield f"- `{name}{signature(value)}`: {summary(value)}"
            yield from methods(value)
        elif inspect.isroutine(value):
            yield f"- `{name}{signature(value)}`: {summary(value)}"
        elif isinstance(value, dict):
            yield f"- `{name}`: a dict with the keys {', '.join(value)}"
        else:
            yield f"- `{name}`: a type alias"


def page() -> str:
    """The generated part, as Markdown."""
    listed: set[int] = set()
    sections = ("\n".join([f"### {m.__name__}", "", summary(m), "", *lines(m, listed)]) for m in MODULES)
    return "\n\n".join(sections)
