#!/usr/bin/env python3
"""What of others is in our programs: their licences' texts, and bills of materials (CycloneDX 1.6).

third_party.py notices                          the texts, for all programs
third_party.py sbom PROGRAM                     a bill of the crates in a program
third_party.py locked                           a bill of all crates and npm packages that are locked, those that only build and test among them
third_party.py add-debian BILL PACKAGES.tsv     that bill with the Debian packages whose files are in an image
"""

import json
import subprocess
import sys
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("signaling", "pipeline-launcher")
FEATURES = "pipeline-launcher/v1_24,pipeline-launcher/rs"
TARGET = "x86_64-unknown-linux-gnu"
NOTICES = ("LICEN", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT")
ONNXRUNTIME = ("LICENSE", "ThirdPartyNotices.txt")


def crates(programs):
    """The packages that are compiled into the programs, of cargo's metadata: no build scripts', tests' or macros'."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={TARGET}", f"--features={FEATURES}"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, todo = {}, [id for id, package in packages.items() if package["name"] in programs and package["source"] is None]
    while todo:
        id = todo.pop()
        if id in found or any("proc-macro" in target["kind"] for target in packages[id]["targets"]):
            continue
        found[id] = packages[id]
        todo += [dep["pkg"] for dep in nodes[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def licence(package):
    """As an SPDX expression: `/` between two is what it was once written as."""
    return (package.get("license") or "NOASSERTION").replace("/", " OR ")


def component(ecosystem, name, package):
    purl = f"pkg:{ecosystem}/{urllib.parse.quote(name)}@{urllib.parse.quote(package['version'])}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": package["version"], "purl": purl,
            "licenses": [{"expression": licence(package)}]}


def bill(name, own, components):
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": name, "version": own["version"],
                                   "licenses": [{"expression": licence(own)}]}},
        "components": components,
    }


def sbom(program):
    found = crates([program])
    own = next(package for package in found if package["name"] == program)
    return bill(program, own, [component("cargo", package["name"], package) for package in found if package is not own])


def locked():
    command = ["cargo", "metadata", "--locked", "--format-version=1"]
    packages = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    own = next(package for package in packages if package["name"] == "signaling")
    parts = [component("cargo", package["name"], package) for package in packages if package["source"]]
    for path, package in json.loads((ROOT / "ui/package-lock.json").read_text())["packages"].items():
        # The first is the page itself; one may be there several times.
        if path:
            parts.append(component("npm", path.rpartition("node_modules/")[2], package))
    return bill("sightline", own, sorted({part["purl"]: part for part in parts}.values(), key=lambda part: part["purl"]))


def add_debian(bill, packages):
    for line in packages.splitlines():
        name, version, architecture, source = line.split("\t")
        purl = f"pkg:deb/debian/{name.split(':')[0]}@{version}?arch={architecture}&distro=debian-13"
        bill["components"].append({"type": "library", "bom-ref": purl, "name": name.split(":")[0], "version": version,
                                   "purl": purl, "properties": [{"name": "debian:source", "value": source}]})
    return bill


def notices():
    """Each text once, below the names of all that it belongs to."""
    texts = {}
    for package in crates(PROGRAMS):
        if package["source"] is None:
            continue
        folder = Path(package["manifest_path"]).parent
        files = sorted(file for file in folder.iterdir() if file.is_file() and file.name.upper().startswith(NOTICES))
        text = "\n\n".join(file.read_text(errors="replace").strip() for file in files)
        title = f"{package['name']} {package['version']} ({licence(package)}), {package['repository'] or 'no address'}"
        texts.setdefault(text or "The package has no text of its licence beside its name.", []).append(title)
    for folder in sorted((ROOT / "target/onnxruntime/venv").glob("lib/python3*/site-packages/onnxruntime")):
        for name in ONNXRUNTIME:
            texts.setdefault((folder / name).read_text(errors="replace").strip(), []).append(f"ONNX Runtime: {name}")
    font = ROOT / "gst-plugins/overlay/fonts/LICENSE-DejaVu"
    texts.setdefault(font.read_text(errors="replace").strip(), []).append("DejaVu Sans, the font of `overlay`")
    rule = "=" * 100
    pieces = ["Sightline's programs contain, or are shipped with, the following."]
    pieces += [f"{rule}\n" + "\n".join(titles) + f"\n{rule}\n\n{text}" for text, titles in sorted(texts.items(), key=lambda one: one[1])]
    return "\n\n".join(pieces) + "\n"


def main(verb, *arguments):
    match verb, arguments:
        case "notices", ():
            print(notices(), end="")
        case "sbom", (program,) if program in PROGRAMS:
            print(json.dumps(sbom(program), indent=1))
        case "locked", ():
            print(json.dumps(locked(), indent=1))
        case "add-debian", (file, packages):
            print(json.dumps(add_debian(json.loads(Path(file).read_text()), Path(packages).read_text()), indent=1))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 1 else sys.exit(__doc__)
