"""`webfetch` and `websearch`, against a real web server."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator

from programs.settings import WebSettings
from programs.tools import GatewayTool, Result
from programs.tools.fetching import anywhere
from programs.tools.web import web_tools
from tests.programs.tools.calling import Calling

PAGE = """<!doctype html><html><head><title>Ants &amp; rants</title><style>p {color: red}</style></head><body>
<script>evil()</script><h2>Colonies</h2><p>An <b>ant</b> lives in a <a href="/colony?x=1">colony</a>.
<ul><li>one<li>two</ul><pre>a
  b</pre><table><tr><th>name<th>legs<tr><td>ant<td>6</table><img src="data:image/png;base64,AAAA" alt="an ant">
<a href="javascript:evil()">click</a></body></html>"""
MARKDOWN = """# Ants & rants

## Colonies

An **ant** lives in a [colony]({site}/colony?x=1).

- one
- two

```
a
  b
```

| name | legs |
| --- | --- |
| ant | 6 |"""

type Ask = Callable[..., Any]


class Site:
    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.queries: list[dict[str, str]] = []
        self.url = ""

    def holds(self, path: str, body: str | bytes, kind: str | None = "text/html", status: int = 200) -> str:
        data = body.encode() if isinstance(body, str) else body
        self.answers[path] = {"body": data, "status": status, "headers": {"Content-Type": kind} if kind else None}
        return self.url + path

    async def answer(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        return web.Response(**self.answers[request.path])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/{tail:.*}", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    site.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await web.SockSite(runner, listener).start()
    yield site
    await runner.cleanup()


async def call(tool: GatewayTool, **arguments: Any) -> Result:
    return await Calling(Path("/nowhere"), more=[tool])(tool.name, **arguments)


@pytest.fixture
def webfetch() -> GatewayTool:
    [tool] = web_tools(WebSettings(page_chars=1000, max_bytes=200_000), allowed=anywhere)
    return tool


async def test_html_is_shown_as_markdown(webfetch: GatewayTool, site: Site) -> None:
    result = await call(webfetch, url=site.holds("/page", PAGE, "text/html; charset=utf-8"))
    assert result.ok and result.output.startswith(MARKDOWN.format(site=site.url))
    assert "evil" not in result.output and "AAAA" not in result.output and "red" not in result.output
    assert result.details["status"] == 200 and result.details["content_type"] == "text/html"


async def test_html_is_shown_as_text(webfetch: GatewayTool, site: Site) -> None:
    result = await call(webfetch, url=site.holds("/page", PAGE), format="text")
    assert result.output.startswith("Ants & rants\n\nColonies\nAn\nant\nlives in a\ncolony\n")
    assert "evil" not in result.output


async def test_html_is_shown_as_it_is(webfetch: GatewayTool, site: Site) -> None:
    assert (await call(webfetch, url=site.holds("/page", PAGE), format="html")).output == PAGE


async def test_a_page_says_its_own_charset(webfetch: GatewayTool, site: Site) -> None:
    page = '<meta charset="iso-8859-1"><p>grüß</p>'.encode("latin-1")
    assert (await call(webfetch, url=site.holds("/page", page))).output == "grüß"


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/plain", "a < b\n  & c"), ("application/json", '{"a": [1, 2]}'), ("application/ld+json", "{}"), (None, "x")],
)
async def test_text_is_shown_as_it_is(webfetch: GatewayTool, site: Site, kind: str | None, body: str) -> None:
    assert (await call(webfetch, url=site.holds("/file", body, kind))).output == body


@pytest.mark.parametrize(("kind", "body"), [("image/png", b"\x89PNG"), ("application/octet-stream", b"\0\1")])
async def test_what_is_no_text_is_named(webfetch: GatewayTool, site: Site, kind: str, body: bytes) -> None:
    result = await call(webfetch, url=site.holds("/file", body, kind))
    assert (result.ok, result.output) == (False, f"{site.url}/file is no text, but {len(body)} bytes of {kind}")


async def test_a_long_page_is_read_on_by_offset(webfetch: GatewayTool, site: Site) -> None:
    text = "".join(f"line {number}\n" for number in range(300))
    url, read, offset = site.holds("/long", text, "text/plain"), "", 0
    while True:
        result = await call(webfetch, url=url, offset=offset)
        shown, more, note = result.output.partition("\n\n[Characters ")
        read += shown
        if not more:
            break
        offset = int(note.rpartition("=")[2].removesuffix(".]"))
    assert read == text
    beyond = await call(webfetch, url=url, offset=len(text))
    assert (beyond.ok, beyond.output) == (False, "The page has 2,590 characters; there is nothing at 2,590.")


async def test_a_status_that_is_no_success_is_told(webfetch: GatewayTool, site: Site) -> None:
    result = await call(webfetch, url=site.holds("/gone", "<p>It was here.", status=410))
    assert (result.ok, result.output) == (False, "The server answered with status 410.\n\nIt was here.")


async def test_a_page_that_is_too_large_is_told(webfetch: GatewayTool, site: Site) -> None:
    result = await call(webfetch, url=site.holds("/large", "x" * 300_000, "text/plain"))
    assert not result.ok and "larger than 200,000 bytes" in result.output


async def test_a_page_made_to_break_the_converter_does_not(
    webfetch: GatewayTool, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("programs.tools.pages._SECONDS", 2)
    result = await call(webfetch, url=site.holds("/deep", "<div>" * 30_000 + "deep"))
    assert "deep" in result.output  # converted, or said to be too deep


async def test_an_address_inside_is_not_fetched(site: Site) -> None:
    [tool] = web_tools(WebSettings())
    result = await call(tool, url=site.holds("/page", PAGE))
    assert not result.ok and "127.0.0.1 is not a public address" in result.output and site.queries == []


# --- websearch


def searching(site: Site) -> GatewayTool:
    [_, tool] = web_tools(WebSettings(search_url=site.url))
    return tool


async def test_a_search_asks_the_configured_engine(site: Site) -> None:
    found = [
        {"title": f"Title {number}", "url": f"https://example.com/{number}", "content": "two\n lines", "engine": "x"}
        for number in range(12)
    ]
    site.holds("/search", json.dumps({"query": "ants", "results": found}), "application/json")
    result = await call(searching(site), query="ants & rants?", limit=2)
    assert site.queries == [{"q": "ants & rants?", "format": "json"}]
    assert result.output == (
        "1. Title 0\n   https://example.com/0\n   two lines\n2. Title 1\n   https://example.com/1\n   two lines"
    )
    assert len(result.details["results"]) == 2
    assert len((await call(searching(site), query="ants")).details["results"]) == 8


async def test_a_search_may_find_nothing(site: Site) -> None:
    site.holds("/search", '{"results": []}', "application/json")
    assert await call(searching(site), query="x") == Result("Nothing was found.", details={"results": []})


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("no", 403, "`json` is among its search.formats"),
        ("no", 500, "answers with status 500"),
        ("<html>", 200, "does not answer as a SearXNG does"),
        ('{"results": {"a": 1}}', 200, "does not answer as a SearXNG does"),
        ("[1]", 200, "does not answer as a SearXNG does"),
    ],
)
async def test_an_engine_that_fails_is_told(site: Site, body: str, status: int, said: str) -> None:
    site.holds("/search", body, "application/json", status)
    result = await call(searching(site), query="x")
    assert not result.ok and said in result.output


def test_each_tool_is_there_where_it_is_configured() -> None:
    assert [tool.name for tool in web_tools(WebSettings())] == ["webfetch"]
    assert [tool.name for tool in web_tools(WebSettings(search_url="http://search:8080"))] == ["webfetch", "websearch"]
    assert web_tools(WebSettings(fetch=False)) == []


def test_schemas_are_schemas() -> None:
    for tool in web_tools(WebSettings(search_url="http://search:8080")):
        Draft202012Validator.check_schema(tool.tool.parameters)
        assert not tool.changes
