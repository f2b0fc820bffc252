"""Owns what every table of the configuration has in common, and the types of its values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

DAYS_MAX = 36_500


def _listed(value: object) -> object:
    if not isinstance(value, str | list | tuple):
        raise ValueError("must be text, or a list of texts")  # noqa: TRY004  pydantic collects these
    return (value,) if isinstance(value, str) else value


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Text = Annotated[str, AfterValidator(_filled)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]  # TOML has lists, and no tuples
Words = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(strict=False)]


class Section(BaseModel):
    """One table of the file: frozen, strict, and a mistake for every key that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )
