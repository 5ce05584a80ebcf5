"""The manifest for Kubernetes fits the schemas of Kubernetes, and its parts fit each other."""

import copy
import re
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.doubles.triton_server import SERVER, require_server

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "configs/kubernetes/triton.yaml"
VERSIONS = ("1.30", "1.34", kubernetes_validate.latest_version())
OBJECTS: dict[str, Any] = {
    document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())
}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_fit_the_schemas(kind: str, version: str) -> None:
    kubernetes_validate.validate(OBJECTS[kind], version, strict=True)


def test_a_misspelt_field_does_not_fit() -> None:
    broken = copy.deepcopy(OBJECTS["Deployment"])
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_service_and_policy_select_the_pods() -> None:
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels


def test_named_ports_volumes_and_claims_exist() -> None:
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    rules = OBJECTS["NetworkPolicy"]["spec"]["ingress"]
    named = [port["targetPort"] for port in OBJECTS["Service"]["spec"]["ports"]]
    named += [port["port"] for rule in rules for port in rule["ports"]]
    named += [CONTAINER[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness")]
    assert set(named) <= set(ports)
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {
        volume["name"] for volume in POD["volumes"]
    }
    claim = POD["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == OBJECTS["PersistentVolumeClaim"]["metadata"]["name"]


def test_the_stations_of_the_example_reach_it() -> None:
    line = yaml.safe_load((ROOT / "configs/line/triton.yaml").read_text())
    server = line["engine"]["server"]
    service = OBJECTS["Service"]["spec"]
    block = OBJECTS["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]["ipBlock"]["cidr"]
    assert server["port"] == service["ports"][0]["port"]
    for network in [block, *service["loadBalancerSourceRanges"]]:
        assert ip_address(server["host"]) in ip_network(network)


def test_the_server_knows_every_argument() -> None:
    require_server()
    binary = str(SERVER / "bin/tritonserver")
    called = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^\s+(--[a-z-]+)", called.stdout + called.stderr, re.MULTILINE))
    assert {argument.partition("=")[0] for argument in CONTAINER["args"]} <= known
