"""The users of the tests of stores, and a store of the owner."""

import pytest

from alchemist.domains.stores.models import Store
from alchemist.domains.users.models import User
from tests.domains.stores.conftest import admin, owner, owner_headers, stranger
from tests.factories import make_store

__all__ = ["admin", "owner", "owner_headers", "stranger"]


@pytest.fixture
def store(owner: User) -> Store:
    """A store of the owner."""
    return make_store(owner_id=owner.pk, name="The Crooked Ladle")
