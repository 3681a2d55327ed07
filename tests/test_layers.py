"""The shape of the house: which room may import which, and what is never imported at all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "signatures": set(),
    "programs": {"signatures"},
    "store": {"programs"},
    "evals": {"programs", "signatures"},
    "server": {"store", "programs", "signatures", "evals"},  # evals: the command line starts benchmarks
}
ROOMS = set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_run_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    for file in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            for name in names:
                top = name.partition(".")[0]
                assert top not in ROOMS - allowed, f"{file.relative_to(ROOT)} imports {name}"
                outward = top in {"fastapi", "starlette", "uvicorn", "peewee", "playhouse"}
                assert not (room in {"programs", "signatures"} and outward), f"{file.relative_to(ROOT)} imports {name}"


def test_litellm_is_never_imported() -> None:
    imports = "import sys, server.app, server.cli, store, evals.performance, programs.backends.openai, "
    code = imports + "programs.backends.embedded; sys.exit('litellm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
