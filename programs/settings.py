"""How the loop and its backends are configured. Plain values: where they come from is the caller's business."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Section(BaseModel):
    """A part of the configuration: unknown keys and wrong types are errors that name the key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_EMBEDDED_CAPABILITIES = ("json_schema", "logprobs")
# A model this small wanders and repeats itself when it is left alone.
_BUNDLED_PARAMETERS = {"temperature": 0.2, "max_tokens": 1024}

Capability = Literal["json_schema", "vision", "logprobs"]


class ModelSettings(Section):
    """One entry under `models:`, that is one backend.

    Attributes:
        provider: `embedded` (llama.cpp in this process) or `openai` (anything that speaks OpenAI's chat completions:
            Ollama, vLLM, llama.cpp, LM Studio, OpenAI itself). Left out, a `base_url` makes it `openai`.
        model: for `embedded` `smollm2-135m` (the default, comes with RANTS), a name from `rants pull`, or the path
            of any `*.gguf`; for `openai` the name the server knows, by default the first one it lists.
        base_url: for `openai`, up to and with `/v1`.
        api_key: for `openai`, sent as a Bearer token.
        capabilities: what the backend can do beyond text: `json_schema` (constrained replies), `vision`, `logprobs`
            (the likeliest tokens, by which labels are chosen). For `embedded` the default is the first and the last,
            for `openai` the first.
        context_window: tokens of prompt and reply together. For `embedded` the default is what the weights were
            trained on, at most 16384; for `openai` None means unknown.
        parameters: defaults for every call (`temperature`, `max_tokens`, ...); what a client sends wins. For
            `embedded` also `threads` (default: the cores but one), `parallel` (slots, default 2). Where no embedded
            model is named, `temperature` is 0.2 and `max_tokens` 1024.
        fallbacks: entries of the same kind, without fallbacks of their own. The first is asked when this backend has
            failed, retries included, or its breaker is open; then the next. One that cannot hold the prompt, or lacks
            a capability of this backend that a request needs, is passed over.
    """

    provider: Literal["embedded", "openai"] | None = None
    model: str | None = None
    base_url: str | None = None
    api_key: SecretStr | None = None
    capabilities: frozenset[Capability] = frozenset({"json_schema"})
    context_window: int | None = Field(default=None, gt=0)
    parameters: dict[str, Any] = {}
    fallbacks: tuple[ModelSettings, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _say_what_was_left_out(cls, entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        provider = entry.get("provider") or ("openai" if entry.get("base_url") else "embedded")
        if provider != "embedded":
            return {**entry, "provider": provider}
        entry = {"capabilities": _EMBEDDED_CAPABILITIES, **entry, "provider": provider}
        if entry.get("model"):
            return entry
        parameters = {**_BUNDLED_PARAMETERS, **(entry.get("parameters") or {})}
        return {**entry, "model": "smollm2-135m", "parameters": parameters}

    @model_validator(mode="after")
    def _has_what_its_provider_needs(self) -> Self:
        if self.provider == "openai" and not self.base_url:
            raise ValueError("provider 'openai' needs a base_url, for example http://127.0.0.1:11434/v1")
        if self.provider == "embedded" and self.base_url:
            raise ValueError("provider 'embedded' takes no base_url; use provider 'openai' to call a server")
        if any(fallback.fallbacks for fallback in self.fallbacks):
            raise ValueError("a fallback has no fallbacks of its own; put them all into one list")
        return self

    @property
    def alone(self) -> ModelSettings:
        """This backend without its fallbacks."""
        return self.model_copy(update={"fallbacks": ()})

    @property
    def where(self) -> str:
        """Where it is, for a person: a password in the URL is not told."""
        if self.base_url is None:
            return "in this process"
        scheme, found, rest = self.base_url.rpartition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{found}{host.rpartition('@')[2]}{slash}{path}"


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
        max_reply_bytes: the longest reply of a backend, events and all, decompressed; what is longer is broken off.
        breaker_failures: calls of a backend that fail in a row, retries included, until it is left alone; 0 for never.
        breaker_seconds: for how long, at first; doubles each time that it still fails afterwards.
        max_breaker_seconds: the longest such time.
    """

    request_timeout_seconds: float = Field(default=600.0, gt=0)
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    read_timeout_seconds: float = Field(default=300.0, gt=0)
    max_retries: int = Field(default=2, ge=0)
    backoff_seconds: float = Field(default=0.5, gt=0)
    max_backoff_seconds: float = Field(default=30.0, gt=0)
    max_connections: int = Field(default=200, gt=0)
    max_reply_bytes: int = Field(default=64 * 2**20, gt=0)
    breaker_failures: int = Field(default=5, ge=0)
    breaker_seconds: float = Field(default=5.0, gt=0)
    max_breaker_seconds: float = Field(default=60.0, gt=0)


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


class BashSettings(Section):
    """The `bash` tool, whose commands can write the workspace and a private temporary folder, and nothing else.

    Attributes:
        enabled: whether there is one. Where the kernel cannot hold its commands there is none, whatever this says.
        network: whether commands reach the network, and with it what listens on this machine.
        readable: folders and files that commands may read and run, beyond /usr, /bin, /lib and what everybody may
            read in /etc; for example a toolchain in a home folder.
        environment: variables for commands. Without it they have PATH, HOME (the workspace), LANG, TERM and TMPDIR.
        timeout_seconds: for a command that does not say how long it may take.
        max_timeout_seconds: the most that one may say.
        memory: bytes that each process of a command may map for writing.
        processes: of one command, threads included. Where RANTS is root threads are not counted.
        file_bytes: the longest file that a command may write.
        descriptors: that each process may have open.
        output_bytes: how much of what a command prints is kept: the first three quarters and the last quarter of it.
        flood_bytes: a command that prints more than this is stopped.
    """

    enabled: bool = True
    network: bool = False
    readable: tuple[Path, ...] = ()
    environment: dict[str, str] = {}
    timeout_seconds: float = Field(default=120.0, gt=0)
    max_timeout_seconds: float = Field(default=600.0, gt=0)
    memory: int = Field(default=4 << 30, gt=0)
    processes: int = Field(default=256, gt=0)
    file_bytes: int = Field(default=1 << 30, gt=0)
    descriptors: int = Field(default=1024, gt=0)
    output_bytes: int = Field(default=1 << 20, gt=0)
    flood_bytes: int = Field(default=64 << 20, gt=0)


class WebSettings(Section):
    """The tools `webfetch` and `websearch`.

    Attributes:
        fetch: whether there is a `webfetch`. It reaches public addresses only.
        search_url: of a SearXNG, or anything that answers `GET <search_url>/search?q=...&format=json` as it does. It
            may be at a private address. Without it there is no `websearch`.
        timeout_seconds: for a page or a search, with all redirects.
        max_bytes: the largest page, decompressed.
        page_chars: how much of a page one call shows; `offset` reads on.
    """

    fetch: bool = True
    search_url: str | None = Field(default=None, pattern=r"^https?://")
    timeout_seconds: float = Field(default=30.0, gt=0)
    max_bytes: int = Field(default=5 << 20, gt=0)
    page_chars: int = Field(default=20_000, gt=0)


class MCPServerSettings(Section):
    """A server of the Model Context Protocol, whose tools join the gateway's. It has a `command` or a `url`.

    Attributes:
        command: a program that speaks on its standard input and output, and its arguments.
        environment: variables for it, beyond PATH, HOME and the like; nothing else of this server's reaches it.
        cwd: where it starts.
        url: of a server that speaks streamable HTTP.
        headers: for each request to `url`.
        start_timeout_seconds: until it has said which tools it has.
        call_timeout_seconds: for one call.
    """

    command: tuple[str, ...] = ()
    environment: dict[str, SecretStr] = {}
    cwd: Path | None = None
    url: str | None = Field(default=None, pattern=r"^https?://")
    headers: dict[str, SecretStr] = {}
    start_timeout_seconds: float = Field(default=30.0, gt=0)
    call_timeout_seconds: float = Field(default=120.0, gt=0)

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("an MCP server needs either a command or a url")
        return self


class ToolSettings(Section):
    """The gateway tools, which RANTS executes itself.

    Attributes:
        workspace: the folder that they may touch. With authentication each tenant has a folder of its own in it.
        gateway: which of them there are, by name; None for all.
        output_chars: the longest output that a model is shown; what is longer is kept in a file, and its head and its
            tail are shown.
        search_seconds: how long `grep` and `codesearch` may take.
        skills: folders whose folders hold a `SKILL.md` each.
        offered: the tools that a request over `/v1/responses` is offered also where it does not ask for any.
        bash: of the tool `bash`.
        web: of `webfetch` and `websearch`.
        mcp: servers of the Model Context Protocol, under the label that their tools' names begin with.
    """

    workspace: Path = Path("var/workspace")
    gateway: frozenset[str] | None = None
    output_chars: int = Field(default=30_000, ge=1000)
    search_seconds: float = Field(default=20.0, gt=0)
    skills: tuple[Path, ...] = ()
    offered: frozenset[str] = frozenset()
    bash: BashSettings = BashSettings()
    web: WebSettings = WebSettings()
    mcp: dict[str, MCPServerSettings] = {}


MODELS_FOLDER = Path("~/.cache/rants/models")
"""Where `rants pull` puts weights and the embedded backend looks for a name that is not a path."""
