"""What is asked of every request before anything else sees it, and the headers of every answer."""

import ipaddress
import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.serve.question import Refusal

LOCAL = "localhost"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""The pages load nothing from elsewhere, run no script of another, and stand in nobody's frame."""


class Guard:
    """Refuses what other sites send through a visitor's browser, and more requests at once than it holds.

    A site whose name has been pointed here (DNS rebinding) still names itself in `Host`, so only names that are ours
    are answered to; an address of numbers is nobody's name. Browsers say of a post from another site that it is one.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str], requests: int) -> None:
        self.app, self.requests = app, requests
        self.names = {LOCAL, *(name.lower() for name in names)}
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand on what is none."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.open += 1
        try:
            self._check(Headers(scope=scope), str(scope["method"]))
            await self.app(scope, receive, with_headers(send))
        except Refusal as refusal:
            await respond(with_headers(send), refusal)
        finally:
            self.open -= 1

    def _check(self, headers: Headers, method: str) -> None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            name = hostname(host) or "a host without a name"
            known = ", ".join(sorted(self.names))
            raise Refusal(421, f"this server answers to {known} and addresses, not to {name!a}; if that is a name of "
                          "its, start it with --allow-host NAME")  # fmt: skip
        if method not in ("GET", "HEAD") and is_cross_site(headers):
            raise Refusal(403, "a page of another site sent this; send it from a program, or from the page at /")
        if self.open > self.requests:
            raise Refusal(503, "too many requests are open; try again in a second", {"Retry-After": "1"})

    def _is_ours(self, host: str) -> bool:
        name = hostname(host)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True


def hostname(host: str) -> str:
    """Return the name in a Host header in lower case, without port and brackets; empty where it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "").removesuffix(".") if parts.netloc == host and "@" not in host else ""
    except ValueError:
        return ""


def is_cross_site(headers: Headers) -> bool:
    """Whether a browser sent a request for a page from elsewhere; programs say nothing of the kind."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and origin.partition("://")[2] != headers.get("host")


def with_headers(send: Send) -> Send:
    """Return `send` that adds our headers to each answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


async def respond(send: Send, refusal: Refusal) -> None:
    """Send a refusal."""
    body = json.dumps({"error": refusal.message}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
