"""What the OpenAPI document says is what is done: schemathesis asks what it allows, and what it does not allow."""

from __future__ import annotations

import os
import secrets
from typing import Any

import httpx2
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from openai import OpenAI
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, ServerProcess

SEED = int(os.environ.get("FUZZ_SEED") or secrets.token_hex(4), 16)
"""`FUZZ_SEED=... pytest` repeats a run."""

# What makes a request that is answered of one that fits the document.
BARE: dict[str, Any] = {"model": MODEL, "tools": [], "tool_choice": "auto"}
PLAIN: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {**BARE, "messages": [{"role": "user", "content": "Hello?"}], "response_format": None},
    "/v1/responses": {**BARE, "input": "Hello?", "previous_response_id": None, "text": None},
}

type Operation = APIOperation[Any, Any, Any, Any]

# Not `positive_data_acceptance`: what fits the document may still be wrong, as a choice of a tool that is not sent.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def document(http: httpx2.Client) -> dict[str, Any]:
    said: dict[str, Any] = http.get("/openapi.json").json()
    return said


def test_the_document_is_one(document: dict[str, Any]) -> None:
    operations = [(path, each) for path, methods in document["paths"].items() for each in methods.values()]
    assert "422" not in {status for _, operation in operations for status in operation["responses"]}
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, operation in operations:
        if path.startswith("/v1/"):
            assert operation["security"] == [{"bearer": []}, {"x-api-key": []}]
            assert "401" in operation["responses"]
        for status, answer in operation["responses"].items():
            if status >= "400" and path != "/health/ready":
                assert answer["content"] == {
                    "application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}
                }
    streamed = {path for path, each in operations if "text/event-stream" in each["responses"]["200"]["content"]}
    assert streamed == {"/v1/chat/completions", "/v1/responses", "/v1/responses/{response_id}"}


def hold(server: ServerProcess, client: OpenAI, document: dict[str, Any], examples: int) -> None:
    """Hold the server to the document, with so many requests of each kind to each operation."""
    here = [client.responses.create(model=MODEL, input="Hello?", background=kind).id for kind in (False, True, True)]
    for operation in operations_of(document):
        ask(operation, GenerationMode.POSITIVE, examples, server, here)
        if operation.path.startswith("/v1/"):  # the others ask for nothing
            ask(operation, GenerationMode.NEGATIVE, examples, server, here)
    assert client.responses.create(model=MODEL, input="Hello?").output_text == "Hello there."


def ask(operation: Operation, mode: GenerationMode, examples: int, server: ServerProcess, here: list[str]) -> None:
    """Requests to one operation, that fit the document or that do not; `here` are responses that are there."""

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def one(case: Case[Operation]) -> None:
        # Else chance would never name what is there.
        if isinstance(case.body, dict):
            if isinstance(case.body.get("model"), str):
                case.body["model"] = MODEL
            if mode.is_positive and len(str(case.body)) % 2:
                case.body.update(PLAIN[operation.path])
        if mode.is_positive and "model" in case.path_parameters:
            case.path_parameters["model"] = MODEL
        if mode.is_positive and "response_id" in case.path_parameters:
            case.path_parameters["response_id"] = here[len(str(case.path_parameters["response_id"])) % len(here)]
        answer = case.call(base_url=server.address, timeout=60)
        case.validate_response(answer, checks=CHECKS)

    try:
        one()
    except Exception as error:
        error.add_note(f"FUZZ_SEED={SEED:x} repeats it")
        raise


def operations_of(document: dict[str, Any]) -> list[Operation]:
    """All there are; what deletes comes last."""
    found = list(schemathesis.openapi.from_dict(document).get_all_operations())
    assert all(isinstance(each, Ok) for each in found)
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    return sorted(operations, key=lambda operation: operation.method == "delete")


def test_the_document_holds(
    server: ServerProcess, client: OpenAI, backend: ScriptedBackend, document: dict[str, Any]
) -> None:
    backend.script = in_turn(Reply(["Hello", " there."]))
    hold(server, client, document, examples=4)


@pytest.mark.slow
def test_the_document_holds_for_long(
    server: ServerProcess, client: OpenAI, backend: ScriptedBackend, document: dict[str, Any]
) -> None:
    backend.script = in_turn(Reply(["Hello", " there."]))
    hold(server, client, document, examples=200)
