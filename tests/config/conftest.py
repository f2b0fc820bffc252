import sys
import textwrap

import pytest

from ownerreportd import locate

CHANNEL = """
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from ownerreportd.core.channel import Capabilities
from ownerreportd.core.errors import ConfigError


class PigeonOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    api_base: str = "https://pigeon.example"
    flights: int = Field(default=1, ge=1, le=9)
    loud: bool = False
    feathers: tuple[str, ...] = Field(default=(), strict=False)
    from_: str = Field(default="", alias="from", max_length=9, description="whence it flies")


class Pigeon:
    Options = PigeonOptions
    capabilities = Capabilities(text_max=100)
    secret_names = ("token",)
    optional_secret_names = ("ring",)
    default_in_doubt = "hold"

    @staticmethod
    def check_target(target):
        if not target.startswith("loft:"):
            raise ConfigError(f"target {target!r} is no loft", hint="use loft:NAME")
        return target.lower()


class Crow(Pigeon):
    capabilities = Capabilities(text_max=100, proof="accepted")
    secret_names = ()
    default_in_doubt = "resend"
"""


@pytest.fixture(autouse=True)
def channels(tmp_path, monkeypatch):
    """Two channels, installed as any author would; `broken` cannot be imported."""
    site = tmp_path / "site"
    info = site / "lofts-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "lofts_of_tests.py").write_text(CHANNEL)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lofts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        textwrap.dedent("""
        [ownerreportd.channels]
        pigeon = lofts_of_tests:Pigeon
        crow = lofts_of_tests:Crow
        broken = lofts_of_tests_missing:Nothing
        """)
    )
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("lofts_of_tests", None)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A machine of its own: home, /etc and /run below the temporary directory."""
    for name in ("home", "etc", "run", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(locate, "ETC", tmp_path / "etc")
    monkeypatch.setattr(locate, "CREDSTORE", tmp_path / "credstore")
    monkeypatch.setattr(locate, "RUN", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def env(place):
    return {"HOME": str(place / "home")}


@pytest.fixture
def write(place):
    def write(text, name="home/.config/ownerreportd/config.toml", mode=0o600):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        path.chmod(mode)
        return path

    return write
