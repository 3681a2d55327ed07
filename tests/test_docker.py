"""What can be known of the image without building it. CI also lints the Dockerfile."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.settings import Settings

ROOT = Path(__file__).parents[1]
ENTRYPOINT = ROOT / "scripts" / "docker-entrypoint"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root becomes somebody else"
)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as pairs of instruction and arguments, one a line."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def copied_from_here() -> list[str]:
    """Every path that the Dockerfile copies out of this folder."""
    copies = [arguments.split() for name, arguments in instructions() if name == "COPY"]
    ours = [words for words in copies if not words[0].startswith("--from=")]
    return [word for words in ours for word in words[:-1] if not word.startswith("--")]


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_everything_that_is_copied_is_there() -> None:
    assert copied_from_here()
    assert [path for path in copied_from_here() if not (ROOT / path).exists()] == []


def test_the_build_is_sent_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied_from_here())


def test_every_package_of_the_project_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied_from_here())


def test_the_image_starts_through_the_entry_point_and_has_the_program_it_starts() -> None:
    said = dict(instructions())
    assert json.loads(said["ENTRYPOINT"]) == [ENTRYPOINT.name]
    assert ENTRYPOINT.stat().st_mode & 0o111
    program = json.loads(said["CMD"])[0]
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@needs_root
@pytest.mark.parametrize(("owner", "runs_as"), [(0, 1000), (4321, 4321)])
def test_the_container_runs_as_the_owner_of_its_work_and_never_as_root(
    tmp_path: Path, owner: int, runs_as: int
) -> None:
    os.chown(tmp_path, owner, owner)
    script = 'id -u; id -g; id -G; grep -E "CapEff|NoNewPrivs" /proc/self/status'
    ran = subprocess.run(
        [ENTRYPOINT, "sh", "-c", script],
        env={"PATH": os.environ["PATH"], "RANTS_WORK": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    *ids, capabilities, privileges = ran.stdout.splitlines()
    assert ids == [str(runs_as)] * 3
    assert tmp_path.stat().st_uid == runs_as
    assert int(capabilities.split()[1], 16) == 0
    assert privileges.split()[1] == "1"


@needs_root
def test_a_user_given_to_docker_is_kept(tmp_path: Path) -> None:
    ran = subprocess.run(
        # Its text, for this user may not be able to reach the file.
        ["setpriv", "--reuid=777", "--clear-groups", "sh", "-c", ENTRYPOINT.read_text(), "sh", "id", "-u"],
        env={"PATH": os.environ["PATH"], "RANTS_WORK": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ran.stdout == "777\n"


def test_compose_points_rants_at_the_models_that_it_pulls(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("RANTS_")]:
        monkeypatch.delenv(name)
    image = next(arguments for name, arguments in instructions() if "RANTS_STATE__SQLITE_PATH" in arguments)
    variables = dict(re.findall(r"(RANTS_\w+)=(\S+)", image)) | compose["services"]["rants"]["environment"]
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    # Where the container has it: in the folder the server starts in.
    shutil.copy(ROOT / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    settings = Settings.load()

    assert settings.state.sqlite_path == Path("/work/rants.sqlite3")
    assert settings.tools.workspace == Path("/work/workspace")
    compiler = settings.models.tool_compiler
    assert compiler is not None
    pulled = compose["services"]["ollama-pull"]["environment"]
    window = compose["services"]["ollama"]["environment"]["OLLAMA_CONTEXT_LENGTH"]
    for model, name in ((settings.models.generator, "GENERATOR"), (compiler, "TOOL_COMPILER")):
        assert (model.provider, model.base_url) == ("openai", "http://ollama:11434/v1")
        assert (model.model, model.context_window) == (pulled[name], window)


def test_compose_mounts_what_the_image_expects(compose: dict[str, Any]) -> None:
    said = dict(instructions())
    targets = {volume.split(":")[1] for volume in compose["services"]["rants"]["volumes"]}
    assert targets == {f"{said['WORKDIR']}/config.yaml", said["VOLUME"]}
    assert compose["services"]["rants"]["ports"] == [f"{said['EXPOSE']}:{said['EXPOSE']}"]


def test_compose_waits_for_services_that_it_has(compose: dict[str, Any]) -> None:
    services = compose["services"]
    waits = {name: service.get("depends_on", {}) for name, service in services.items()}
    assert waits["rants"]["ollama-pull"] == {"condition": "service_completed_successfully"}
    for wanted in waits.values():
        for name, how in wanted.items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[name]
