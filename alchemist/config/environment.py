"""The variables of the environment: those of `.env`, and those that name the file of a secret."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from os import environ
from pathlib import Path

import dotenv


class ConfigurationError(Exception):
    """Every error of the configuration: one line each, which begins with its variable or file."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def env_name(name: str) -> str:
    return name.upper() if name == "database_url" else f"ALCHEMIST_{name.upper()}"


def file_variable_name(name: str) -> str:
    """Return the variable that names the file with the value of another variable."""
    return f"{name}_FILE"


def load_dotenv() -> None:
    """Set the variables of `.env` in the current directory that the environment lacks."""
    try:
        dotenv.load_dotenv(stream=StringIO(Path(".env").read_text("utf-8-sig")))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError([f".env: Cannot be read ({error.strerror})."]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([".env: Must be UTF-8."]) from error
    except ValueError as error:
        # A NUL byte, or a name with "=": the operating system accepts neither.
        raise ConfigurationError([f".env: Must be variables and values ({error})."]) from error


@contextmanager
def secrets_from_files(names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Set variables to the contents of their files during the block; yield the errors by name."""
    errors, contents = {}, {}
    for name in names:
        if path := environ.get(file_variable_name(name)):
            try:
                contents[name] = _read_secret(name, Path(path))
            except ValueError as error:
                errors[name] = str(error)
    environ.update(contents)
    try:
        yield errors
    finally:
        for name in contents:
            del environ[name]


def _read_secret(name: str, path: Path) -> str:
    """Return the text of a file without white space at its ends; raise ValueError."""
    if name in environ:
        raise ValueError(f"Set either it or {name}.")
    try:
        text = path.read_text("utf-8-sig").strip()
    except OSError as error:
        raise ValueError(f"Cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ValueError("The file must be UTF-8.") from error
    if not text or "\0" in text:
        raise ValueError(f"The file must have a value{' without NUL' if text else ''}.")
    return text
