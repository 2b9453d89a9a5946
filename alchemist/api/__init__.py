"""The HTTP layer of every blueprint, on flask-smorest and marshmallow."""

from .api import Api, init_app
from .blueprint import Blueprint
from .resource import PUBLIC, Resource
from .response import JsonResponse

__all__ = ["PUBLIC", "Api", "Blueprint", "JsonResponse", "Resource", "init_app"]
