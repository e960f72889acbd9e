"""Put a version of Swagger UI into the package: `python -m docs.swagger_ui 5.35.0`. Needs npm, and the network."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "service" / "http" / "docs_assets"
COMPRESSED = ("swagger-ui-bundle.js", "swagger-ui.css")
"""What the page loads, kept as it is served."""
_AS_THEY_ARE = ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt")


def fetch(version: str) -> None:
    """Replace the assets by those of a version of the npm package swagger-ui-dist, and write down which they are."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("There is no npm: install Node.js, or take the assets that are there.")
    with tempfile.TemporaryDirectory() as made:
        packed = subprocess.run(  # noqa: S603 - the version is the caller's own
            [npm, "pack", "--silent", f"swagger-ui-dist@{version}"],
            cwd=made,
            check=True,
            capture_output=True,
            text=True,
        )
        with tarfile.open(Path(made) / packed.stdout.strip()) as archive:
            archive.extractall(made, filter="data")
        package = Path(made) / "package"
        lines = [f"swagger-ui-dist {version}, from npm. SHA-256 of its files, uncompressed:"]
        for name in COMPRESSED:
            content = (package / name).read_bytes()
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}")
            (ASSETS / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        for name in _AS_THEY_ARE:
            shutil.copy(package / name, ASSETS / name)
        (ASSETS / "SOURCE").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    fetch(sys.argv[1])
