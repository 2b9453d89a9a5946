"""Concurrent writes of products."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import NullPool, create_engine, text

from tests.servers import TIMEOUT

URL = "/api/v2/products"
WRITERS = 8
STORE = {
    "name": "The Crooked Ladle",
    "street": "7 Tallow Lane",
    "zipcode": "1000",
    "city": "Brassel",
    "country": "Belgium",
    "currency": "EUR",
}


@pytest.fixture
def app(make_committing_app):
    """An app with a connection for each writer."""
    return make_committing_app(threads=WRITERS)


@pytest.fixture
def product(app):
    """The body of a product in an existing store."""
    store = app.test_client().post("/api/v2/stores", json=STORE).json
    return {"name": "Apology", "price": "12.50", "store_id": store["pk"]}


@pytest.fixture
def stored(fresh_database):
    engine = create_engine(fresh_database, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def run_simultaneously(app, job):
    """Let all writers send at the same time; return their results."""
    start = Barrier(WRITERS)

    def run_job(number):
        start.wait(TIMEOUT)
        return job(app.test_client(), number)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run_job, range(WRITERS)))


def test_concurrent_creations_of_one_name_have_one_winner(app, product, stored):
    answers = run_simultaneously(app, lambda client, _: client.post(URL, json=product))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (WRITERS - 1)
    problems = [answer.json for answer in answers if answer.status_code == 409]
    assert {problem["code"] for problem in problems} == {"already-exists"}
    assert all("Apology" in problem["detail"] for problem in problems)
    assert stored.scalar(text("SELECT count(*) FROM products")) == 1


def test_concurrent_renames_to_one_name_have_one_winner(app, product, stored):
    client = app.test_client()
    created = [client.post(URL, json=product | {"name": str(n)}) for n in range(WRITERS)]

    def rename(client, number):
        headers = {"If-Match": created[number].headers["ETag"]}
        return client.patch(created[number].location, json={"name": "Apology"}, headers=headers)

    answers = run_simultaneously(app, rename)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (WRITERS - 1)
    named = text("SELECT count(*) FROM products WHERE name = 'Apology'")
    assert stored.scalar(named) == 1


def test_concurrent_restocks_lose_no_update(app, product, stored):
    url = app.test_client().post(URL, json=product | {"stock": 0}).location

    def restock(client, number):
        return [client.post(f"{url}/restock", json={"quantity": 10**number}) for _ in range(5)]

    answers = [answer for answers in run_simultaneously(app, restock) for answer in answers]
    assert {answer.status_code for answer in answers} == {200}
    assert stored.scalar(text("SELECT stock FROM products")) == 5 * 11_111_111
    # Each answer has another stock: the restocks were serialized.
    assert len({answer.json["stock"] for answer in answers}) == len(answers)


def test_concurrent_restocks_and_orders_lose_no_update(app, product, stored):
    created = app.test_client().post(URL, json=product | {"stock": 100})
    order = {"items": [{"product_id": created.json["pk"], "quantity": 1}]}

    def job(client, number):
        if number % 2:
            requests = [("/api/v2/orders", order)] * 10
        else:
            requests = [(f"{created.location}/restock", {"quantity": 3})] * 10
        return [client.post(url, json=body).status_code for url, body in requests]

    statuses = {status for results in run_simultaneously(app, job) for status in results}
    assert statuses == {200, 201}
    assert stored.scalar(text("SELECT stock FROM products")) == 100 + 40 * 3 - 40


def test_a_store_is_deleted_or_gets_products_but_not_both(app, product, stored):
    """No product refers to a deleted store."""
    store = f"/api/v2/stores/{product['store_id']}"

    def job(client, number):
        if number:
            return client.post(URL, json=product | {"name": str(number)}).status_code
        return client.delete(store, headers={"If-Match": "*"}).status_code

    deletion, *creations = run_simultaneously(app, job)
    count = stored.scalar(text("SELECT count(*) FROM products"))
    assert set(creations) <= {201, 422}
    assert creations.count(201) == count
    assert deletion == (409 if count else 204)
