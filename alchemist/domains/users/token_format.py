"""The format of bearer tokens: `alc_`, 30 random characters, 6 characters of checksum."""

import re
import secrets
import string
from hashlib import sha256
from zlib import crc32

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
TOKEN_PATTERN = re.compile(r"alc_[0-9A-Za-z]{36}")


def generate() -> str:
    """Return a new secret of 178 random bits. Its prefix lets scanners find leaked tokens."""
    random = "".join(secrets.choice(ALPHABET) for _ in range(30))
    return f"alc_{random}{_checksum(random)}"


def is_well_formed(token: str) -> bool:
    """Return whether the text has the format and the checksum of a token."""
    return bool(TOKEN_PATTERN.fullmatch(token)) and token[34:] == _checksum(token[4:34])


def digest(token: str) -> str:
    """Return the SHA-256 that is stored: a random secret of this length needs no slow hash."""
    return sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    """Return the CRC-32 of the text in base 62, as 6 digits."""
    number, digits = crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits
