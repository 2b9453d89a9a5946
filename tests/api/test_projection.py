"""`fields` and `expand`: members of representations, and the rows to which they refer."""

from itertools import combinations

import pytest

from alchemist import database as db
from alchemist.api import json_select, projection
from alchemist.api.pagination import page
from alchemist.cli import sample_data
from alchemist.docs.example_values import resolve_ref
from tests.factories import (
    make_coupon,
    make_hero,
    make_order,
    make_potion,
    make_product,
    make_store,
    make_user,
    sign_in,
)

API = "/api/v2"


def get(client, path, headers=None):
    response = client.get(f"{API}/{path}", headers=headers)
    assert response.status_code == 200, response.text
    return response.json


def pick(value, names):
    """Return the members of an object, or of each object in a list, in their order."""
    if isinstance(value, list):
        return [pick(item, names) for item in value]
    if value is None or "" in names:
        return value
    heads = {name.partition(".")[0] for name in names}
    return {
        member: pick(
            part, {name.partition(".")[2] for name in names if name.partition(".")[0] == member}
        )
        for member, part in value.items()
        if member in heads
    }


@pytest.fixture
def product(client):
    store = make_store(name="Ladle", owner_id=make_user().pk)
    return make_product(store, name="Vial", potion_id=make_potion(name="Brew").pk)


@pytest.mark.parametrize(
    "fields",
    ["pk", "name,price", "store", "store.name", "store,store.name", "store.pk,currency,pk"],
)
def test_an_item_and_a_list_have_only_the_members_that_are_named(client, product, fields):
    whole = get(client, f"products/{product.pk}")
    part = get(client, f"products/{product.pk}?fields={fields}")
    assert part == pick(whole, set(fields.split(",")))
    assert list(part) == [name for name in whole if name in part]
    assert get(client, f"products?fields={fields}") == [part]


def lists_with_parameters(client):
    """Yield the path and the query parameters of each list of the document that has an example."""
    document = client.get(f"{API}/openapi.json").json
    for path, item in document["paths"].items():
        parameters = {each.get("name"): each for each in item.get("get", {}).get("parameters", ())}
        if "sort" in parameters:
            examples = {name: each.get("example") for name, each in parameters.items()}
            yield path.format(**examples), parameters, document


def names_of(parameters, name, document):
    items = parameters[name]["schema"]["items"] if name in parameters else {"enum": []}
    return resolve_ref(items, document)["enum"]


def test_every_member_of_every_list_can_be_chosen(client):
    """With all rows expanded: their members are in the enumeration, too."""
    sample_data.insert_missing(db.session.connection())
    for path, parameters, document in lists_with_parameters(client):
        expand = ",".join(names_of(parameters, "expand", document))
        query = f"limit=3{'&expand=' if expand else ''}{expand}"
        whole = client.get(f"{path}?{query}").json
        names = names_of(parameters, "fields", document)
        assert whole
        assert pick(whole, set(names)) == whole, path
        for name in names:
            response = client.get(f"{path}?{query}&fields={name}")
            assert response.json == pick(whole, {name}), (path, name, response.text)


def test_every_expansion_is_the_representation_of_its_row(client):
    sample_data.insert_missing(db.session.connection())
    seen = set()
    for path, parameters, document in lists_with_parameters(client):
        names = names_of(parameters, "expand", document)
        for expand in (*combinations(names, 1), names):
            rows = client.get(f"{path}?expand={','.join(expand)}").json if expand else []
            for name in expand:
                for key, expanded in expanded_rows(rows, name):
                    resource = {"owner": "users", "hero": "heroes"}.get(
                        name.rpartition(".")[2], f"{name.rpartition('.')[2]}s"
                    )
                    seen.add((resource, expanded is None))
                    expected = key and get(client, f"{resource}/{key}")
                    assert expanded == expected, (path, name)
    assert {resource for resource, _ in seen} == {
        *("users", "heroes", "stores", "potions", "products", "coupons"),
    }
    assert any(is_null for _, is_null in seen)


def expanded_rows(rows, name):
    """Yield the key and the value of an expanded row, for each row of a list or of its items."""
    parent, _, member = name.rpartition(".")
    for row in rows:
        for each in row[parent] if parent else [row]:
            yield each[f"{member}_id"], each[member]


def test_an_expanded_row_stands_beside_its_key(client, product):
    row = get(client, f"products/{product.pk}?expand=potion")
    names = list(row)
    assert names.index("potion") == names.index("potion_id") + 1
    assert row["potion"]["name"] == "Brew"


def test_members_of_an_expanded_row_can_be_chosen(client, product):
    path = f"products/{product.pk}?expand=store,potion&fields=pk,store.city,potion.name"
    city = get(client, f"stores/{product.store_id}")["city"]
    assert get(client, path) == {
        "pk": str(product.pk),
        "store": {"city": city},
        "potion": {"name": "Brew"},
    }


def test_without_expand_members_of_the_row_are_rejected(client, product):
    response = client.get(f"{API}/products/{product.pk}?fields=pk,potion.name,store.name")
    assert (response.status_code, response.json["code"]) == (422, "not-one-of")
    [error] = response.json["errors"]
    assert error["parameter"] == "fields"
    assert "potion.name" in error["detail"]


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("fields=colour", "fields", "not-one-of"),
        ("fields=pk,colour", "fields", "not-one-of"),
        ("fields=", "fields", "not-one-of"),
        ("fields=pk.name", "fields", "not-one-of"),
        ("fields=store.", "fields", "not-one-of"),
        ("fields=pk,pk", "fields", "duplicate"),
        ("fields=pk&fields=pk", "fields", "duplicate"),
        ("fields=items.pk", "fields", "not-one-of"),
        ("fields=search_words", "fields", "not-one-of"),
        ("expand=colour", "expand", "not-one-of"),
        ("expand=store.owner", "expand", "not-one-of"),
        ("expand=store,store", "expand", "duplicate"),
        ("expand=pk", "expand", "not-one-of"),
        ("members=pk", "members", "unknown-parameter"),
    ],
)
def test_any_other_name_is_rejected(client, product, query, parameter, code):
    for path in (f"products/{product.pk}", "products"):
        response = client.get(f"{API}/{path}?{query}")
        assert (response.status_code, response.json["code"]) == (422, code)
        assert response.json["errors"][0]["parameter"] == parameter


def test_the_error_names_the_members(client):
    detail = client.get(f"{API}/heroes?fields=colour").json["errors"][0]["detail"]
    assert "nickname" in detail
    assert "user.email" in detail


def test_a_repeated_parameter_is_one_list(client, product):
    assert get(client, "products?fields=pk&fields=name") == get(client, "products?fields=pk,name")


def test_a_parameter_may_be_percent_encoded(client, product):
    assert get(client, "products?%66ields=pk") == [{"pk": str(product.pk)}]


def test_a_missing_row_is_the_first_error(client):
    key = "01972892-31f9-75e5-b1aa-50b403f84c48"
    assert client.get(f"{API}/products/{key}?fields=colour").status_code == 404


def test_a_resource_without_references_has_no_expand(client):
    response = client.get(f"{API}/ingredients?expand=store")
    assert (response.status_code, response.json["code"]) == (422, "unknown-parameter")


def test_the_tag_is_that_of_the_answer(client, product):
    path = f"{API}/products/{product.pk}"
    whole, part = client.get(path), client.get(f"{path}?fields=pk")
    assert whole.headers["ETag"] != part.headers["ETag"]
    for url, response in ((path, whole), (f"{path}?fields=pk", part)):
        again = client.get(url, headers={"If-None-Match": response.headers["ETag"]})
        assert again.status_code == 304
    headers = {"If-Match": part.headers["ETag"]}
    assert client.patch(path, json={"name": "Jar"}, headers=headers).status_code == 412
    # Another member has changed, and the answer is the same.
    client.patch(path, json={"name": "Jar"}, headers={"If-Match": "*"})
    assert client.get(f"{path}?fields=pk").headers["ETag"] == part.headers["ETag"]


def test_pages_keep_their_members(client, product):
    make_product(make_store())
    response = client.get(f"{API}/products?limit=1&fields=pk&expand=store")
    next_path = response.headers["Link"].split("<")[2].split(">")[0]
    assert [list(row) for row in client.get(next_path).json] == [["pk"]]


def test_a_cursor_is_valid_for_other_members(client, product):
    make_product(make_store())
    first = client.get(f"{API}/products?limit=1").headers["Link"]
    cursor = first.split("cursor=")[1].split(">")[0]
    assert len(get(client, f"products?limit=1&fields=name&cursor={cursor}")) == 1


def test_it_is_still_one_statement(client, product, statements):
    for path in (f"products/{product.pk}", "products"):
        with statements() as seen:
            get(client, f"{path}?fields=pk,store.name&expand=store,potion")
        assert len(seen) == 1


def test_head_has_the_headers_of_the_projection(client, product):
    path = f"{API}/products/{product.pk}?fields=pk"
    assert client.head(path).headers["ETag"] == client.get(path).headers["ETag"]


def test_version_1_ignores_both(client, product):
    row = client.get(f"/api/v1/products/{product.pk}?fields=name&expand=potion").json
    assert "price" in row


def test_a_hero_shows_its_user_only_to_those_who_may_read_the_user(client_with_auth):
    owner, stranger = make_user(), make_user()
    hero = make_hero(user_id=owner.pk)
    path = f"{API}/heroes/{hero.pk}?expand=user"
    as_owner = client_with_auth.get(path, headers=sign_in(owner)).json
    assert as_owner["user"]["email"] == owner.email
    as_stranger = client_with_auth.get(path, headers=sign_in(stranger))
    assert (as_stranger.status_code, as_stranger.json["user"]) == (200, None)
    admin = sign_in(make_user(role="admin"))
    assert client_with_auth.get(path, headers=admin).json == as_owner
    assert client_with_auth.get(path).status_code == 401
    narrowed = client_with_auth.get(path, headers=sign_in(owner, "me:read"))
    assert (narrowed.status_code, narrowed.json["code"]) == (403, "forbidden")
    for headers in (sign_in(owner, "me:read"), {}):
        listed = client_with_auth.get(f"{API}/heroes?expand=user&fields=pk", headers=headers)
        assert listed.status_code in (401, 403)


def test_a_redemption_shows_its_coupon_only_to_those_who_may_read_coupons(client_with_auth):
    user, coupon = make_user(), make_coupon()
    headers, path = sign_in(user), f"{API}/coupons/{coupon.pk}/redemptions"
    assert client_with_auth.post(path, headers=headers).status_code == 201
    assert client_with_auth.get(path, headers=headers).status_code == 200
    assert client_with_auth.get(f"{path}?expand=coupon", headers=headers).status_code == 403
    admin = sign_in(make_user(role="admin"))
    [row] = client_with_auth.get(f"{path}?expand=coupon", headers=admin).json
    assert row["coupon"]["code"] == coupon.code


@pytest.fixture
def sale(client_with_auth):
    """An order of two stores for a hero: the buyer, and the merchant of the first store."""
    buyer, merchant = make_user(), make_user(role="merchant")
    products = [make_product(make_store(owner_id=owner.pk)) for owner in (merchant, make_user())]
    hero = make_hero(user_id=buyer.pk)
    order = make_order(*products, user=buyer, hero_id=hero.pk)
    return order, buyer, merchant, products


def test_a_seller_sees_neither_the_buyer_nor_the_hero_nor_items_of_others(client_with_auth, sale):
    order, buyer, merchant, products = sale
    path = f"orders/{order.pk}?expand=user,hero,items.product,items.store"
    bought = get(client_with_auth, path, sign_in(buyer))
    assert bought["user"]["email"] == buyer.email
    assert bought["hero"]["pk"] == bought["hero_id"]
    assert [item["product"]["pk"] for item in bought["items"]] == [
        item["product_id"] for item in bought["items"]
    ]
    assert len(bought["items"]) == 2
    sold = get(client_with_auth, path, sign_in(merchant))
    assert (sold["user"], sold["hero"], sold["hero_id"]) == (None, None, None)
    [item] = sold["items"]
    assert item["product"]["pk"] == str(products[0].pk)
    assert item["store"]["owner_id"] == str(merchant.pk)
    listed = get(client_with_auth, f"orders?{path.partition('?')[2]}", sign_in(merchant))
    assert listed == [sold]


def test_the_caches_of_projections_are_bounded():
    caches = (projection.project, json_select.select_json, page._page_statement)
    assert all(cache.cache_info().maxsize <= 256 for cache in caches)


def test_the_document_says_which_fields_need_expand(client):
    paths = client.get("/api/v2/openapi.json").json["paths"]
    for path, needed in {
        "/api/v2/products": "`store`, `potion` need the name of that row in `expand`, too, except "
        "`store.pk`, `store.name`.",
        "/api/v2/orders": "`user`, `hero`, `items.product`, `items.store` need the name",
    }.items():
        parameters = paths[path]["get"]["parameters"]
        [fields] = [each for each in parameters if each.get("name") == "fields"]
        assert needed in fields["description"]
    parameters = paths["/api/v2/ingredients"]["get"]["parameters"]
    [fields] = [each for each in parameters if each.get("name") == "fields"]
    assert "expand" not in fields["description"]
