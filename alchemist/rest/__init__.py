"""flask-smorest with the house rules."""

from .api import Api, init_app
from .blueprint import Blueprint
from .resource import PUBLIC, Resource, open_access

__all__ = ["PUBLIC", "Api", "Blueprint", "Resource", "init_app", "open_access"]
