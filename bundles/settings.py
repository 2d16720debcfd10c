"""Where things are kept and who is at the keyboard.

Flags beat the environment, which beats ``~/.sequence/config.toml``, which beats the defaults.
Imports nothing heavy: every command reads its settings first.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bundles.errors import InvalidInputError, MalformedDocumentError

_VARIABLES: Final = {
    "store": "SEQUENCE_STORE",
    "s3_endpoint": "SEQUENCE_S3_ENDPOINT",
    "data": "SEQUENCE_DATA",
    "coordinator_url": "SEQUENCE_COORDINATOR_URL",
    "api_key": "SEQUENCE_API_KEY",
    "user": "SEQUENCE_USER",
    "runner": "SEQUENCE_RUNNER",
    "runner_key": "SEQUENCE_RUNNER_KEY",
    "prefect_api_url": "PREFECT_API_URL",
}
"""Key in config.toml, and the environment variable that beats it."""


@dataclass(frozen=True)
class Settings:
    """What a command needs to know about its surroundings."""

    store: str
    """URL of the store: ``file:///…`` or ``s3://bucket/prefix``."""
    data_root: Path
    """Where tapes lie (hive layout)."""
    s3_endpoint: str | None = None
    coordinator_url: str | None = None
    prefect_api_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    configured_user: str | None = None
    configured_runner: str | None = None
    runner_key: Path = field(default_factory=lambda: Path.home() / ".sequence" / "runner_key")
    """The key that signs this machine's evaluations; it is made when it is first needed."""

    @property
    def user(self) -> str:
        """Who acts: the configured user, else git's ``user.email``, else the login name."""
        return self.configured_user or _git_email() or f"{getpass.getuser()}@local"

    @property
    def runner(self) -> str:
        """Who runs evaluations here, by the name of the roster: the configured runner, else the user."""
        return self.configured_runner or self.user


def load_settings(
    *,
    store: str | None = None,
    s3_endpoint: str | None = None,
    data: str | None = None,
    environ: Mapping[str, str] | None = None,
    config_path: Path | None = None,
) -> Settings:
    """Combine flags (the arguments), environment, config file and defaults.

    Raises:
        InvalidInputError: when config.toml is not TOML or has a key or a type that is not known, or when a value
            cannot be what it should be: an address, a key, a place.

    """
    environ = os.environ if environ is None else environ
    home = Path.home() / ".sequence"
    values: dict[str, str] = _read_config(config_path or home / "config.toml")
    values.update({key: environ[name] for key, name in _VARIABLES.items() if environ.get(name)})
    flags = {"store": store, "s3_endpoint": s3_endpoint, "data": data}
    values.update({key: value for key, value in flags.items() if value})
    _check(values)
    return Settings(
        store=_store_url(values.get("store", str(home / "store"))),
        data_root=Path(values.get("data", str(home / "data"))).expanduser().absolute(),
        s3_endpoint=values.get("s3_endpoint"),
        coordinator_url=values.get("coordinator_url"),
        prefect_api_url=values.get("prefect_api_url"),
        api_key=values.get("api_key"),
        configured_user=values.get("user"),
        configured_runner=values.get("runner"),
        runner_key=Path(values.get("runner_key", str(home / "runner_key"))).expanduser().absolute(),
    )


def _check(values: Mapping[str, str]) -> None:
    """Refuse values that would fail later, when something has been written already."""
    for key in ("store", "data", "runner_key"):
        if "\0" in unquote(values.get(key, "")):
            raise InvalidInputError(f"{_VARIABLES[key]} ({key} in config.toml) holds a NUL character. Set it again.")
    url = values.get("coordinator_url")
    if url is not None and not _is_web_address(url):
        raise InvalidInputError(
            f"The coordinator's address {url!r} is not an http or https URL with a host. "
            "Set SEQUENCE_COORDINATOR_URL (coordinator_url in config.toml) to one such as https://coordinator.example."
        )
    api_key = values.get("api_key", "-")
    if not (api_key.isascii() and api_key.isprintable()):
        raise InvalidInputError(
            "SEQUENCE_API_KEY (api_key in config.toml) holds characters that a header cannot carry. Set it again."
        )


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _port = parts.port  # raises where it is no number
    except ValueError:
        return False
    sound = url.isprintable() and " " not in url
    return sound and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _store_url(given: str) -> str:
    """Turn a directory's path, or ``file://~/…``, into a URL; leave other URLs alone."""
    path = given.removeprefix("file://") if given.startswith("file://~") else given
    return path if "://" in path else Path(path).expanduser().absolute().as_uri()


def _read_config(path: Path) -> dict[str, str]:
    if not path.exists():
        blocked = next((folder for folder in path.parents if folder.is_file()), None)
        if blocked is None:
            return {}
        raise InvalidInputError(f"{blocked} is a file where a folder should be. Move it away.")
    text, values = read_toml(path)
    for key, value in values.items():
        place = f"{path}, line {line_of(text, key)}"
        if key not in _VARIABLES:
            raise MalformedDocumentError(
                f"{place}: unknown key {key!r}. Remove it; known keys are {', '.join(sorted(_VARIABLES))}."
            )
        if not isinstance(value, str):
            raise MalformedDocumentError(f'{place}: {key!r} must be a string. Write {key} = "…".')
    return values


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the text and the values of a TOML file.

    Raises:
        MalformedDocumentError: when it cannot be read, or is not TOML.

    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise MalformedDocumentError(
            f"{path} cannot be read: {error.strerror}. Make it a file that can, or remove it."
        ) from error
    except UnicodeDecodeError as error:
        raise MalformedDocumentError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise MalformedDocumentError(f"{path} is not valid TOML: {error}. Correct it or remove the file.") from error


def line_of(toml_text: str, key: str) -> int:
    """Return the first line (from 1) that sets a key or opens a table of that name; 1 where none does."""
    for number, line in enumerate(toml_text.splitlines(), start=1):
        name = line.strip().lstrip("[").split("=")[0].split("]")[0].strip().strip("\"'")
        if name == key or name.startswith(f"{key}."):
            return number
    return 1


def _git_email() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "config", "user.email"],  # noqa: S607 -- the git that the user has on PATH
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
