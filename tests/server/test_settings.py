"""The configuration: names, precedence, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from programs.errors import ConfigurationError
from server.settings import Settings

pytestmark = pytest.mark.usefixtures("no_variables", "nowhere")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a configuration file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def value_of(settings: Settings, path: str) -> Any:
    """The value at a path such as `auth.api_keys.0.key`."""
    value: Any = settings
    for part in path.split("."):
        value = value[int(part)] if part.isdecimal() else getattr(value, part)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


# The variable, what it needs beside it, the path, the value in the file, the variable's text, and its meaning.
NAMES: list[tuple[str, dict[str, Any], str, Any, str, Any]] = [
    ("RANTS_STATE__SQLITE_PATH", {}, "state.sqlite_path", "file.db", "/tmp/mine.db", Path("/tmp/mine.db")),
    ("RANTS_RLM__RANTS_ONE__NAME", {}, "rlm.rants_one.name", "file", "mine", "mine"),
    (
        "RANTS_MODELS__GENERATOR__BASE_URL", {}, "models.generator.base_url",
        "http://file/v1", "http://mine/v1", "http://mine/v1",
    ),
    (
        "RANTS_MODELS__TOOL_COMPILER__BASE_URL", {}, "models.tool_compiler.base_url",
        "http://file/v1", "http://mine/v1", "http://mine/v1",
    ),
    (
        "RANTS_MODELS__GENERATOR__PROVIDER", {"models": {"generator": {"model": "a.gguf"}}},
        "models.generator.provider", "openai", "embedded", "embedded",
    ),
    (
        "RANTS_AUTH__ENABLED", {"auth": {"api_keys": [{"key": "key-of-the-file-0123456789"}]}},
        "auth.enabled", False, "true", True,
    ),
    (
        "RANTS_AUTH__API_KEYS__0__KEY", {}, "auth.api_keys.0.key",
        "key-of-the-file-0123456789", "key-of-mine-0123456789abc", "key-of-mine-0123456789abc",
    ),
    (
        "RANTS_AUTH__API_KEYS__0__TENANT_ID", {"auth": {"api_keys": [{"key": "key-of-the-file-0123456789"}]}},
        "auth.api_keys.0.tenant_id", "file", "mine", "mine",
    ),
    ("RANTS_RATE_LIMITS__ENABLED", {}, "rate_limits.enabled", False, "1", True),
    (
        "RANTS_RESILIENCE__REQUEST_TIMEOUT_SECONDS", {}, "resilience.request_timeout_seconds",
        30, "12.5", 12.5,
    ),
]  # fmt: skip


def put(tree: Any, path: str, value: Any) -> None:
    """Set the value at a path, with the sections and lists above it."""
    key, *rest = path.split(".")
    index = int(key) if key.isdecimal() else key
    if isinstance(tree, list) and len(tree) == index:
        tree.append({})
    if not rest:
        tree[index] = value
        return
    if isinstance(tree, dict):
        tree.setdefault(index, [] if rest[0].isdecimal() else {})
    put(tree[index], ".".join(rest), value)


@pytest.mark.parametrize(
    ("name", "beside", "path", "in_file", "text", "meaning"), NAMES, ids=[name for name, *_ in NAMES]
)
def test_the_variable_works_and_beats_the_file(
    monkeypatch: pytest.MonkeyPatch,
    nowhere: Path,
    name: str,
    beside: dict[str, Any],
    path: str,
    in_file: Any,
    text: str,
    meaning: Any,
) -> None:
    monkeypatch.setenv(name, text)
    (nowhere / "config.yaml").write_text(yaml.safe_dump(beside))
    assert value_of(Settings.load(), path) == meaning
    put(beside, path, in_file)
    (nowhere / "config.yaml").write_text(yaml.safe_dump(beside))
    assert value_of(Settings.load(), path) == meaning
    monkeypatch.delenv(name)
    if name != "RANTS_MODELS__GENERATOR__PROVIDER":  # which needs a base_url, too
        assert value_of(Settings.load(), path) == type(meaning)(in_file)


def test_without_a_file_and_variables_everything_has_a_default() -> None:
    settings = Settings.load()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert (settings.models.generator.provider, settings.models.generator.model) == ("embedded", "smollm2-135m")
    assert settings.state.sqlite_path == Path("var/rants.sqlite3")
    assert (settings.auth.enabled, settings.rate_limits.enabled) == (False, False)
    assert settings.rlm.rants_one.name == "rants-one"
    assert settings.models.tool_compiler is None


def test_the_file_of_the_repository_says_what_is_the_default_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    default = Settings.load()
    monkeypatch.chdir(Path(__file__).parents[2])
    assert Settings.load() == default


def test_an_index_addresses_an_item_of_a_list(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    keys = [
        {"key": "first-of-file-0123456789", "tenant_id": "one"},
        {"key": "second-of-file-0123456789", "tenant_id": "two"},
    ]
    (nowhere / "config.yaml").write_text(yaml.safe_dump({"auth": {"api_keys": keys}}))
    monkeypatch.setenv("RANTS_AUTH__API_KEYS__1__KEY", "second-of-mine-0123456789")
    monkeypatch.setenv("RANTS_AUTH__API_KEYS__2__KEY", "third-of-mine-0123456789")
    monkeypatch.setenv("RANTS_AUTH__API_KEYS__2__TENANT_ID", "three")
    entries = Settings.load().auth.api_keys
    assert [(entry.key.get_secret_value(), entry.tenant_id) for entry in entries] == [
        ("first-of-file-0123456789", "one"),
        ("second-of-mine-0123456789", "two"),
        ("third-of-mine-0123456789", "three"),
    ]


def test_ten_items_and_more_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(12):
        monkeypatch.setenv(f"RANTS_AUTH__API_KEYS__{index}__KEY", f"the-key-{index}-0123456789abcdef")
    assert [entry.key.get_secret_value() for entry in Settings.load().auth.api_keys] == [
        f"the-key-{index}-0123456789abcdef" for index in range(12)
    ]


def test_an_index_that_leaves_a_gap_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANTS_AUTH__API_KEYS__1__KEY", "there-is-no-first-0123456789")
    with pytest.raises(ConfigurationError, match="RANTS_AUTH__API_KEYS__1__KEY"):
        Settings.load()


def test_a_variable_may_hold_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANTS_MODELS__GENERATOR__PARAMETERS", '{"temperature": 0.5}')
    monkeypatch.setenv("RANTS_AUTH__API_KEYS", '[{"key": "key-in-json-0123456789abc"}]')
    settings = Settings.load()
    assert settings.models.generator.parameters["temperature"] == 0.5
    assert settings.auth.api_keys[0].key.get_secret_value() == "key-in-json-0123456789abc"
    monkeypatch.setenv("RANTS_AUTH__API_KEYS", "[{")
    with pytest.raises(ConfigurationError, match="RANTS_AUTH__API_KEYS"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "said", "meant"),
    [("TEMPERATURE", "0", 0), ("TOP_P", "0.9", 0.9), ("CACHE_PROMPT", "true", True), ("STOP", "END", "END")],
)
def test_a_parameter_of_a_model_is_what_it_looks_like(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str, meant: object
) -> None:
    monkeypatch.setenv(f"RANTS_MODELS__GENERATOR__PARAMETERS__{name}", said)
    found = Settings.load().models.generator.parameters[name.lower()]
    assert (type(found), found) == (type(meant), meant)


def test_a_variable_names_another_file(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    (nowhere / "config.yaml").write_text("server: {port: 1111}")
    (nowhere / "other.yaml").write_text("server: {port: 2222}")
    monkeypatch.setenv("RANTS_CONFIG", "other.yaml")
    assert Settings.load().server.port == 2222
    monkeypatch.setenv("RANTS_CONFIG", "missing.yaml")
    with pytest.raises(ConfigurationError, match=r"missing\.yaml"):
        Settings.load()


def test_an_empty_file_is_a_file(nowhere: Path) -> None:
    (nowhere / "config.yaml").write_text("# nothing\n")
    assert Settings.load().server.port == 8000


UNUSABLE = [
    ("serve: {port: 1}", "serve"),
    ("server: {prot: 1}", "server.prot"),
    ("server: {port: eighty}", "server.port"),
    ("server: {port: 70000}", "server.port"),
    ("models: {generater: {}}", "models.generater"),
    ("models: {generator: {bas_url: x}}", "models.generator.bas_url"),
    ("models: {generator: {provider: magic}}", "models.generator.provider"),
    ("models: {generator: {provider: openai}}", "models.generator"),
    ("models: {generator: {provider: embedded, base_url: 'http://x/v1'}}", "models.generator"),
    ("models: {tool_compiler: {context_window: 0}}", "models.tool_compiler.context_window"),
    ("state: {synchronous: sometimes}", "state.synchronous"),
    ("auth: {enabled: maybe}", "auth.enabled"),
    ("auth: {api_keys: [{key: long-enough-0123456789abc}, {key: long-enough-0123456789abc}]}", "auth"),
    ("auth: {api_keys: [{key: long-enough-0123456789abc, expires_at: soon}]}", "auth.api_keys.0.expires_at"),
    ("auth: {api_keys: [{key: long-enough-0123456789abc, calls_per_day: -1}]}", "auth.api_keys.0.calls_per_day"),
    ("auth: {api_keys: [{key: change-me-please-0123456789}]}", "auth.api_keys.0.key"),
    ("auth: {api_keys: [{tenant_id: x}]}", "auth.api_keys.0.key"),
    ("auth: {api_keys: [{key: long-enough-0123456789abc, tenant: x}]}", "auth.api_keys.0.tenant"),
    ("rlm: {rants_two: {}}", "rlm.rants_two"),
    ("rate_limits: {burst: 0}", "rate_limits.burst"),
    ("resilience: {max_retries: -1}", "resilience.max_retries"),
]


@pytest.mark.parametrize(("text", "path"), UNUSABLE, ids=[path for _, path in UNUSABLE])
def test_what_is_unknown_or_of_the_wrong_type_is_named(nowhere: Path, text: str, path: str) -> None:
    (nowhere / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as failed:
        Settings.load()
    assert f" {path} (RANTS_{path.upper().replace('.', '__')}): " in str(failed.value)


def test_every_mistake_is_named_at_once(nowhere: Path) -> None:
    (nowhere / "config.yaml").write_text("server: {port: eighty}\nauth: {enabled: maybe}\nnonsense: 1")
    with pytest.raises(ConfigurationError) as failed:
        Settings.load()
    for path in ("server.port", "auth.enabled", "nonsense"):
        assert path in str(failed.value)


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANTS_MODELS__GENERATOR__BASEURL", "http://x/v1")
    with pytest.raises(ConfigurationError, match="RANTS_MODELS__GENERATOR__BASEURL"):
        Settings.load()


def test_a_variable_that_leads_through_a_value_is_named(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    (nowhere / "config.yaml").write_text("server: {port: 8000}")
    monkeypatch.setenv("RANTS_SERVER__PORT__NUMBER", "1")
    with pytest.raises(ConfigurationError, match="RANTS_SERVER__PORT__NUMBER"):
        Settings.load()


@pytest.mark.parametrize("text", ["server: [", "just words", "- a list"])
def test_a_file_that_holds_no_sections_is_named(nowhere: Path, text: str) -> None:
    (nowhere / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        Settings.load()


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANTS_AUTH__API_KEYS__0__KEY", "secret-of-a-tenant-0123456789")
    monkeypatch.setenv("RANTS_MODELS__GENERATOR__BASE_URL", "http://x/v1")
    monkeypatch.setenv("RANTS_MODELS__GENERATOR__API_KEY", "secret-of-a-backend")
    settings = Settings.load()
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "secret-of" not in shown
    monkeypatch.setenv("RANTS_AUTH__API_KEYS__1__KEY", "short42")
    with pytest.raises(ConfigurationError) as failed:
        Settings.load()
    assert "short42" not in str(failed.value)
    assert "secret-of" not in str(failed.value)


def test_a_base_url_alone_makes_it_an_openai_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANTS_MODELS__GENERATOR__BASE_URL", "http://x/v1")
    generator = Settings.load().models.generator
    assert (generator.provider, generator.model, generator.parameters) == ("openai", None, {})
