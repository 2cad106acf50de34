"""Values as people write them, on the command line or in a file, by the type of the field that they are for."""

from __future__ import annotations

import re
import types
from numbers import Real
from typing import Annotated, Any, Union, get_args, get_origin

from rlzoo.nn.schedules import Schedule

EXPONENT = re.compile(r"\d+(\.\d+)?e\d{1,2}")  # a number such as 1e5 or 2.5e6


def value_of(annotation: Any, value: Any) -> Any:
    """What was meant, for pydantic to check: `none`; `1e5` for a whole number; `400,300`, or one number, for a tuple.

    Raises ValueError for what is not a number, such as true, which pydantic would take for 1.
    """
    kinds = options(annotation)
    if isinstance(value, float | str) and str(value).strip().lower() == "nan":
        raise ValueError("write a number")
    if isinstance(value, str) and value.strip().lower() == "none" and type(None) in kinds:
        return None
    elements = next((get_args(kind)[:1] for kind in kinds if get_origin(kind) is tuple), None)
    parts = value if isinstance(value, list | tuple) else (value,)
    if _is_number(kinds if elements is None else options(*elements)) and any(isinstance(part, bool) for part in parts):
        raise ValueError("write a number, not true or false")
    if elements is None:
        return _whole(value, kinds)
    if isinstance(value, Real):  # NumPy's numbers too
        return (value,)
    if isinstance(value, str):
        parts = value.strip("[]() ").replace(" ", "").split(",")
        return tuple(_whole(part, options(*elements)) for part in parts if part)
    return value


def options(annotation: Any) -> tuple[Any, ...]:
    """The types that a field may be of, without what else is said of them."""
    if get_origin(annotation) in (types.UnionType, Union):
        return tuple(option for part in get_args(annotation) for option in options(part))
    return options(get_args(annotation)[0]) if get_origin(annotation) is Annotated else (annotation,)


def _is_number(kinds: tuple[Any, ...]) -> bool:
    return bool({int, float, Schedule} & set(kinds)) and not {bool, str} & set(kinds)


def _whole(value: Any, kinds: tuple[Any, ...]) -> Any:
    """A whole number that is written with an exponent as a float, which is refused where it is not whole."""
    is_whole = int in kinds and not {float, str} & set(kinds)
    return float(value) if is_whole and isinstance(value, str) and EXPONENT.fullmatch(value.strip()) else value


def type_name(annotation: Any) -> str:
    """A field's type as people write it."""
    if get_origin(annotation) in (types.UnionType, Union):
        return " or ".join(type_name(part) for part in get_args(annotation))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is Schedule:
        return "number or schedule"
    if get_origin(annotation) is tuple:
        return f"list of {type_name(get_args(annotation)[0])}"
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def with_fields(text: str | None, kind: Any) -> str:
    """The docstring of a Config, and below it a line on each of its fields."""
    lines = (
        f"{name} ({type_name(field.annotation)}): {field.description or ''}".rstrip(": ")
        for name, field in kind.model_fields.items()
    )
    return "\n".join([text or "", "", *lines]).lstrip()
