"""What is in deploy/ is whole and fits what the package needs, as far as that can be seen here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neuralcodes.engines import ray_engine
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of modules of Ray
def test_rays_launcher_takes_the_cluster_and_its_words() -> None:
    pytest.importorskip("ray", reason="needs neuralcodes[cluster]")
    from ray.autoscaler._private.util import prepare_config, validate_config
    from ray.scripts.scripts import start

    cluster = prepare_config(read("ray/cluster.yaml"))  # with the launcher's own defaults
    validate_config(cluster)
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        stop, begin = cluster[commands]
        assert stop == "ray stop"
        words = shlex.split(begin)
        names = [word.partition("=")[0] for word in words[: words.index("ray")]]
        assert names == [f"RAY_{name}" for name in ray_engine.SETTINGS]
        begun = start.make_context("start", words[words.index("start") + 1 :])  # parses, no more
        assert begun.params["head"] == (commands == "head_start_ray_commands")


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


def test_the_compose_file_fits_the_specification() -> None:
    specification = pytest.importorskip("compose_spec", reason="a reader of compose files")
    text = (DEPLOY / "milvus" / "compose.yaml").read_text()
    found = specification.PyCompose.from_yaml(text)  # ValueError for what it does not know
    found.validate()
    assert set(found.service_names()) == {"etcd", "minio", "milvus"}
    with pytest.raises(ValueError, match="healthchek"):
        specification.PyCompose.from_yaml(text.replace("healthcheck", "healthchek"))


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


def test_the_chart_takes_the_helm_values() -> None:
    """Helm's own code renders the chart; Kubernetes' schemas take what comes out."""
    place = os.environ.get("NEURALCODES_MILVUS_CHART")
    if not place:
        pytest.skip("needs the chart zilliztech/milvus: set NEURALCODES_MILVUS_CHART to its place")
    helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk")
    kubernetes = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    values = read("milvus/values.yaml")
    with helm.Chart.load(place) as chart:
        assert f"--version {chart.version} " in (DEPLOY / "milvus" / "values.yaml").read_text()
        known = chart.values
        files = chart.render(values, name="milvus", namespace="default")
    assert not list(unknown(values, known))
    made = {}
    for name, text in files.items():
        for one in [] if name.endswith("NOTES.txt") else yaml.safe_load_all(text):
            if one:
                kubernetes.validate(one, "1.30", strict=True)
                made[one["kind"], one["metadata"]["name"]] = one.get("spec", one)
    for part in ("queryNode", "dataNode", "streamingNode", "proxy"):
        spec = made["Deployment", f"milvus-{part.lower()}"]
        assert spec["replicas"] == values[part]["replicas"]
        held = spec["template"]["spec"]["containers"][0]["resources"]
        assert held == values[part].get("resources", {})
    assert "authorizationEnabled: true" in made["ConfigMap", "milvus"]["data"]["user.yaml"]


def unknown(values: dict[str, Any], known: dict[str, Any], at: str = "") -> Iterator[str]:
    """What is set that the chart has not, or has switched off."""
    for name, value in values.items():
        if name not in known:
            yield at + name
        elif isinstance(value, dict) and isinstance(known[name], dict) and known[name]:
            if {**known[name], **value}.get("enabled") is False and len(value) > 1:
                yield f"{at}{name}, which is not enabled"
            yield from unknown(value, known[name], f"{at}{name}.")
