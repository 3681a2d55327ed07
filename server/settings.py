"""One typed configuration, made from `config.yaml` and `RANTS_*` variables; the environment beats the file.

A variable's name is the key's path: `RANTS_MODELS__GENERATOR__BASE_URL` is `models.generator.base_url`. A number
addresses an item of a list (`RANTS_AUTH__API_KEYS__0__KEY`); a value that begins with `{` or `[` is JSON.
`RANTS_CONFIG` names another file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from programs.errors import ConfigurationError
from programs.settings import LoopSettings, ModelsSettings, ResilienceSettings, Section, ToolSettings
from server.keys import weakness
from store import StateSettings

_PREFIX = "RANTS_"
_CONFIG_FILE = "RANTS_CONFIG"
_UNTYPED = "parameters"  # of a model: only its backend knows which there are


class ServerSettings(Section):
    """Where the server listens.

    Attributes:
        host: the address; 127.0.0.1 is this machine only.
        port: the port; 0 takes a free one.
        workers: processes that serve it. They share the store and nothing else: each loads embedded weights and starts
            environments of its own.
        read_timeout_seconds: how long the head of a request may take to arrive, and then each next part of its body.
        keep_alive_seconds: after how long a silence a stream says that it is still alive.
        health_cache_seconds: how long an answer of `/health` is reused.
        drain_seconds: how long answers that are being written may still take when the process is told to end. Whoever
            tells it (Docker, Kubernetes) should wait two seconds longer before killing it.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, gt=0)
    read_timeout_seconds: float = Field(default=60.0, gt=0)
    keep_alive_seconds: float = Field(default=10.0, gt=0)
    health_cache_seconds: float = Field(default=5.0, ge=0)
    drain_seconds: float = Field(default=5.0, ge=0)


class LimitSettings(Section):
    """How much one request may ask for, and how much one process does at once.

    Attributes:
        max_request_bytes: of the request's body; more is refused with 413.
        max_runs: how many runs go on at once. Those beyond wait, and the tenants take turns.
        max_queued: how many runs may wait.
        queue_seconds: how long a client waits for its turn before it is refused with 503. Nobody waits for a
            background run, so it waits as long as it takes.
        max_lag_seconds: how late the event loop may be, twice in a row, before new runs are refused with 503.
    """

    max_request_bytes: int = Field(default=256 * 2**20, gt=0)
    max_runs: int = Field(default=1000, gt=0)
    max_queued: int = Field(default=1000, ge=0)
    queue_seconds: float = Field(default=30.0, gt=0)
    max_lag_seconds: float = Field(default=2.0, gt=0)


class RLMSettings(Section):
    """The models that clients see.

    Attributes:
        rants_one: the one that there is.
        program: a file with its instructions and demonstrations, as `rants optimize` writes them. None takes those that
            come with RANTS.
    """

    rants_one: LoopSettings = LoopSettings()
    program: Path | None = None


class ApiKey(Section):
    """A key, the tenant it belongs to, and what it allows, where None allows everything.

    Attributes:
        key: at least 24 characters that nobody guesses.
        tenant_id: whose requests these are.
        name: it is `config-NAME` in logs and rows. What it has spent of a day is counted under that name, which is the
            entry's number where it is left out.
        models: the names that may stand in `model`.
        tools: the gateway tools that may be asked for.
        expires_at: a date, or a date and a time; UTC where no zone is given.
        calls_per_day: requests that start a run, from midnight to midnight UTC.
        tokens_per_day: of prompts and replies together, likewise.
        operator: on `/ui` it sees the sessions of all tenants. Keys of `rants keys create` are of no operator.
    """

    key: SecretStr
    tenant_id: str = Field(default="default", min_length=1)
    name: str | None = Field(default=None, min_length=1)
    models: frozenset[str] | None = None
    tools: frozenset[str] | None = None
    expires_at: datetime | None = None
    calls_per_day: int | None = Field(default=None, ge=0)
    tokens_per_day: int | None = Field(default=None, ge=0)
    operator: bool = False

    @field_validator("key")
    @classmethod
    def _nobody_guesses_it(cls, key: SecretStr) -> SecretStr:
        if wrong := weakness(key.get_secret_value()):
            raise ValueError(f"the key is too weak: {wrong}. Make one: rants keys create --tenant NAME")
        return key

    @field_validator("expires_at")
    @classmethod
    def _in_a_zone(cls, when: datetime | None) -> datetime | None:
        return when.replace(tzinfo=UTC) if when is not None and when.tzinfo is None else when


class AuthSettings(Section):
    """Who may ask. While it is not enabled, everybody is the tenant `local`.

    Attributes:
        enabled: whether a key is asked for.
        api_keys: keys beside those that are made with `rants keys create`.
        cache_seconds: how long a key that was revoked may still work.
    """

    enabled: bool = False
    api_keys: tuple[ApiKey, ...] = ()
    cache_seconds: float = Field(default=2.0, ge=0)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each entry, else its number."""
        return tuple(entry.name or str(index) for index, entry in enumerate(self.api_keys))

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = tuple(entry.key.get_secret_value() for entry in self.api_keys)
        for what, values in (("key", keys), ("name", self.names)):
            for index, value in enumerate(values):
                if (first := values.index(value)) < index:
                    raise ValueError(f"api_keys.{first} and api_keys.{index} have the same {what}; give each its own")
        return self


class TenantLimits(Section):
    """How much a tenant may ask for.

    Attributes:
        requests_per_minute: how fast its bucket of requests fills.
        burst: how many requests that bucket holds.
        tokens_per_minute: of prompts and replies together: how fast its bucket of tokens fills, and how many that
            holds. None is no limit.
        concurrent: how many of its runs go on at once in one process; the others wait. None is no limit.
    """

    requests_per_minute: float = Field(default=600.0, gt=0)
    burst: int = Field(default=60, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    concurrent: int | None = Field(default=None, gt=0)


class RateLimitSettings(TenantLimits):
    """How much each tenant may ask for.

    Attributes:
        enabled: whether tenants are limited at all.
        shared: whether all processes share the buckets, in the database; `auto` is where several may serve: with
            PostgreSQL, or with more than one of `server.workers`.
        tenants: other limits for some of the tenants, by name. What is left out there is as for everybody.
    """

    enabled: bool = False
    shared: Literal["auto"] | bool = "auto"
    tenants: dict[str, TenantLimits] = Field(default={})

    def of(self, tenant: str) -> TenantLimits:
        """The limits of one tenant."""
        own = self.tenants.get(tenant)
        return self if own is None else self.model_copy(update=own.model_dump(exclude_unset=True))


class ObservabilitySettings(Section):
    """What is told of what happens.

    Attributes:
        metrics: whether there is `/metrics`.
        metrics_key: what Prometheus sends as `Authorization: Bearer KEY`. Without one, and with authentication on,
            only this machine may read them, and only from a server that listens to no other.
        otlp_endpoint: where traces go, an OTLP receiver's base URL, such as http://127.0.0.1:4318; None sends none. By
            default OTEL_EXPORTER_OTLP_ENDPOINT, and its relatives say the rest.
        content: whether traces hold what was said, and logs what exceptions say, which may quote it.
        logs: lines for people, or one JSON object a line.
    """

    metrics: bool = True
    metrics_key: SecretStr | None = None
    otlp_endpoint: str | None = Field(default_factory=lambda: os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None)
    content: bool = False
    logs: Literal["text", "json"] = "text"

    @field_validator("metrics_key")
    @classmethod
    def _nobody_guesses_it(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and (wrong := weakness(key.get_secret_value())):
            raise ValueError(f"the key is too weak: {wrong}")
        return key


class UISettings(Section):
    """The pages below `/ui`, for the person who runs RANTS.

    Attributes:
        enabled: whether there are any.
        login_hours: after how long a browser has to show its key again.
    """

    enabled: bool = True
    login_hours: float = Field(default=12.0, gt=0)


class Settings(BaseSettings):
    """The whole configuration; `Settings.load()` reads it."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    rlm: RLMSettings = RLMSettings()
    models: ModelsSettings = ModelsSettings()
    tools: ToolSettings = ToolSettings()
    state: StateSettings = StateSettings()
    auth: AuthSettings = AuthSettings()
    rate_limits: RateLimitSettings = RateLimitSettings()
    resilience: ResilienceSettings = ResilienceSettings()
    observability: ObservabilitySettings = Field(default_factory=ObservabilitySettings)
    ui: UISettings = UISettings()

    @property
    def shares_buckets(self) -> bool:
        """Whether token buckets are in the store, for several processes."""
        shared = self.rate_limits.shared
        return (self.state.postgres is not None or self.server.workers > 1) if shared == "auto" else shared

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the file and the environment; `overrides` are sections that beat both.

        Raises:
            ConfigurationError: a key is not known or its value is wrong; the message names each one.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from error

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read our one source below what is passed in."""
        return init_settings, FileUnderEnvironment(settings_cls)


class FileUnderEnvironment(PydanticBaseSettingsSource):
    """The file's tree, with the environment's values laid over it."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """One section's raw value."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The raw tree."""
        tree = _read_file(config_file())
        overlay(tree, os.environ)
        return tree


def config_file() -> Path:
    """The file that is read, if it is there."""
    return Path(os.environ.get(_CONFIG_FILE, "config.yaml"))


def overlay(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Lay the `RANTS_*` variables of `environment` over `tree`, in place.

    Raises:
        ConfigurationError: a variable's path leads through something that is no section or list.
    """
    for name in sorted(environment, key=_in_order):
        if name.startswith(_PREFIX) and name != _CONFIG_FILE:
            path = name.removeprefix(_PREFIX).lower().split("__")
            _put(tree, path, _value(name, environment[name], typed=_UNTYPED not in path[:-1]), name)


def _in_order(name: str) -> list[str]:
    """Item 10 of a list comes after item 9."""
    return [part.zfill(9) if part.isdecimal() else part for part in name.split("__")]


def _put(tree: Any, path: list[str], value: Any, name: str) -> None:
    key, *rest = path
    if isinstance(tree, list):
        if not key.isdecimal() or int(key) > len(tree):
            raise ConfigurationError(f"{name}: {key} should be a number from 0 to {len(tree)}, an item of the list")
        if int(key) == len(tree):
            tree.append({})
        index: Any = int(key)
    elif isinstance(tree, dict):
        index = key
        if rest and tree.get(key) is None:
            tree[key] = [] if rest[0].isdecimal() else {}
    else:
        raise ConfigurationError(f"{name}: there is no section above {key}")
    if rest:
        _put(tree[index], rest, value, name)
    else:
        tree[index] = value


def _value(name: str, text: str, *, typed: bool) -> Any:
    """What a variable says: JSON where it looks like that, else text, which becomes what its setting is typed as."""
    if typed and not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        if not typed:
            return text
        raise ConfigurationError(f"{name}: not valid JSON: {error}") from error


def _read_file(path: Path) -> dict[str, Any]:
    if not path.exists():
        if _CONFIG_FILE in os.environ:
            raise ConfigurationError(f"{_CONFIG_FILE} names {path}, which does not exist")
        return {}
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path}: expected sections such as `models:`, found {type(tree).__name__}")
    return tree


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        what = "no such key" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{'.'.join(path)} ({_PREFIX}{'__'.join(path).upper()}): {what}")
    return "The configuration cannot be used.\n" + "\n".join(f"  {line}" for line in lines)
