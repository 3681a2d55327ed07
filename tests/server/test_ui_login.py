"""Who may see the pages: logins, where a request comes from, operators, and what every answer carries."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import yaml

from evals.scripted import ScriptedBackend
from server.browsers import HOME, inside, names_this_machine
from server.logins import COOKIE
from server.ui.rendering import HEADERS
from tests.conftest import key_of
from tests.server.serving import serving
from tests.support import MODEL, ServerProcess, eventually, running

RESPONSE: dict[str, Any] = {"model": MODEL, "input": "Hello?", "store": True}
OURS = {"sec-fetch-site": "same-origin"}
BROWSER = {"accept": "text/html,application/xhtml+xml", **OURS}
EXPIRED = key_of("expired")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server that asks for keys. Olga is an operator."""
    folder: Path = tmp_path_factory.mktemp("logins")
    keys: list[dict[str, Any]] = [{"key": key_of(name), "tenant_id": name} for name in ("ada", "ben")]
    keys.append({"key": key_of("olga"), "tenant_id": "olga", "operator": True})
    keys.append({"key": EXPIRED, "tenant_id": "ada", "expires_at": "2020-01-01"})
    config: dict[str, Any] = {
        "models": {"generator": {"base_url": scripted_backend.base_url, "model": "scripted"}},
        "auth": {"enabled": True, "api_keys": keys, "cache_seconds": 0},
        "observability": {"logs": "json", "content": True},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with running(folder, {}) as process:
        yield process


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server that asks for no key."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
    }
    with running(tmp_path_factory.mktemp("open"), variables) as process:
        yield process


@pytest.fixture
def browser(server: ServerProcess) -> Iterator[httpx2.Client]:
    """A browser, in which nobody has logged in."""
    with httpx2.Client(base_url=server.address, headers=BROWSER, timeout=60) as client:
        yield client


@pytest.fixture
def script(open_server: ServerProcess) -> Iterator[httpx2.Client]:
    """Whoever asks the server without keys, with nothing that browsers add."""
    with httpx2.Client(base_url=open_server.address, timeout=60) as client:
        yield client


def log_in(browser: httpx2.Client, key: str, **fields: str) -> httpx2.Response:
    return browser.post("/ui/login", data={"key": key, **fields})


def test_a_key_in_the_form_is_exchanged_for_a_cookie(browser: httpx2.Client, server: ServerProcess) -> None:
    assert browser.get("/ui/sessions").headers["location"] == "/ui/login?next=%2Fui%2Fsessions"
    answer = log_in(browser, f" {key_of('ada')}\r\n", next="/ui/sessions?status=failed")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/sessions?status=failed")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {each.lower() for each in attributes} == {"httponly", "samesite=lax", "path=/", "max-age=43200"}
    token = cookie.removeprefix(f"{COOKIE}=")
    assert len(token) == 43
    assert browser.get("/ui/sessions").status_code == 200
    assert browser.get("/v1/models").json()["data"]
    assert token.encode() not in server.database_bytes, "only its digest is kept"
    assert token not in server.log


def test_the_cookie_is_for_https_alone_where_the_request_came_by_it(browser: httpx2.Client) -> None:
    answer = browser.post("/ui/login", data={"key": key_of("ada")}, headers={"x-forwarded-proto": "https"})
    assert "secure" in answer.headers["set-cookie"].lower().split("; ")


@pytest.mark.parametrize("how", ["wrong", "empty", "expired", "revoked", "nothing"])
def test_a_key_that_is_not_good_gives_the_form_again_and_tells_nothing(
    browser: httpx2.Client, server: ServerProcess, how: str
) -> None:
    keys = {"wrong": key_of("eve"), "empty": "", "expired": EXPIRED}
    if how == "revoked":
        keys[how] = _made(server)
        server.command("keys", "revoke", _id_of(server))
    wrong = log_in(browser, keys[how]) if how in keys else browser.post("/ui/login", content=b"\xff%%&&=key")
    if how == "revoked":
        eventually(lambda: log_in(browser, keys[how]).status_code == 401)
        wrong = log_in(browser, keys[how])
    assert wrong.status_code == 401
    assert wrong.text == log_in(browser, key_of("nobody")).text
    assert "This key is not good here." in wrong.text
    assert "set-cookie" not in wrong.headers
    assert browser.get("/ui/sessions").status_code == 303


def _made(server: ServerProcess) -> str:
    return server.command("keys", "create", "--tenant", "ada").strip()


def _id_of(server: ServerProcess) -> str:
    ((key_id,),) = server.rows("SELECT id FROM key ORDER BY created_at DESC LIMIT 1")
    return str(key_id)


def test_a_form_that_is_far_too_long_is_not_read(browser: httpx2.Client) -> None:
    assert log_in(browser, "x" * 5000).status_code == 413


def test_logging_out_ends_the_login_also_for_who_has_kept_the_cookie(
    browser: httpx2.Client, server: ServerProcess
) -> None:
    log_in(browser, key_of("ada"))
    kept = browser.cookies[COOKIE]
    answer = browser.post("/ui/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/login")
    assert COOKIE not in browser.cookies
    again = httpx2.get(f"{server.address}/v1/models", headers={"cookie": f"{COOKIE}={kept}"})
    assert again.status_code == 401
    assert browser.post("/ui/logout").status_code == 303


def test_to_log_in_again_ends_the_login_before(browser: httpx2.Client, server: ServerProcess) -> None:
    log_in(browser, key_of("ada"))
    kept = browser.cookies[COOKIE]
    log_in(browser, key_of("ben"))
    assert httpx2.get(f"{server.address}/ui", headers={"cookie": f"{COOKIE}={kept}"}).status_code == 401


def test_a_key_that_is_revoked_takes_its_logins_along(browser: httpx2.Client, server: ServerProcess) -> None:
    log_in(browser, _made(server))
    assert browser.get("/ui/sessions").status_code == 200
    server.command("keys", "revoke", _id_of(server))
    eventually(lambda: browser.get("/ui/sessions").status_code == 303)
    assert browser.get("/v1/models").status_code == 401


async def test_a_login_ends_with_its_hours_and_with_its_key(
    tmp_path: Path, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    keys = [
        {"key": key_of("ada"), "tenant_id": "ada", "expires_at": now + 1800},
        {"key": key_of("ben"), "tenant_id": "ben"},
    ]
    auth = {"enabled": True, "api_keys": keys}
    async with (
        serving(tmp_path, backend, auth=auth, ui={"login_hours": 1}) as server,
        httpx2.AsyncClient(base_url=server.address, headers=BROWSER) as ada,
        httpx2.AsyncClient(base_url=server.address, headers=BROWSER) as ben,
    ):
        for browser, name in ((ada, "ada"), (ben, "ben")):
            assert (await browser.post("/ui/login", data={"key": key_of(name)})).status_code == 303
            assert (await browser.get("/ui/sessions")).status_code == 200
        for passed, good in ((1700, (200, 200)), (1900, (303, 200)), (3700, (303, 303))):
            clock = SimpleNamespace(time=lambda passed=passed: now + passed, monotonic=time.monotonic)
            monkeypatch.setattr("server.gatekeeper.time", clock)
            monkeypatch.setattr("store.store.time", clock)
            assert tuple([(await browser.get("/ui/sessions")).status_code for browser in (ada, ben)]) == good


async def test_a_key_that_is_replaced_in_the_configuration_takes_its_logins_along(
    tmp_path: Path, backend: ScriptedBackend
) -> None:
    cookies: dict[str, str] = {}
    for key, status in (("ada", 200), ("ada", 200), ("new-ada", 303)):
        auth = {"enabled": True, "api_keys": [{"key": key_of(key), "tenant_id": "ada", "name": "laptop"}]}
        async with (
            serving(tmp_path, backend, auth=auth) as server,
            httpx2.AsyncClient(base_url=server.address, headers=BROWSER, cookies=cookies) as browser,
        ):
            if not cookies:
                await browser.post("/ui/login", data={"key": key_of(key)})
                cookies = dict(browser.cookies)
            assert (await browser.get("/ui/sessions")).status_code == status


# Where a request comes from, what browsers say of it, and whether that is good for what writes and for what reads.
FROM: list[tuple[str, dict[str, str], bool, bool]] = [
    ("our page", {"sec-fetch-site": "same-origin"}, True, True),
    ("our page, without the header", {"origin": "SELF"}, True, True),
    ("another port or name of the site", {"sec-fetch-site": "same-site"}, False, False),
    ("another site", {"sec-fetch-site": "cross-site"}, False, False),
    ("the address bar", {"sec-fetch-site": "none"}, False, False),
    ("another site that says it is we", {"sec-fetch-site": "cross-site", "origin": "SELF"}, False, False),
    ("another origin", {"origin": "https://evil.example"}, False, False),
    ("another port", {"origin": "http://127.0.0.1:1"}, False, False),
    ("no origin", {"origin": "null"}, False, False),
    ("nothing", {}, False, True),
]


@pytest.mark.parametrize(("headers", "writes", "reads"), [each[1:] for each in FROM], ids=[each[0] for each in FROM])
def test_a_login_is_good_only_for_what_our_own_pages_ask(
    browser: httpx2.Client,
    server: ServerProcess,
    script: httpx2.Client,
    open_server: ServerProcess,
    headers: dict[str, str],
    writes: bool,
    reads: bool,
    backend: ScriptedBackend,
) -> None:
    log_in(browser, key_of("ada"))
    cookie = {"cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    sent = cookie | {name: server.address if value == "SELF" else value for name, value in headers.items()}
    with httpx2.Client(base_url=server.address, headers=sent, timeout=60) as asking:
        assert asking.get("/v1/models").status_code == (200 if reads else 403)
        for method, path in (("POST", "/v1/responses"), ("DELETE", "/v1/responses/resp_1"), ("PUT", "/ui/nothing")):
            answer = asking.request(method, path, json=RESPONSE)
            assert (answer.status_code != 403) is writes, (path, answer.text)
            if not writes:
                error = answer.json()["error"]
                assert (error["type"], error["code"]) == ("invalid_request_error", "forbidden")
                assert "Sec-Fetch-Site" in error["message"]
        assert len(backend.calls) == writes
        assert asking.get("/ui/sessions").status_code == 200, "a page may be opened from anywhere"
        # Before anybody has logged in, and out: another site may do neither.
        for path in ("/ui/login", "/ui/logout"):
            answer = asking.post(path, data={"key": key_of("ben")})
            assert answer.status_code == (303 if writes else 403)
    sent = {name: open_server.address if value == "SELF" else value for name, value in headers.items()}
    for path in ("/ui/login", "/ui/logout", "/ui/nothing"):
        answer = script.post(path, headers=sent)
        assert (answer.status_code != 403) is writes, path


def test_a_key_in_a_header_works_on_pages_as_anywhere_and_needs_no_page(server: ServerProcess) -> None:
    for headers in ({"x-api-key": key_of("ada")}, {"authorization": f"Bearer {key_of('ada')}"}):
        assert httpx2.get(f"{server.address}/ui/sessions", headers=headers).status_code == 200
        assert httpx2.post(f"{server.address}/ui/nothing", headers=headers).status_code == 404
    wrong = {"x-api-key": key_of("eve")}
    assert httpx2.get(f"{server.address}/ui/sessions", headers=wrong).status_code == 401


def test_a_key_that_is_sent_beside_the_cookie_is_the_one_that_counts(browser: httpx2.Client) -> None:
    log_in(browser, key_of("ada"))
    assert browser.get("/v1/models", headers={"x-api-key": key_of("eve")}).status_code == 401
    assert "ben" in browser.get("/ui/sessions", headers={"x-api-key": key_of("ben")}).text


def test_the_cookie_opens_nothing_but_pages_and_the_api(browser: httpx2.Client) -> None:
    log_in(browser, key_of("ada"))
    assert browser.get("/health").status_code == 401


@pytest.mark.parametrize("cookie", ["x", "x" * 3000, "", "%00", '"'], ids=["short", "long", "empty", "nul", "quote"])
def test_a_made_up_cookie_opens_nothing(server: ServerProcess, cookie: str) -> None:
    answer = httpx2.get(f"{server.address}/v1/models", headers={"cookie": f"{COOKIE}={cookie}"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("/ui/runs/resp_1?event=3", "/ui/runs/resp_1?event=3"),
        ("/ui/sessions?text=a%2F%2Fb", "/ui/sessions?text=a%2F%2Fb"),
        ("//evil.example/ui/", HOME),
        ("/ui//evil.example", HOME),
        ("https://evil.example/ui/", HOME),
        ("/\\evil.example", HOME),
        ("/ui/\\evil", HOME),
        ("/ui/%5Cevil", HOME),
        ("/ui/..//evil.example", HOME),
        ("/ui/../v1/models", HOME),
        ("/ui/%2e%2e/v1/models", HOME),
        ("/ui/.%2E/v1", HOME),
        ("/ui/\r\nset-cookie: a=b", HOME),
        ("/ui/%0d%0aset-cookie", HOME),
        ("/ui/a\tb", HOME),
        ("/ui/a b", HOME),
        ("/ui/\u202e", HOME),
        ("/uix/", HOME),
        ("/v1/models", HOME),
        ("javascript:alert(1)", HOME),
        ("", HOME),
    ],
)
def test_after_a_login_one_is_led_to_a_page_of_this_server_and_nowhere_else(
    browser: httpx2.Client, asked: str, given: str
) -> None:
    assert inside(asked) == given
    assert log_in(browser, key_of("ada"), next=asked).headers["location"] == given


def test_who_starts_a_server_is_told_where_its_pages_are(server: ServerProcess) -> None:
    assert f"pages: {server.address}/ui\n" in server.log


def test_where_one_wanted_to_go_is_kept_by_the_form(browser: httpx2.Client) -> None:
    led = browser.get("/ui/runs/resp_1?event=3&tenant=ada")
    assert led.status_code == 303
    form = browser.get(led.headers["location"])
    assert 'name="next" value="/ui/runs/resp_1?event=3&amp;tenant=ada"' in form.text


def test_an_operator_sees_all_tenants_and_nobody_else_does(server: ServerProcess, backend: ScriptedBackend) -> None:
    def page(name: str, path: str) -> httpx2.Response:
        return httpx2.get(f"{server.address}{path}", headers={"x-api-key": key_of(name), **BROWSER})

    for name in ("ada", "ben"):
        body = RESPONSE | {"input": f"A secret of {name}"}
        assert httpx2.post(f"{server.address}/v1/responses", json=body, headers={"x-api-key": key_of(name)})
    (theirs,) = server.rows("SELECT id FROM session WHERE tenant = 'ada' AND title LIKE 'A secret%'")[0]
    both = page("olga", "/ui/sessions").text
    assert "A secret of ada" in both
    assert "A secret of ben" in both
    assert f'href="/ui/sessions/{theirs}?tenant=ada"' in both
    hers = page("olga", "/ui/sessions?tenant=ada").text
    assert "A secret of ada" in hers
    assert "A secret of ben" not in hers
    assert f'href="/ui/sessions/{theirs}?tenant=ada"' in hers
    one = page("olga", f"/ui/sessions/{theirs}?tenant=ada")
    assert "A secret of ada" in one.text
    assert 'href="/ui/sessions?tenant=ada"' in one.text
    assert page("olga", f"/ui/sessions/{theirs}").status_code == 404, "it is not the operator's own"
    for path in ("/ui/sessions", f"/ui/sessions/{theirs}"):
        there, nowhere = (page("ben", f"{path}?tenant={name}") for name in ("ada", "nobody"))
        assert there.status_code == nowhere.status_code == 404
        assert there.text == nowhere.text
    assert page("ben", "/ui/sessions?tenant=ben").status_code == 200
    assert "A secret of ada" not in page("ben", "/ui/sessions").text


def test_while_authentication_is_off_everybody_is_local_and_there_is_no_login(
    script: httpx2.Client, backend: ScriptedBackend
) -> None:
    assert script.get("/ui/login?next=/ui/overview").headers["location"] == "/ui/overview"
    assert script.post("/ui/login", data={"key": "any"}, headers=OURS).headers["location"] == HOME
    page = script.get("/ui/sessions")
    assert page.status_code == 200
    assert "Log out" not in page.text
    assert script.get("/ui/sessions?tenant=local").status_code == 200
    assert script.get("/ui/sessions?tenant=ada").status_code == 404


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *(
            ("localhost", True),
            ("localhost:8000", True),
            ("127.0.0.1:1", True),
            ("127.9.9.9", True),
            ("[::1]:80", True),
            ("rants.localhost:8000", True),
        ),
        *(("evil.example", False), ("evil.example:8000", False), ("127.0.0.1.evil.example", False)),
        *(("localhost.evil.example", False), ("192.168.1.7", False), ("", False), ("[", False), ("@localhost", True)),
    ],
)
def test_everything_is_asked_by_a_name_of_this_machine_while_authentication_is_off(
    script: httpx2.Client, browser: httpx2.Client, host: str, here: bool
) -> None:
    assert names_this_machine(host) is here
    if not host or host == "[":
        return  # no request says that
    for path in ("/ui/login", "/ui/sessions", "/ui/static/ui.css", "/ui", "/v1/models"):
        answer = script.get(path, headers={"host": host})
        assert (answer.status_code == 403) is not here
        if not here:
            assert "127.0.0.1" in answer.json()["error"]["message"]
    body = {"model": MODEL, "input": "Hello"}
    assert script.post("/v1/responses", json=body, headers={"host": host}).status_code == (200 if here else 403)
    assert script.get("/health/live", headers={"host": host}).status_code == 200, "probes may use any name"
    assert browser.get("/ui/login", headers={"host": host}).status_code == 200, "where a key is asked for, it is enough"
    models = browser.get("/v1/models", headers={"host": host, "x-api-key": key_of("ada")})
    assert models.status_code == 200


def test_every_answer_below_ui_has_the_headers_that_keep_pages_inert(
    browser: httpx2.Client, script: httpx2.Client, server: ServerProcess
) -> None:
    bearer = {"x-api-key": key_of("ada")}
    answers = [
        browser.get("/ui/login"),
        browser.get("/ui"),  # redirects to the form
        browser.get("/ui/sessions", headers=bearer),
        browser.get("/ui/sessions", headers=bearer | {"x-part": "list"}),
        browser.get("/ui/sessions?status=bored", headers=bearer),
        browser.get("/ui/nowhere", headers=bearer),  # a page that says 404
        browser.get("/ui/nowhere", headers=bearer | {"accept": "*/*"}),  # and the same as JSON
        browser.get("/ui/sessions", headers={"accept": "*/*"}),
        browser.post("/ui/login", headers={"sec-fetch-site": "cross-site"}),
        log_in(browser, key_of("eve")),
        log_in(browser, key_of("ada")),
        browser.post("/ui/logout"),
        script.get("/ui/login", headers={"host": "evil.example"}),
    ]
    tagged = browser.get("/ui/sessions", headers=bearer | {"x-part": "list"}).headers["etag"]
    answers.append(browser.get("/ui/sessions", headers=bearer | {"x-part": "list", "if-none-match": tagged}))
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 303, 200, 200, 400, 404, 404, 401, 403, 401, 303, 303, 403, 304]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], answer.url
    static = browser.get("/ui/static/ui.css")
    assert static.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert static.headers.get_list("cache-control") == ["no-cache"]
    assert "content-security-policy" not in browser.get("/v1/models", headers=bearer).headers


def test_an_error_is_a_page_for_a_browser_and_json_for_a_script(browser: httpx2.Client) -> None:
    key = {"x-api-key": key_of("ada")}
    page = browser.get("/ui/sessions/<script>", headers=key)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    said = browser.get("/ui/sessions/nowhere", headers=key | {"accept": "*/*"})
    assert said.json()["error"]["code"] == "not_found"
    assert browser.get("/v1/responses/nowhere", headers=key).json()["error"]["code"] == "response_not_found"


async def test_where_pages_are_switched_off_there_is_nothing(tmp_path: Path, backend: ScriptedBackend) -> None:
    keys = [{"key": key_of("ada"), "tenant_id": "ada"}]
    auth = {"enabled": True, "api_keys": keys}
    async with (
        serving(tmp_path, backend, auth=auth, ui={"enabled": False}) as server,
        httpx2.AsyncClient(base_url=server.address, headers=BROWSER | {"x-api-key": key_of("ada")}) as client,
    ):
        for path in ("/ui", "/ui/", "/ui/login", "/ui/sessions", "/ui/static/ui.css", "/ui/nowhere"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/ui/login", data={"key": key_of("ada")})).status_code == 404
        assert (await client.get("/v1/models")).status_code == 200


async def test_a_key_is_in_no_log_however_it_is_sent(
    tmp_path: Path, backend: ScriptedBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    auth = {"enabled": True, "api_keys": [{"key": key_of("ada"), "tenant_id": "ada"}]}
    async with (
        serving(tmp_path, backend, auth=auth) as server,
        httpx2.AsyncClient(base_url=server.address, headers=BROWSER) as client,
    ):
        pages = [await client.post("/ui/login", data={"key": key}) for key in (key_of("eve"), key_of("ada"))]
        pages += [await client.get("/ui/sessions"), await client.post("/ui/login", data={"key": "x" * 5000})]
        token = client.cookies[COOKIE]
    for secret in (key_of("ada"), key_of("eve"), token):
        assert secret not in "".join(f"{page.headers}{page.text}" for page in pages[2:]) + pages[0].text
        assert not [line for line in caplog.records if line.name.startswith("rants") and secret in line.getMessage()]
