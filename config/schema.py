"""Looking up in the settings model what a path of keys stands for."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from config.lines import KeyPath
from config.model import Settings


def type_at(path: KeyPath) -> Any:
    """Return the type that the model gives a key, without `Annotated` and `| None`; None for an unknown key."""
    found: Any = Settings
    for part in path:
        found = _bare(_inside(found, part))
    return found


def keys_at(path: KeyPath) -> tuple[str, ...]:
    """Return the keys that the table at `path` may have; none for a table whose keys are names or numbers."""
    found = type_at(path)
    return tuple(found.model_fields) if _is_model(found) else ()


def is_secret(path: KeyPath) -> bool:
    """Tell whether the value at `path` must not be shown."""
    return type_at(path) is SecretStr


def is_table(path: KeyPath) -> bool:
    """Tell whether the value at `path` is a table of any kind."""
    found = type_at(path)
    return _is_model(found) or get_origin(found) is dict


def is_text(path: KeyPath) -> bool:
    """Tell whether the TOML value at `path` is a string (whatever the model makes of it)."""
    found = type_at(path)
    # `listen` is a host and a port to the model, an array to nobody.
    is_array = get_origin(found) is tuple and get_args(found)[-1] is Ellipsis
    return found not in (None, bool, int, float) and not is_array and not is_table(path)


def _inside(outer: Any, part: str | int) -> Any:
    if _is_model(outer) and part in outer.model_fields:
        return outer.model_fields[part].annotation
    if get_origin(outer) is dict:
        return get_args(outer)[1]
    if get_origin(outer) is tuple:
        return get_args(outer)[0]
    return None


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = next(option for option in get_args(annotation) if option is not type(None))
    return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
