"""Fields of an order whose values depend on who reads it."""

from typing import Any

from sqlalchemy import ColumnElement, case

from alchemist.api.fields import List, Pk, Text

from . import viewer
from .models import TRANSITIONS


class AllowedTransitions(List):
    """The actions that the status of an order allows, and the caller may do."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(TRANSITIONS[value])

    @staticmethod
    def row_to_sql(row: Any) -> ColumnElement[Any]:
        return viewer.allowed_transitions(row)


class VisibleItems(List):
    """The items that the caller sees."""

    @staticmethod
    def item_condition(row: Any, item: Any) -> ColumnElement[bool]:
        return viewer.is_item_visible(row, item)


class VisibleTotals(List):
    """The totals of the items that the caller sees."""

    @staticmethod
    def row_to_sql(row: Any) -> ColumnElement[Any]:
        return viewer.visible_totals(row)


class BuyerPk(Pk):
    """A key that sellers do not see."""

    def row_to_sql(self, row: Any) -> ColumnElement[Any]:
        return case((viewer.is_whole_order_visible(row), getattr(row, str(self.name))))


class BuyerText(Text):
    """A text that sellers do not see."""

    def row_to_sql(self, row: Any) -> ColumnElement[Any]:
        return case((viewer.is_whole_order_visible(row), getattr(row, str(self.name))))
