"""A parser for the Dockerfile: its stages, their instructions and here-documents."""

import re
from typing import NamedTuple

from alchemist.database import PROJECT_ROOT

INSTRUCTION = re.compile(
    r"^(?P<keyword>[A-Z]+) (?P<arguments>.*?(?P<heredoc><<'EOF'.*)?)$"
    r"(?(heredoc)\n(?P<document>[\s\S]*?)^EOF$)",
    re.MULTILINE,
)


class Instruction(NamedTuple):
    keyword: str
    arguments: str
    document: str


class Stage(NamedTuple):
    base: str
    instructions: list[Instruction]


def _parse() -> dict[str, Stage]:
    text = (PROJECT_ROOT / "Dockerfile").read_text().replace("\\\n", "")
    stages: dict[str, Stage] = {}
    for match in INSTRUCTION.finditer(text):
        keyword, arguments, document = match.group("keyword", "arguments", "document")
        if keyword == "FROM":
            base, name = arguments.split(" AS ")
            current = stages[name] = Stage(base, [])
        else:
            current.instructions.append(Instruction(keyword, arguments, document or ""))
    return stages


STAGES = _parse()


def instructions(stage: str) -> list[Instruction]:
    """Return the instructions of a stage, after those of its base stages."""
    if stage not in STAGES:
        return []
    return instructions(STAGES[stage].base) + STAGES[stage].instructions


def arguments(stage: str, keyword: str) -> list[str]:
    """Return the arguments of all instructions with a keyword."""
    return [
        instruction.arguments
        for instruction in instructions(stage)
        if instruction.keyword == keyword
    ]


def document(stage: str, path: str) -> str:
    """Return the here-document that a stage copies to a path."""
    return next(
        instruction.document
        for instruction in STAGES[stage].instructions
        if instruction.document and path in instruction.arguments
    )


def copied_sources(stage: str) -> list[str]:
    """Return the paths that a stage copies from the build context."""
    sources = []
    for line in arguments(stage, "COPY"):
        options = [word for word in line.split() if word.startswith("--")]
        paths = [word for word in line.split() if not word.startswith("--")]
        if "<<" not in line and not any(option.startswith("--from") for option in options):
            sources += paths[:-1]
    return sources
