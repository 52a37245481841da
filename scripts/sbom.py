#!/usr/bin/env python3
"""What Sightline is made of, as a CycloneDX 1.6 document on standard output: the crates and npm packages that are locked."""

import json
import pathlib
import subprocess
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent


def component(ecosystem, name, version, licence):
    url = f"pkg:{ecosystem}/{urllib.parse.quote(name, safe='/')}@{urllib.parse.quote(version)}"
    made = {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
    if licence:
        made["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    return made


def crates():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    for package in metadata["packages"]:
        if package["source"]:
            yield component("cargo", package["name"], package["version"], package["license"])


def npm_packages():
    lock = json.loads((ROOT / "ui/package-lock.json").read_text())
    for path, package in lock["packages"].items():
        if path:
            name = path.rpartition("node_modules/")[2]
            yield component("npm", name, package["version"], package.get("license"))


def main():
    workspace = (ROOT / "Cargo.toml").read_text().partition("[workspace.package]")[2]
    version = workspace.partition('version = "')[2].partition('"')[0]
    parts = {part["bom-ref"]: part for part in [*crates(), *npm_packages()]}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "sightline", "version": version}},
        "components": [parts[reference] for reference in sorted(parts)],
    }
    print(json.dumps(document, indent=1))


main()
