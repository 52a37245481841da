#!/usr/bin/env python3
"""Makes sure that a model of models.toml is there: looks for it, else downloads it into models/.

Exits with 0 also if it cannot be had: the launcher then says so, and runs with the built-in test model.
"""

import hashlib
import os
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "models"
TIMEOUT_SECS = 10


def is_good(path, entry):
    if not path.is_file():
        return False
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest in [entry["sha256"], *entry.get("also_sha256", [])]:
        return True
    print(f"warning: {path} is not the model that models.toml means (sha256 {digest}); it is not used", file=sys.stderr)
    return False


def download(url, target, deadline):
    """Writes to a temporary file first, so that a broken download is never taken for a model."""
    part = target.with_suffix(".part")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECS) as response, part.open("wb") as file:
            while chunk := response.read(1 << 16):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {TIMEOUT_SECS} s")
                file.write(chunk)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def main(name):
    models = tomllib.loads((HOME / "models.toml").read_text())["models"]
    if name.endswith(".onnx"):
        return
    if name not in models:
        sys.exit(f"error: there is no model `{name}` in {HOME / 'models.toml'}: it names {', '.join(models)}")
    entry = models[name]
    folders = [HOME, ROOT.parent / "shared/data/models"]
    if extra := os.environ.get("SIGHTLINE_MODEL_DIR"):
        folders.insert(0, Path(extra))
    for folder in folders:
        if is_good(folder / entry["file"], entry):
            print(f"Model {name}: {folder / entry['file']}")
            return
    print(f"Fetching the model {name} from {entry['url']}")
    target = HOME / entry["file"]
    try:
        download(entry["url"], target, time.monotonic() + TIMEOUT_SECS)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        print(f"warning: the model {name} could not be fetched ({reason}).", file=sys.stderr)
        print(f"         Put {entry['file']} into models/, or its folder into SIGHTLINE_MODEL_DIR.", file=sys.stderr)
        return
    if not is_good(target, entry):
        target.unlink()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "yolox_nano")
