"""How the loop and its backends are configured. Plain values: where they come from is the caller's business."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Section(BaseModel):
    """A part of the configuration: unknown keys and wrong types are errors that name the key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# A model this small wanders and repeats itself when it is left alone.
_BUNDLED_PARAMETERS = {"temperature": 0.2, "max_tokens": 1024}


class ModelSettings(Section):
    """One entry under `models:`, that is one backend.

    Attributes:
        provider: `embedded` (llama.cpp in this process) or `openai` (anything that speaks OpenAI's chat completions:
            Ollama, vLLM, llama.cpp, LM Studio, OpenAI itself). Left out, a `base_url` makes it `openai`.
        model: for `embedded` `smollm2-135m` (the default, comes with RANTS), a name from `rants pull`, or the path
            of any `*.gguf`; for `openai` the name the server knows, by default the first one it lists.
        base_url: for `openai`, up to and with `/v1`.
        api_key: for `openai`, sent as a Bearer token.
        capabilities: what the backend can do beyond text: `json_schema` (constrained replies), `vision`.
        context_window: tokens of prompt and reply together. For `embedded` the default is what the weights were
            trained on, at most 16384; for `openai` None means unknown.
        parameters: defaults for every call (`temperature`, `max_tokens`, ...); what a client sends wins. For
            `embedded` also `threads` (default: the cores but one), `parallel` (slots, default 2). Where no embedded
            model is named, `temperature` is 0.2 and `max_tokens` 1024.
    """

    provider: Literal["embedded", "openai"] | None = None
    model: str | None = None
    base_url: str | None = None
    api_key: SecretStr | None = None
    capabilities: frozenset[Literal["json_schema", "vision"]] = frozenset({"json_schema"})
    context_window: int | None = Field(default=None, gt=0)
    parameters: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _say_what_was_left_out(cls, entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        provider = entry.get("provider") or ("openai" if entry.get("base_url") else "embedded")
        if provider == "embedded" and not entry.get("model"):
            parameters = {**_BUNDLED_PARAMETERS, **(entry.get("parameters") or {})}
            return {**entry, "provider": provider, "model": "smollm2-135m", "parameters": parameters}
        return {**entry, "provider": provider}

    @model_validator(mode="after")
    def _has_what_its_provider_needs(self) -> Self:
        if self.provider == "openai" and not self.base_url:
            raise ValueError("provider 'openai' needs a base_url, for example http://127.0.0.1:11434/v1")
        if self.provider == "embedded" and self.base_url:
            raise ValueError("provider 'embedded' takes no base_url; use provider 'openai' to call a server")
        return self


class ModelsSettings(Section):
    """Which backend plays which role. A role that is not configured is played by the generator."""

    generator: ModelSettings = ModelSettings.model_validate({})
    tool_compiler: ModelSettings | None = None
    code_interpreter: ModelSettings | None = None
    vision: ModelSettings | None = None
    sub_lm: ModelSettings | None = None


class ResilienceSettings(Section):
    """How long to wait for a backend and how often to ask again. All times are in seconds.

    Attributes:
        request_timeout_seconds: for one run from start to end.
        connect_timeout_seconds: until a backend accepts the connection.
        read_timeout_seconds: the longest silence of a backend within a reply.
        max_retries: further tries after a failure that may pass (refused, 429, 5xx), before the reply has begun.
        backoff_seconds: the wait before the first retry; doubles each time, with jitter, unless the backend says
            `Retry-After`.
        max_backoff_seconds: the longest such wait, also of a `Retry-After` that is honoured.
        max_connections: to each backend, kept open between requests.
    """

    request_timeout_seconds: float = Field(default=600.0, gt=0)
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    read_timeout_seconds: float = Field(default=300.0, gt=0)
    max_retries: int = Field(default=2, ge=0)
    backoff_seconds: float = Field(default=0.5, gt=0)
    max_backoff_seconds: float = Field(default=30.0, gt=0)
    max_connections: int = Field(default=200, gt=0)


class Limits(Section):
    """What one environment may use.

    Attributes:
        cpu_seconds: of one turn, over all its threads.
        wall_seconds: of one turn; the clock stands still while a host function runs.
        memory_base: bytes a session may map beyond what it starts with, whatever its context.
        memory_per_context_byte: and as many more for each byte of context. A text can be four times as wide in memory
            as in UTF-8 (one emoji does it), and code makes copies of it.
        output_chars: of what a turn prints, how much is shown: the first three quarters and the last quarter of it.
        submit_bytes: the longest answer.
        threads: of the guest, one of ours included. Exact where namespaces are allowed; elsewhere memory bounds them.
        descriptors: the guest's open ones; it can make none but asyncio's.
        host_calls: how many may run at once; further ones wait. A batch is one.
    """

    cpu_seconds: float = Field(default=30.0, gt=0)
    wall_seconds: float = Field(default=60.0, gt=0)
    memory_base: int = Field(default=512 << 20, gt=0)
    memory_per_context_byte: float = Field(default=12.0, ge=0)
    output_chars: int = Field(default=20_000, gt=0)
    submit_bytes: int = Field(default=32 << 20, gt=0)
    threads: int = Field(default=128, gt=0)
    descriptors: int = Field(default=64, gt=0)
    host_calls: int = Field(default=256, gt=0)


class BudgetSettings(Section):
    """What one run may spend, with all the sessions it opens. When a part is spent, one more call concludes.

    Attributes:
        seconds: of wall clock. Below `resilience.request_timeout_seconds`, which ends a run without an answer.
        model_calls: of every role.
        tokens: of prompts and replies together. A reply that is being written is counted when it is done.
        iterations: turns of all sessions together.
        concurrency: model calls at once; further ones wait.
    """

    seconds: float = Field(default=480.0, gt=0)
    model_calls: int = Field(default=2_000, gt=0)
    tokens: int = Field(default=20_000_000, gt=0)
    iterations: int = Field(default=200, gt=0)
    concurrency: int = Field(default=200, gt=0)


class LoopSettings(Section):
    """The entry `rlm.rants_one`: the model that clients see, and how its loop runs.

    Attributes:
        name: what clients put in `model`.
        mode: `auto` sends a conversation that fits the generator's window comfortably to the generator (DIRECT), and
            lays any other into an environment where a model's code looks into it (EXPLORE); `direct` and `explore`
            force it.
        environment: where that code runs: `jail` (Linux) or `monty` (anywhere); `auto` is the jail on Linux.
        max_iterations: turns that one session may take.
        max_steps: turns of the loop that one run may take: after each, gateway tools are executed.
        max_depth: how deep sessions may open child sessions; at that depth `rlm_query` is a plain call.
        budget: what a run may spend over all its sessions.
        limits: what one environment may use.
    """

    name: str = "rants-one"
    mode: Literal["auto", "direct", "explore"] = "auto"
    environment: Literal["auto", "jail", "monty"] = "auto"
    max_iterations: int = Field(default=20, gt=0)
    max_steps: int = Field(default=50, gt=0)
    max_depth: int = Field(default=2, ge=0)
    budget: BudgetSettings = BudgetSettings()
    limits: Limits = Limits()


MODELS_FOLDER = Path("~/.cache/rants/models")
"""Where `rants pull` puts weights and the embedded backend looks for a name that is not a path."""
