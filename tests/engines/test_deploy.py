"""What is in deploy/ is whole and fits what the package needs, as far as that can be seen here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from neuralcodes.index.milvus import MilvusIndex

yaml = pytest.importorskip("yaml", reason="Ray brings it")
DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def test_the_ray_cluster_fits_rays_own_schema() -> None:
    ray = pytest.importorskip("ray", reason="needs neuralcodes[cluster]")
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    cluster = read("ray/cluster.yaml")
    jsonschema.validate(cluster, json.loads(schema.read_text()))
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert "neuralcodes[cluster]" in " ".join(cluster["setup_commands"])


def test_the_compose_file_names_only_what_it_has() -> None:
    compose = read("milvus/compose.yaml")
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"]
        assert re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"])  # a version, never the latest
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "healthcheck" in service
    hosts = services["milvus"]["environment"]
    assert hosts["ETCD_ENDPOINTS"].split(":")[0] in services
    assert hosts["MINIO_ADDRESS"].split(":")[0] in services
    assert "PASSWORD:?" in (DEPLOY / "milvus" / "compose.yaml").read_text()  # none is built in


def test_docker_reads_the_compose_file() -> None:
    docker = shutil.which("docker")
    asked = [docker or "", "compose"]
    if docker is None or subprocess.run([*asked, "version"], check=False).returncode:
        pytest.skip("no docker compose here")
    done = subprocess.run(
        [*asked, "--file", DEPLOY / "milvus" / "compose.yaml", "config", "--quiet"],
        env={**os.environ, "MINIO_USER": "me", "MINIO_PASSWORD": "a password"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_helm_values_have_room_for_what_they_promise() -> None:
    values = read("milvus/values.yaml")
    nodes = values["queryNode"]
    amount = nodes["resources"]["requests"]["memory"]
    room = nodes["replicas"] * int(amount[:-2]) * UNITS[amount[-2:]]
    assert room > 1.3 * MilvusIndex.server_bytes(10**8, 128)
    assert yaml.safe_load(values["extraConfigFiles"]["user.yaml"])["common"]["security"]
