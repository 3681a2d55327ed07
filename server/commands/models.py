"""Which models a command measures, and what its results call them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from programs.settings import ModelSettings, ModelsSettings
    from server.settings import Settings


def models_of(settings: Settings, model: str | None) -> ModelsSettings:
    """The configured models; or `model` in all roles, always at its likeliest word.

    It is a model of the server that is configured for the generator, if one is and `model` is not a `.gguf` file; else
    one in this process.
    """
    if model is None:
        return settings.models
    generator = settings.models.generator
    entry: dict[str, Any] = {"model": model}
    if generator.base_url is not None and not model.endswith(".gguf"):
        entry = generator.model_copy(update={"model": model, "fallbacks": ()}).model_dump()
    greedy = {**entry, "parameters": {**(entry.get("parameters") or {}), "temperature": 0}}
    return type(settings.models).model_validate({"generator": greedy})


def named(settings: Settings, models: Sequence[str]) -> dict[str, ModelsSettings]:
    """The models of each name; the configured ones if there is none.

    Raises:
        ConfigurationError: two that are not the same have the same name.
    """
    from programs.errors import ConfigurationError

    found: dict[str, ModelsSettings] = {}
    for each in [models_of(settings, model) for model in dict.fromkeys(models)] or [settings.models]:
        name = _name(each)
        if name in found:
            raise ConfigurationError(f"--model: two are called {name} in the results: rename one of the files")
        found[name] = each
    return found


def _name(models: ModelsSettings) -> str:
    """What results call these models: the generator, and those beside it that answer questions about a text."""
    beside = {"code": models.code_interpreter, "sub": models.sub_lm}
    others = [f"{role} {_short(entry)}" for role, entry in beside.items() if entry is not None]
    return ", ".join([_short(models.generator), *others])


def _short(entry: ModelSettings) -> str:
    model = entry.model or "the first it lists"
    return model.rpartition("/")[2] if model.endswith(".gguf") else model
