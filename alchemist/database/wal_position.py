"""Positions in the write-ahead log of PostgreSQL, as clients and standbys name them."""

import re
from typing import NamedTuple, Self

POSITION_PATTERN = re.compile(r"([0-9]{1,10})-([0-9A-F]{1,8})/([0-9A-F]{1,8})")


class WalPosition(NamedTuple):
    """A position in the write-ahead log: the timeline, and the bytes before it (LSN).

    The timeline tells apart what a former primary wrote, and what its successor did.
    """

    timeline: int
    lsn: int

    def __str__(self) -> str:
        return f"{self.timeline}-{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position of a text like `1-16/B374D848`; raise ValueError for any other."""
        match = POSITION_PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(text)
        return cls(int(match[1]), parse_lsn(f"{match[2]}/{match[3]}"))


# No standby has replayed it, because timelines are numbered from 1.
UNREACHABLE = WalPosition(0, 2**64 - 1)


def parse_lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)
