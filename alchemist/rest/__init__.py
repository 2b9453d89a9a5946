"""flask-smorest with the house rules."""

from .answer import Answer
from .api import Api, init_app
from .blueprint import Blueprint
from .resource import PUBLIC, Resource

__all__ = ["PUBLIC", "Answer", "Api", "Blueprint", "Resource", "init_app"]
