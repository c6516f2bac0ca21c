"""Whom the page answers, and with which headers: a layer around any ASGI application.

Every program of this machine can connect to loopback, and every web page in a browser can try to. So the Host header
must name this server (another name that resolves to 127.0.0.1 is DNS rebinding), and requests that other sites' pages
make are refused; so is every method that could change something, unless a page of this server asks.
"""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("style", "script", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: only files of this server, nothing inline, nothing evaluated, in no frame."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
READS = frozenset({"GET", "HEAD"})
OWN_SITE = frozenset({"same-origin", "none"})
"""Sec-Fetch-Site of what a page of this server asks for, and of what a person types (W3C, Fetch Metadata)."""


def allowed_hosts(port: int) -> tuple[str, ...]:
    """The values of the Host header that mean this server."""
    return (f"127.0.0.1:{port}", f"localhost:{port}")


def refusal(method: str, path: str, headers: Headers, hosts: Collection[str]) -> str | None:
    """Why a request is not answered; None when it is. Pure.

    Args:
        method: of the request.
        path: of its address, without the query.
        headers: of the request.
        hosts: of ``allowed_hosts``.
    """
    named = headers.getlist("host")
    if len(named) != 1 or named[0] not in hosts:
        return "another host is meant"
    site = headers.get("sec-fetch-site", "none")
    if method in READS:
        # Following a link to the first page is all that another site may do: a search may cost money.
        is_visit = path == "/" and headers.get("sec-fetch-mode") == "navigate"
        return None if site in OWN_SITE or is_visit else "another site asks"
    origin = headers.get("origin")
    if origin not in {f"http://{host}" for host in hosts} or site not in OWN_SITE:
        return "only a page of this server may ask for that"
    return None


class Guard:
    """The layer.

    Args:
        application: what answers.
        port: that the server listens on.
    """

    def __init__(self, application: ASGIApp, port: int) -> None:
        self._application, self._hosts = application, allowed_hosts(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        why = refusal(scope["method"], scope["path"], Headers(scope=scope), self._hosts)
        answer = self._application if why is None else PlainTextResponse(why, status_code=403)
        await answer(scope, receive, send_with_headers)
