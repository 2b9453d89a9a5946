"""Child rows that are replaced as a whole."""

from sqlalchemy import select

from alchemist import database as db
from alchemist.domains.potions.models import PotionIngredient
from tests.factories import make_potion


def test_all_children_of_a_row_can_be_removed(client):
    potion = make_potion()
    children = select(PotionIngredient).filter_by(potion_id=potion.pk)
    assert db.session.scalars(children).all()
    db.replace_children(potion, "ingredients", [])
    assert db.session.scalars(children).all() == []
