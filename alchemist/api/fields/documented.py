"""The part of every field that is for the OpenAPI document."""

from collections.abc import Mapping, Sequence
from typing import Any


class DocumentedField:
    """A base of fields, whose `description` and examples are in the OpenAPI document.

    The `examples` of a field with unique values are for a creation, for two entries of a batch, and
    for an update. `read_only` is for a field of a referenced row in a nested object: a client may
    repeat it, but no service gets it.
    """

    def __init__(
        self,
        *args: Any,
        description: str | None = None,
        example: Any = None,
        examples: Sequence[Any] = (),
        read_only: bool = False,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        documentation = {"readOnly": read_only, "description": description, **(metadata or {})}
        if examples or (example is not None and "examples" not in documentation):
            documentation["examples"] = list(examples) or [example]
        metadata = {name: value for name, value in documentation.items() if value}
        # The other base is a field of marshmallow.
        super().__init__(*args, metadata=metadata, **kwargs)  # type: ignore[call-arg]
