"""The coupons of v1, key by key."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.coupons import service
from alchemist.domains.coupons.models import Coupon
from tests.answers import error_pointers
from tests.factories import make_coupon, make_user, sign_in

URL = "/api/v1/coupons/"
KEYS = ["id", "code", "init_count", "remaining_count"]


@pytest.fixture
def admin(client_with_auth):
    return sign_in(make_user(role="admin"))


@pytest.fixture
def create(client_with_auth, admin):
    def call(headers=admin, **values):
        return client_with_auth.post(
            URL, json={"code": "Brew", "init_count": 5} | values, headers=headers
        )

    return call


def test_a_new_coupon_is_answered_with_201_and_four_keys(create):
    answer = create(init_count=5, remaining_count=3)
    assert answer.status_code == 201
    assert list(answer.json) == KEYS
    pk = answer.json["id"]
    assert answer.json == {"id": pk, "code": "Brew", "init_count": 5, "remaining_count": 3}
    assert str(UUID(pk)) == pk


@pytest.mark.parametrize("sent", [{}, {"remaining_count": None}])
def test_remaining_count_defaults_to_init_count(create, sent):
    assert create(init_count=7, **sent).json["remaining_count"] == 7


@pytest.mark.parametrize("initial", [0, 7])
def test_nothing_that_remains_stays_nothing(create, initial):
    assert create(init_count=initial, remaining_count=0).json["remaining_count"] == 0


def test_uses_that_were_gone_before_are_on_record(create):
    """Or the counter and the ledger would not agree."""
    pk = UUID(create(init_count=5, remaining_count=3).json["id"])
    assert db.session.get(Coupon, pk).used_before == 2


def test_a_coupon_is_found_as_it_is_now(client_with_auth, admin):
    coupon = make_coupon(code="Brew", init_count=5, percent_off=10)
    service.redeem(coupon, None)
    answer = client_with_auth.get(f"{URL}{coupon.pk}", headers=admin)
    assert answer.status_code == 200
    assert list(answer.json) == KEYS
    assert answer.json == {
        "id": str(coupon.pk),
        "code": "Brew",
        "init_count": 5,
        "remaining_count": 4,
    }


def test_what_this_version_does_not_know_has_its_default(client_with_auth, admin, create):
    unknown = {"percent_off": 100, "per_user_limit": 1, "id": str(uuid7()), "surprise": []}
    made = create(**unknown).json
    shown = client_with_auth.get(f"/api/v2/coupons/{made['id']}", headers=admin).json
    assert (shown["percent_off"], shown["per_user_limit"]) == (None, None)
    assert made["id"] != unknown["id"]


def test_a_missing_row_is_404_with_the_detail_of_v1(client_with_auth, admin):
    answer = client_with_auth.get(f"{URL}{uuid7()}", headers=admin)
    assert (answer.status_code, answer.json["detail"]) == (404, "Coupon does not exist")
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("pk", ["0", "x", "0" * 32, f"{UUID(int=0)}0"])
def test_an_id_that_is_none_is_404(client_with_auth, admin, pk):
    assert client_with_auth.get(f"{URL}{pk}", headers=admin).status_code == 404


def test_invisible_characters_are_dropped_from_a_code(create):
    assert create(code="Br\u200bew\u2060").json["code"] == "Brew"


@pytest.mark.parametrize(
    ("taken", "code"),
    [("Brew", "Brew"), ("Brew", "BREW"), ("Straße", "STRASSE"), ("ΧΡΟΝΟΣ", "χρονος"), ("1", 1)],
)
def test_a_taken_code_is_a_conflict(create, taken, code):
    create(code=taken)
    answer = create(code=code)
    assert (answer.status_code, answer.json["code"]) == (409, "already-exists")
    [entry] = answer.json["errors"]
    assert entry["pointer"] == "#/code"
    assert str(code) in entry["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("code", value) for value in (None, "", " ", True, "x" * 65, 10**65)),
        *(("init_count", value) for value in (None, -1, "x", 5.5, "5.5", True, 2**31)),
        *(("remaining_count", value) for value in (-1, 6, "6", 6.0, "-1", 0.5, False, 10**12)),
    ],
)
def test_an_invalid_field_is_reported_with_its_pointer(create, field, value):
    answer = create(**{field: value})
    assert answer.status_code == 422
    assert error_pointers(answer) == {f"#/{field}"}


def test_inconsistent_counts_are_reported_with_the_other_errors(create):
    answer = create(code=" ", init_count=1, remaining_count=5)
    assert answer.status_code == 422
    assert [(entry["pointer"], entry["detail"]) for entry in answer.json["errors"]] == [
        ("#/code", "Must not be blank."),
        ("#/remaining_count", "Must be between 0 and the initial count."),
    ]


def test_coupons_are_not_listed(client_with_auth, admin):
    answer = client_with_auth.get(URL, headers=admin)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("role", ["customer", "merchant"])
def test_admins_alone_know_of_coupons(client_with_auth, create, role):
    somebody = sign_in(make_user(role=role))
    coupon = make_coupon()
    for answer in (create(somebody), client_with_auth.get(f"{URL}{coupon.pk}", headers=somebody)):
        assert answer.status_code == 403
    assert client_with_auth.get(f"{URL}{coupon.pk}").status_code == 401


@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_answer_with_and_without_a_slash(client_with_auth, admin, slash):
    new = {"code": "Brew", "init_count": 5}
    made = client_with_auth.post(f"/api/v1/coupons{slash}", json=new, headers=admin)
    assert made.status_code == 201
    url = f"/api/v1/coupons/{made.json['id']}{slash}"
    assert client_with_auth.get(url, headers=admin).status_code == 200


def test_every_answer_says_that_this_is_old_and_what_succeeds_it(client_with_auth, admin, create):
    made = create()
    found = client_with_auth.get(f"{URL}{made.json['id']}", headers=admin)
    row = f"/api/v2/coupons/{made.json['id']}"
    for answer, successor in [(made, "/api/v2/coupons"), (found, row), (create(), row[:15])]:
        assert answer.headers["Deprecation"].startswith("@")
        assert answer.headers["Link"] == f'<{successor}>; rel="successor-version"'
