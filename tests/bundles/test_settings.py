"""Settings: which source wins, and what is refused."""

from pathlib import Path

import pytest

from bundles.errors import MalformedDocumentError
from bundles.settings import load_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('store = "s3://from-file/x"\ns3_endpoint = "http://file"\ndata = "/from/file"\n')
    return path


def test_flags_beat_environment_beats_file_beats_defaults(config: Path, tmp_path: Path) -> None:
    def settings(**arguments: str) -> tuple[str, str | None, str]:
        environ = {"SEQUENCE_STORE": "s3://from-env/x", "SEQUENCE_S3_ENDPOINT": ""}
        loaded = load_settings(environ=environ, config_path=config, **arguments)  # type: ignore[arg-type]
        return loaded.store, loaded.s3_endpoint, str(loaded.data_root)

    assert settings() == ("s3://from-env/x", "http://file", "/from/file")
    assert settings(store="s3://flag/x", data="/flag") == ("s3://flag/x", "http://file", "/flag")
    defaults = load_settings(environ={}, config_path=tmp_path / "absent.toml")
    assert defaults.store == f"file://{Path.home()}/.sequence/store"
    assert defaults.data_root == Path.home() / ".sequence" / "data"


def test_home_and_relative_directories_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    absent = tmp_path / "absent.toml"
    assert load_settings(store="file://~/s", environ={}, config_path=absent).store == f"file://{Path.home()}/s"
    assert load_settings(store="here", environ={}, config_path=absent).store == f"file://{tmp_path}/here"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('store = "x"\nstroe = "y"\n', "line 2: unknown key 'stroe'"),
        ("\n\ndata = 3\n", "line 3: 'data' must be a string"),
        ('[edge]\nname = "x"\n', "line 1: unknown key 'edge'"),
        ("store = ", "not valid TOML"),
    ],
)
def test_config_errors_name_the_place(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(MalformedDocumentError, match=expected) as caught:
        load_settings(environ={}, config_path=path)
    assert str(path) in str(caught.value)


def test_user_is_configured_else_gits_else_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "absent.toml"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "quant")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert load_settings(environ={"SEQUENCE_USER": "jane@firm"}, config_path=absent).user == "jane@firm"
    assert load_settings(environ={}, config_path=absent).user == "quant@local"
    (tmp_path / "gitconfig").write_text("[user]\n\temail = git@firm\n")
    assert load_settings(environ={}, config_path=absent).user == "git@firm"


def test_the_key_is_never_shown(tmp_path: Path) -> None:
    settings = load_settings(environ={"SEQUENCE_API_KEY": "seq_live_secret"}, config_path=tmp_path / "absent.toml")
    assert settings.api_key == "seq_live_secret"
    assert "seq_live_secret" not in repr(settings)
