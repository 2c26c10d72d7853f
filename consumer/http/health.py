"""`GET /healthz`, `/readyz` and `/metrics`: for whoever runs this. They need no token, and answer while others wait."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from consumer.health import Report
from consumer.services import Services


class HealthBody(BaseModel):
    """How this process is."""

    status: Literal["ok", "degraded", "failing"] = Field(
        description="`degraded`: it does its work, and a person should look at the warnings."
    )
    problems: dict[str, str] = Field(description="What is wrong, by part.")
    warnings: dict[str, str] = Field(description="What a person should know, by part.")


def health_router(services: Services) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Is it alive?", response_model=HealthBody, responses={503: {"model": HealthBody}})
    async def healthz() -> Response:
        """Is every part of this process alive and moving? If not, restart it."""
        return _answer(services.health.live())

    @router.head("/readyz", include_in_schema=False)
    @router.get(
        "/readyz", summary="May it be given work?", response_model=HealthBody, responses={503: {"model": HealthBody}}
    )
    async def readyz() -> Response:
        """May this process be given work?"""
        return _answer(services.health.readiness())

    # Not async: FastAPI then runs it in a thread, and not in one of those that texts are looked up in.
    @router.head("/metrics", include_in_schema=False)
    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    def metrics(request: Request) -> Response:
        """What has happened and how it is, for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(services.metrics.registry), headers={"Content-Type": content_type})

    return router


def _answer(report: Report) -> Response:
    status: Literal["ok", "degraded", "failing"] = "ok" if report.ok else "failing"
    if report.ok and report.warnings:
        status = "degraded"
    body = HealthBody(status=status, problems=report.problems, warnings=report.warnings)
    return Response(
        body.model_dump_json(),
        200 if report.ok else 503,
        {"Cache-Control": "no-store"},
        media_type="application/json",
    )
