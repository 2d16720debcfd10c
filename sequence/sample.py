"""Fetches the real sample that the demo runs on: 9.7 minutes of GDAX BTC-USD, every order, with the book before it.

It is test data of the Python package orderbookmdp 0.1.2 (MIT, (c) 2018 Olle Dahlen). pip fetches its source archive
from whichever index the user's pip is set up with, and checks the digest before it looks inside.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from bundles.canonical import digest_of
from bundles.errors import UnreachableError

PACKAGE: Final = "orderbookmdp"
VERSION: Final = "0.1.2"
SHA256: Final = "b873b5b648e6fd86def81f919f694d891156e17eae3685a10ab6ba818a2b9ef5"

BOOK: Final = "beginning_level_3.json"
MESSAGES: Final = "messages.json"

_TIMEOUT_S: Final = 120


def fetch_sample(cache: Path) -> tuple[Path, Path]:
    """Return the paths of the start book and of the messages, fetching the archive if the cache lacks it.

    Raises:
        UnreachableError: when the archive cannot be had, or is another one.

    """
    archive = cache / f"{PACKAGE}-{VERSION}.tar.gz"
    if not archive.is_file() or digest_of(archive.read_bytes()) != f"sha256:{SHA256}":
        cache.mkdir(parents=True, exist_ok=True)
        _download(archive)
    return _extract(archive, BOOK), _extract(archive, MESSAGES)


def _download(archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
        options = ["--quiet", "--no-deps", "--no-binary", PACKAGE, "--require-hashes", "--disable-pip-version-check"]
        command = [*_pip(), "download", *options, "--dest", folder, "--requirement", str(wanted)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnreachableError(f"pip could not fetch {PACKAGE} {VERSION}: {error}.") from error
        fetched = Path(folder) / archive.name
        if done.returncode or not fetched.is_file():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UnreachableError(f"pip could not fetch {PACKAGE} {VERSION}: {reason}")
        if digest_of(fetched.read_bytes()) != f"sha256:{SHA256}":
            raise UnreachableError(f"What pip fetched as {archive.name} is another archive than the one with {SHA256}.")
        fetched.replace(archive)


def _pip() -> list[str]:
    """Return the pip of this interpreter, or else the one on PATH."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    return [shutil.which("pip") or shutil.which("pip3") or "pip"]


def _extract(archive: Path, name: str) -> Path:
    """Write one file of the archive beside it and return its path; no name of the archive becomes a path."""
    with tarfile.open(archive) as content:
        member = content.extractfile(f"{PACKAGE}-{VERSION}/tests/testdata/{name}")
        if member is None:
            raise UnreachableError(f"{archive} holds no {name}. Remove it, so that it is fetched again.")
        target = archive.parent / name
        target.write_bytes(member.read())
    return target
