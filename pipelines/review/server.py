"""The review's web server: this machine only, nothing without the token, no path of anybody's.

Whoever knows the token may listen to the sample and judge it, and nothing else: sounds are asked
for by their number in the sample. Pages of other sites are kept out by the token, by the Host
header (a name that was made to lead here is not ours) and, for writing, by Origin and content type.
"""

import asyncio
import json
import secrets
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.pages import media
from pipelines.review import chart
from pipelines.review.estimates import DifferenceWindow
from pipelines.review.judgements import Stale
from pipelines.review.session import CRITERIA, Session, Wish
from pipelines.review.sound import LATEST_S, NAMES, PATIENCE_S, Excerpt
from stemlode.runs import BadUsage, reason
from stemlode.theme.document import THEME

HOST = "127.0.0.1"
HOSTS = {HOST, "localhost"}  # that a browser on this machine, or at a tunnel's end, may use
ASSETS = {
    "theme.css": "text/css",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "review.js": "text/javascript",
    "listening.js": "text/javascript",
    "player.js": "text/javascript",
    "thresholds.js": "text/javascript",
}
LARGEST_BODY = 4096  # bytes
POLL_S = 0.03  # seconds between two looks at whether a sound is ready, or still wanted
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses what does not come from our own page, and adds the headers that keep it so."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http":
            refusal = self._refusal(scope)
            await (refusal or self.app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host.partition(":")[0] not in HOSTS:
            return PlainTextResponse("not our name", 403)
        given = scope["path"].split("/")[1] if scope["path"].startswith("/") else ""
        if not secrets.compare_digest(given.encode(errors="replace"), self.token.encode()):
            return PlainTextResponse("not found", 404)
        if scope["method"] == "POST":
            if headers.get("origin", f"http://{host}") != f"http://{host}":
                return PlainTextResponse("not our page", 403)
            if headers.get("content-type", "").partition(";")[0] != "application/json":
                return PlainTextResponse("JSON is wanted", 415)
        return None


def application(session: Session, token: str, target: float) -> ASGIApp:
    """The whole site for one review, below /token/."""

    def page(request: Request) -> Response:
        html = (
            chart.environment()
            .get_template("page.html")
            .render(
                scored=session.scored,
                folder=session.run.output,
                count=len(session.sample.pairs),
                readable=len(session.sample.difference),
                stratified=len(session.sample.sizes) > 1,
                target=target,
                criteria=CRITERIA,
                highest_hz=int(media.HIGHEST_HZ),
            )
        )
        return HTMLResponse(html)

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(404)
        path = THEME if name == THEME.name else chart.TEMPLATES / name
        return Response(path.read_bytes(), media_type=ASSETS[name])

    def state(request: Request) -> Response:
        return JSONResponse(session.state(_wish(session, request, target)))

    def pair(request: Request) -> Response:
        return JSONResponse(session.pair(_index(session, request.path_params["index"])))

    async def excerpt(request: Request) -> Response:
        found = await _excerpt(session, request)
        return JSONResponse(
            {
                "start_s": found.start_s,
                "seconds": found.seconds,
                "errors": {name: sound.error for name, sound in found.sounds.items()},
            }
        )

    async def sound(request: Request) -> Response:
        name, kind = request.path_params["name"], request.path_params["kind"]
        if name not in NAMES or kind not in ("wav", "png"):
            raise HTTPException(404)
        found = (await _excerpt(session, request)).sounds[name]
        if found.error:
            raise HTTPException(404)
        if kind == "png":
            return Response(found.png, media_type="image/png")
        return Response(found.wav, media_type="audio/wav")

    def judge(body: dict[str, Any], wish: Wish) -> Response:
        session.judge(_index(session, body.get("index")), str(body.get("verdict")))
        return JSONResponse(session.state(wish))

    def undo(body: dict[str, Any], wish: Wish) -> Response:
        event = body.get("event")
        if not isinstance(event, int):
            raise ValueError("event: a whole number")
        index = session.undo(event)
        return JSONResponse(session.state(wish) | {"undone": index})

    def use(body: dict[str, Any], wish: Wish) -> Response:
        window = _window(body.get("low"), body.get("high"))
        if window is None or body.get("criterion") not in CRITERIA:
            raise ValueError("low, high, criterion: thresholds that make sense")
        used = session.use(window, body["criterion"], wish)
        print(f"\nthresholds are in {used['path']}; now run\n\n  {used['command']}\n", flush=True)
        return JSONResponse(used)

    def writing(act: Callable[[dict[str, Any], Wish], Response]) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            body = await _body(request)
            try:
                return await run_in_threadpool(act, body, _wish(session, request, target))
            except Stale:
                raise HTTPException(409, "somebody else has judged meanwhile") from None
            except ValueError as error:
                raise HTTPException(422, str(error)) from error
            except OSError as error:
                raise HTTPException(507, f"not saved: {reason(error)}") from error

        return endpoint

    routes = [
        Route("/", page),
        Route("/assets/{name}", asset),
        Route("/state", state),
        Route("/pairs/{index:int}", pair),
        Route("/pairs/{index:int}/{start:int}", excerpt),
        Route("/pairs/{index:int}/{start:int}/{name}.{kind}", sound),
        *(
            Route(f"/{name}", writing(act), methods=["POST"])
            for name, act in (("judge", judge), ("undo", undo), ("use", use))
        ),
    ]
    return Guard(Starlette(routes=[Mount(f"/{token}", routes=routes)]), token)


def listen(port: int) -> socket.socket:
    """A socket on the loopback, 0 for any free port; BadUsage where the port is taken."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # whoever opens the address at once waits instead of being refused
    except OSError as error:
        found.close()
        raise BadUsage(
            f"--port {port}: {reason(error)}; choose another, or leave it out for any that is free"
        ) from error
    return found


def serve(app: ASGIApp, at: socket.socket) -> None:
    """Answer until the process is told to end."""
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,  # it would print the token
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[at])


def _index(session: Session, value: object) -> int:
    if type(value) is not int or not 0 <= value < len(session.sample.pairs):
        raise HTTPException(404)
    return value


async def _excerpt(session: Session, request: Request) -> Excerpt:
    """Waits as long as somebody wants it: a page that has moved on hangs up."""
    index = _index(session, request.path_params["index"])
    start = request.path_params["start"]
    if start > LATEST_S:
        raise HTTPException(404)
    patience = time.monotonic() + PATIENCE_S
    with session.renderer.wanted(index, start) as rendered:
        while not rendered.done():
            if time.monotonic() > patience:
                seconds = f"{PATIENCE_S:g} s"
                raise HTTPException(503, f"not decoded within {seconds}")
            if await request.is_disconnected():
                raise HTTPException(503, "nobody waits for it")
            await asyncio.sleep(POLL_S)
        return rendered.result()


def _wish(session: Session, request: Request, target: float) -> Wish:
    """What a page's address asks for; what makes no sense counts as not said."""
    query = request.query_params
    wanted = _number(query.get("target"))
    current, chosen = query.get("current", ""), query.get("chosen", "")
    index = int(current) if current.isascii() and current.isdigit() and len(current) < 9 else -1
    return Wish(
        target=wanted if wanted is not None and 0 < wanted <= 1 else target,
        hand=_window(_number(query.get("low")), _number(query.get("high"))),
        chosen=chosen if chosen in CRITERIA else CRITERIA[0],
        current=index if 0 <= index < len(session.sample.pairs) else None,
    )


def _window(low: object, high: object) -> DifferenceWindow | None:
    values = [v for v in (low, high) if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(values) < 2 or not 0 <= values[0] <= values[1] <= sys.float_info.max:
        return None
    return DifferenceWindow(float(values[0]), float(values[1]))


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


async def _body(request: Request) -> dict[str, Any]:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > LARGEST_BODY:
            raise HTTPException(413)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise HTTPException(400) from None
    if not isinstance(found, dict):
        raise HTTPException(400)
    return found
