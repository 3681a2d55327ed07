"""URLs that others wrote: what is fetched, and what never is."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from programs.tools.fetching import Address, Fetched, FetchFailed, anywhere, fetch, is_public

MB = 1 << 20


class Site:
    """A real web server on this machine, that counts who called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.port = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request.path)
        self.headers.append(dict(request.headers))
        match request.path:
            case "/page":
                return web.Response(
                    body="grüß".encode("latin-1"), headers={"Content-Type": "text/html; charset=latin-1"}
                )
            case "/missing":
                return web.Response(status=404, text="not here")
            case "/redirect":
                return web.Response(status=302, headers={"Location": request.query["to"]})
            case "/round":
                return web.Response(status=307, headers={"Location": "/round"})
            case "/big":
                return web.Response(body=b"x" * MB)
            case "/zipped":
                return web.Response(body=gzip.compress(b"squeezed " * 1000), headers={"Content-Encoding": "gzip"})
            case "/deflated":
                return web.Response(body=zlib.compress(b"squeezed"), headers={"Content-Encoding": "deflate"})
            case "/bomb":
                return web.Response(body=gzip.compress(bytes(64 * MB)), headers={"Content-Encoding": "gzip"})
            case "/half":
                return web.Response(body=gzip.compress(b"squeezed" * 1000)[:-20], headers={"Content-Encoding": "gzip"})
            case "/brotli":
                return web.Response(body=b"?", headers={"Content-Encoding": "br"})
            case "/slow":
                await asyncio.sleep(60)
            case "/drip":
                return await self.drip(request)
        return web.Response(text="hello")

    async def drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.01)


class Names(AbstractResolver):
    """Resolves every name to what the test wants, another thing each time; the last one stays."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        address = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", site.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    site.port = listener.getsockname()[1]
    await web.SockSite(runner, listener).start()
    yield site
    await runner.cleanup()


async def get(url: str, **options: Any) -> Fetched:
    return await fetch(url, **{"limit_bytes": 2 * MB, "timeout": 10.0, "allowed": anywhere, **options})


async def test_a_page_comes_with_what_the_server_says_of_it(site: Site) -> None:
    page = await get(site.url("/page"))
    assert page == Fetched(site.url("/page"), 200, "text/html", "latin-1", "grüß".encode("latin-1"))


async def test_a_page_that_is_not_there_is_an_answer(site: Site) -> None:
    assert (await get(site.url("/missing"))).status == 404


async def test_redirects_are_followed(site: Site) -> None:
    page = await get(site.url("/redirect?to=/redirect%3Fto%3D/page%23part"))
    assert page.url.startswith(site.url("/page")) and page.status == 200
    assert site.calls == ["/redirect", "/redirect", "/page"]


async def test_not_for_ever(site: Site) -> None:
    with pytest.raises(FetchFailed, match="more than 5 redirects"):
        await get(site.url("/round"))


@pytest.mark.parametrize(("path", "body"), [("/zipped", b"squeezed " * 1000), ("/deflated", b"squeezed")])
async def test_bodies_are_decompressed(site: Site, path: str, body: bytes) -> None:
    assert (await get(site.url(path))).body == body


@pytest.mark.parametrize("path", ["/big", "/bomb", "/drip"])
async def test_a_body_is_bounded_also_when_it_is_small_on_the_wire(site: Site, path: str) -> None:
    with pytest.raises(FetchFailed, match="it is larger than 50 bytes"):
        await get(site.url(path), limit_bytes=50)


@pytest.mark.parametrize(
    ("path", "said"), [("/half", "cut off"), ("/brotli", "compressed as br, which was not asked for")]
)
async def test_what_cannot_be_decompressed_is_told(site: Site, path: str, said: str) -> None:
    with pytest.raises(FetchFailed, match=said):
        await get(site.url(path))


@pytest.mark.parametrize("path", ["/slow", "/drip"])
async def test_time_is_bounded_over_all(site: Site, path: str) -> None:
    with pytest.raises(FetchFailed, match=r"no answer within 0\.2 s"):
        await get(site.url(path), timeout=0.2)


async def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchFailed, match=f"http://127.0.0.1:{port}/: .*Connect call failed"):
        await get(f"http://127.0.0.1:{port}/")


async def test_it_brings_no_proxy_cookie_or_credential(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    await get(site.url("/"))
    assert not {"Cookie", "Authorization", "Proxy-Authorization", "Referer"} & set(site.headers[0])


# --- where nothing is fetched from


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://127.0.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0x7f.0.0.1:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://017700000001:{port}/",
        "http://0:{port}/",
        "http://0.0.0.0:{port}/",
        "http://127.0.0.1.:{port}/",
        "http://localhost:{port}/",
        "http://LOCALHOST.:{port}/",
        "http://[::1]:{port}/",
        "http://[::]:{port}/",
        "http://[0:0:0:0:0:0:0:1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::ffff:7f00:1]:{port}/",
        "http://[::127.0.0.1]:{port}/",
        "http://[64:ff9b::127.0.0.1]:{port}/",
        "http://[2002:7f00:1::]:{port}/",
        "http://[fe80::1%25lo]:{port}/",
        "http://①②⑦.⓪.⓪.①:{port}/",
        "http://127。0。0。1:{port}/",
        "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
        "http://user@127.0.0.1:{port}/",
        "http://user:password@example.com/",
        "http://example.com@127.0.0.1:{port}/",
        "http://example.com%40127.0.0.1:{port}/",
        "http://example.com\\@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\\@example.com/",
        "http://example.com#@127.0.0.1:{port}/\r\nHost: x",
        "http://127.0.0.1:{port}#@example.com/",
        "http://127.0.0.1\t:{port}/",
        "http://127.0.0.1:{port}\0/",
        "http:///{port}",
        "http://",
        "http:127.0.0.1:{port}",
        "//127.0.0.1:{port}/",
        "127.0.0.1:{port}",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "file:///etc/passwd",
        "file://127.0.0.1/etc/passwd",
        "gopher://127.0.0.1:{port}/_GET%20/",
        "ftp://127.0.0.1:{port}/",
        "dict://127.0.0.1:{port}/",
        "ws://127.0.0.1:{port}/",
        "unix:///var/run/docker.sock",
        "data:text/html,hello",
        "javascript:alert(1)",
        "",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://168.63.129.16/",
        "http://[fd00:ec2::254]/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
    ],
)
async def test_no_way_of_writing_it_leads_inside(site: Site, url: str) -> None:
    with pytest.raises(FetchFailed):
        await fetch(url.replace("{port}", str(site.port)), limit_bytes=MB, timeout=5)
    assert site.calls == []


async def test_the_message_says_what_is_refused(site: Site) -> None:
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1 is not a public address"):
        await fetch(site.url(), limit_bytes=MB, timeout=5)
    with pytest.raises(FetchFailed, match="begins with http:// or https://"):
        await fetch("file:///etc/passwd", limit_bytes=MB, timeout=5)
    with pytest.raises(FetchFailed, match="a user or a password"):
        await fetch("http://me:secret@example.com/", limit_bytes=MB, timeout=5)


async def test_a_name_that_leads_inside_is_refused(site: Site) -> None:
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1 is not a public address"):
        await fetch(site.url("/", "public.example"), limit_bytes=MB, timeout=5, resolver=Names("127.0.0.1"))
    assert site.calls == []


async def test_a_name_is_judged_by_the_address_that_is_connected_to(site: Site) -> None:
    """What it resolves to for others, or resolved to a moment ago, is nobody's business."""
    asked: list[str] = []

    def first_only(address: Address) -> bool:
        asked.append(str(address))
        return len(asked) == 1

    names = Names("127.0.0.1")
    target = site.url("/page", "other.example").replace(":", "%3A")
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1 is not a public address"):
        await get(site.url(f"/redirect?to={target}", "some.example"), allowed=first_only, resolver=names)
    assert site.calls == ["/redirect"] and asked == ["127.0.0.1", "127.0.0.1"] and names.asked == 2


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:{port}/page", "//127.0.0.2:{port}/page", "http://[::1]:{port}/page", "file:///etc/passwd"],
)
async def test_a_redirect_is_checked_as_the_first_url_is(site: Site, target: str) -> None:
    there = target.replace("{port}", str(site.port)).replace(":", "%3A")
    with pytest.raises(FetchFailed):
        await get(site.url(f"/redirect?to={there}"), allowed=lambda address: address == ip_address("127.0.0.1"))
    assert site.calls == ["/redirect"]


async def test_a_redirect_cannot_bring_a_user(site: Site) -> None:
    there = f"http%3A//me%3Asecret@127.0.0.1%3A{site.port}/page"
    with pytest.raises(FetchFailed, match="a user or a password"):
        await get(site.url(f"/redirect?to={there}"))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
        "168.63.129.16", "169.254.169.254", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:1.1.1.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::1.1.1.1",
        "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:101:101::1", "3fff::1", "5f00::1", "fc00::1",
        "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_all_others_are_not(address: str) -> None:
    assert not is_public(ip_address(address))
