"""The lists and the batches of v2, by resource, for the commands that do the same with files."""

from functools import partial
from typing import Any

from alchemist.api.batch_entries import BatchOperation
from alchemist.api.operations import Listing
from alchemist.app import V2

_RESOURCES: dict[str, Any] = {
    path.removeprefix("/api/v2/"): resource
    for blueprint in V2
    for path, resource in blueprint.resources.items()
}
LISTS: dict[str, Listing] = {
    path: resource.get.listing._replace(view=partial(resource.get.listing.view, resource()))
    for path, resource in _RESOURCES.items()
    if "<" not in path and hasattr(getattr(resource, "get", None), "listing")
}
BATCHES: dict[str, BatchOperation] = {
    path.removesuffix("/batch"): resource.operation
    for path, resource in _RESOURCES.items()
    if path.endswith("/batch")
}
