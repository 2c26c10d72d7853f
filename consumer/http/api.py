"""The application: its routes, what stands before them, and their documents."""

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse

from consumer import __version__
from consumer.http.counting import Answering, Counting
from consumer.http.downloads import Downloads
from consumer.http.errors import answer_errors
from consumer.http.guard import Guard
from consumer.http.health import health_router
from consumer.http.outside import Outside
from consumer.http.perspective import perspective_router
from consumer.http.predict import predict_router
from consumer.services import Services
from consumer.settings import Settings

OWN_PAGES = ("/", "/docs", "/openapi.json")
ASSETS = "/docs/assets"


def make_app(settings: Settings, services: Services, *, loopback: bool) -> FastAPI:
    """The application; `loopback` says that nobody but this machine can reach it."""
    # FastAPI's own telemetry is off: its spans hold the query, and its logs what an error says, a key or a text.
    # FastAPIOffline brings the files of /docs along, so that a browser needs nothing from elsewhere.
    app = FastAPIOffline(
        title="Comment moderation",
        version=__version__,
        description="What the comment moderation stream says of comments, asked one request at a time.",
        redoc_url=None,
        static_url=ASSETS,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.include_router(predict_router(settings, services), tags=["Comments"])
    app.include_router(perspective_router(settings, services))
    app.include_router(health_router(services), tags=["Operation"])

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def start() -> RedirectResponse:
        return RedirectResponse("docs")

    if settings.http_token.get_secret_value():
        _describe_token(app)
    answer_errors(app)
    services.metrics.expect_failures(path for path, methods in app.openapi()["paths"].items() if "post" in methods)
    # The innermost first.
    app.add_middleware(Outside, trusted=settings.http_trusted_proxies)
    app.add_middleware(Downloads, path=ASSETS)
    app.add_middleware(Guard, settings=settings, loopback=loopback)
    app.add_middleware(Answering)
    if settings.http_allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http_allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # Google's clients bring many of their own; none of them is believed
            allow_private_network=True,  # Chrome asks where a public page calls a private address
            expose_headers=["Retry-After", "WWW-Authenticate"],
        )
    app.add_middleware(Counting, metrics=services.metrics, routes=[*app.openapi()["paths"], *OWN_PAGES])
    return app


def _describe_token(app: FastAPI) -> None:
    """Say in the documents that what takes texts needs the token, which `Guard` looks at."""
    described = app.openapi()
    described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for operations in described["paths"].values():
        if "post" in operations:
            operations["post"]["security"] = [{"token": []}]
