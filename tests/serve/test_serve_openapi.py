"""The API keeps its own OpenAPI document (schemathesis), and the client fits it."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from painted import picture_file
from pydantic import BaseModel
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import Running

from neuralcodes.serve.client import Client, ServiceError

METHODS = ("get", "post", "put", "delete", "patch")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def document(served: Running) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{served.address}/openapi.json", timeout=120).json()
    return answer


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


@pytest.mark.timeout(900)
def test_every_operation_keeps_the_document(place: Path, document: dict[str, Any]) -> None:
    """Generated requests, good and bad: no 500, no status or body that is not in the document."""
    running = Running(place)
    running.wait_ready()  # /readyz answers 503 until then, as it should
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=running.address)
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            strategy = operation.as_strategy(generation_mode=mode)

            @settings(
                max_examples=4,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy)
            def check(case: Any) -> None:
                nonlocal tried
                tried += 1
                case.call_and_validate(checks=CHECKS, timeout=30)

            try:
                check()
            except schemathesis.errors.SchemathesisError:
                raise
            except Exception as error:
                if "Unsatisfiable" in type(error).__name__:  # nothing to get wrong there
                    continue
                raise
    assert tried > 80
    assert "Traceback" not in running.log(), running.log()
    assert running.stop() == 0


def test_the_client_has_every_operation_with_its_types(document: dict[str, Any]) -> None:
    seen = set()
    for path, _, operation in operations(document):
        name = operation["operationId"]
        seen.add(name)
        method = getattr(Client, name)
        parameters = set(inspect.signature(method).parameters) - {"self"}
        wanted = {one["name"] for one in operation.get("parameters", [])}
        assert wanted <= parameters, (path, wanted - parameters)
        success = next(a for s, a in operation["responses"].items() if s.startswith("2"))
        kinds = success.get("content", {})
        returned = typing.get_type_hints(method)["return"]
        reference = kinds.get("application/json", {}).get("schema", {}).get("$ref", "")
        if reference:
            assert issubclass(returned, BaseModel), name
            assert reference.rpartition("/")[2] == returned.__name__, name
            described = document["components"]["schemas"][returned.__name__]
            own = returned.model_json_schema(mode="serialization")
            assert set(described["properties"]) == set(own["properties"]), name
        elif "image/jpeg" in kinds:
            assert returned is bytes, name
    public = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if name[0] != "_"}
    assert public - seen == {"close", "wait"}


def test_every_operation_says_how_it_refuses(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if path.startswith("/api/"):
            codes = set(operation["responses"])
            assert {"400", "401", "403", "404", "413", "422", "429", "503"} <= codes, (path, method)
            problem = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert problem["$ref"].endswith("/Problem")
            assert operation["summary"] and operation["description"]


def test_the_client_does_what_it_says(served: Running, tmp_path: Path) -> None:
    """Each method once, on a service of its own process."""
    with Client(served.address) as client:
        served.wait_ready()
        assert client.health().status == "ok" and client.ready().ready
        near = client.search([1], k=3, filter='label == "a"', crop=(0, 0, 0.5, 0.5))
        assert len(near.matches) == 3 and {m.image.label for m in near.matches} == {"a"}
        (tmp_path / "new.jpg").write_bytes(picture_file(6000))
        added = client.add([tmp_path / "new.jpg", picture_file(6001)], {"by": "me"})
        ids = [one.id for one in added.images]
        assert client.image(ids[0]).metadata == {"by": "me"}
        upload = client.upload(tmp_path / "new.jpg")
        assert upload.images == ids[:1]
        assert client.search(upload=[upload.id]).matches[0].image.id == ids[0]
        assert client.upload_thumbnail(upload.id)[:2] == b"\xff\xd8"
        assert client.thumbnail(ids[0], 320)[:2] == b"\xff\xd8"
        lines = list(client.search_batch([near_query(1), near_query(ids[1])]))
        assert [line.answer.asked[0].id for line in lines if line.answer] == [1, ids[1]]
        page = client.images(after=ids[0] - 1, k=1)
        assert page.images[0].id == ids[0] and page.next == ids[0]
        explained = client.explain(ids[0], by=1)
        assert (len(explained.image), len(explained.image[0])) == (explained.rows, 4)
        assert client.explanation_picture(ids[0], "image", upload=upload.id)[:2] == b"\xff\xd8"
        assert client.remove(ids[:1]).removed == client.remove_one(ids[1]).removed == 1
        assert client.info().images == 30 and client.bad().files == []
        columns = [facet.column for facet in client.facets().facets]
        assert columns == ["label", "folder", "kind", "by"]
        job = client.wait(client.start_job("sync").id)
        assert job.state == "done" and job in client.jobs().jobs
        assert client.stop_job(job.id).state == "done"
        assert client.duplicates().state == "absent" and client.export_duplicates() == []
        with pytest.raises(ServiceError) as refused:
            client.choose("0" * 64, "skip")
        assert (refused.value.status, refused.value.error) == (404, "not_found")
        assert "neuralcodes_requests_total" in client.metrics()


def near_query(number: int) -> Any:
    from neuralcodes.serve.models import Search

    return Search(id=[number], k=2)
