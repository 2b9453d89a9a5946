"""The pages in a real browser: they work, log nothing, and load nothing from other hosts."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from sqlalchemy import URL

from alchemist.cli import sample_data
from alchemist.docs.example_values import Json
from alchemist.domains.potions.schemas import EXAMPLE_CLAY_PK, EXAMPLE_HONEY_PK
from tests.servers import Gunicorn
from tests.test_schemathesis import admin_token

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
# Only every n-th operation is executed, as each takes seconds; `test_openapi_operations.py`
# executes all of them without a browser.
STEP = int(os.environ.get("BROWSER_STEP", "4"))
# Chromium's own requests to the internet are off, and so is its sandbox, which containers forbid.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def load_sample_data(fresh_database: URL) -> Callable[[], None]:
    """Load the sample data, and return the function that restores deleted rows."""

    def load() -> None:
        sample_data.load_missing(fresh_database)

    load()
    return load


@pytest.fixture
def service(gunicorn: Gunicorn, load_sample_data: Callable[[], None]) -> str:
    """The URL of a service with the sample data."""
    return f"http://127.0.0.1:{gunicorn.port}"


@pytest.fixture
def page(browser: Browser, service: str) -> Iterator[Page]:
    problems: list[str] = []
    with monitored_page(browser, service, problems) as page:
        yield page
    assert problems == []


@contextmanager
def monitored_page(browser: Browser, service: str, problems: list[str]) -> Iterator[Page]:
    """Yield a page; add its console messages, errors and requests to other hosts to `problems`."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, base_url=service)
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))

    def check_host(request) -> None:
        url = urlsplit(request.url)
        if url.scheme != "data" and f"{url.scheme}://{url.netloc}" != service:
            problems.append(f"another host: {request.url}")

    page.on("request", check_host)
    yield page
    page.close()


def open_operation(page: Page, operation_id: str) -> Locator:
    """Expand the operation and return its block."""
    block = page.locator(f"[id^=operations-][id$=-{operation_id}]")
    block.locator(".opblock-summary-control").click()
    expect(block.locator(".opblock-body")).to_be_visible()
    return block


def execute(block: Locator, expected: str = "") -> str:
    """Execute the operation and return its status, waiting until it is `expected`."""
    block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table .response-col_status").last
    expect(status).to_contain_text(expected)
    return status.inner_text().split()[0]


def fill_in(page: Page, block: Locator, path: str, operation: Json) -> None:
    """Fill in the keys and the If-Match that the page does not suggest."""
    parameters = operation.get("parameters", [])
    pks = {each["name"]: each["example"] for each in parameters if each.get("in") == "path"}
    for name, pk in pks.items():
        block.locator(f'tr[data-param-name="{name}"] input').fill(pk)
    if any(each.get("name") == "If-Match" and each.get("required") for each in parameters):
        etag = page.request.get(path.format(**pks)).headers["etag"]
        block.locator('tr[data-param-name="If-Match"] input').fill(etag)


def select_version(page: Page, version: str) -> None:
    page.get_by_label("Select a definition").select_option(label=version)
    expect(page.locator(".info .url")).to_have_text(f"/api/{version}/openapi.json")


def test_a_create_and_a_list_can_be_executed(page):
    page.goto("/api/docs")
    assert execute(open_operation(page, "createIngredient")) == "201"
    listed = open_operation(page, "listIngredients")
    assert execute(listed) == "200"
    expect(listed.locator(".live-responses-table")).to_contain_text("Left-hand nettle")


def test_an_authorized_user_can_create_a_row(browser, gunicorn_with_auth):
    problems: list[str] = []
    service = f"http://127.0.0.1:{gunicorn_with_auth.port}"
    with monitored_page(browser, service, problems) as page:
        page.goto("/api/docs")
        created = open_operation(page, "createIngredient")
        assert execute(created) == "401"
        # Chromium logs the 401.
        assert len(problems) == 1
        assert "401" in problems.pop()
        authorize(page, admin_token(gunicorn_with_auth))
        assert execute(created, "201") == "201"
        page.reload()
        assert execute(open_operation(page, "listUsers")) == "200"
    assert problems == []


def authorize(page: Page, token: str) -> None:
    page.locator(".auth-wrapper .authorize").first.click()
    dialog = page.locator(".dialog-ux")
    dialog.locator("input").fill(token)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").click()


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_operations_can_be_executed_with_their_examples(page, load_sample_data, version):
    document = page.request.get(f"/api/{version}/openapi.json").json()
    page.goto("/api/docs")
    select_version(page, version)
    operations = [
        (path, method, operation)
        for path, path_item in document["paths"].items()
        for method, operation in path_item.items()
        # The page hides these.
        if method != "head"
    ]
    for path, method, documented in operations[::STEP]:
        block = open_operation(page, documented["operationId"])
        fill_in(page, block, path, documented)
        # The examples of a batch create rows: 200 is for those that only update some.
        success = max(status for status in documented["responses"] if status < "300")
        assert execute(block) == success, documented
        block.locator(".opblock-summary-control").click()
        if method != "get":
            # It may have deleted the row of the next example.
            load_sample_data()


@pytest.mark.parametrize(
    ("version", "operation_ids"),
    [
        ("v2", ["deleteToken", "revokeTokens", "suspendUser", "cancelOrder"]),
        ("v1", ["v1UpdateStore", "v1DeleteStore"]),
    ],
)
def test_a_change_is_not_executed_with_one_click(page, version, operation_ids):
    page.goto(f"/api/docs?urls.primaryName={version}")
    for operation_id in operation_ids:
        block = open_operation(page, operation_id)
        keys = block.locator('tr[data-param-in="path"] input')
        expect(keys.first).to_have_value("")
        expect(keys.last).to_have_value("")
        block.get_by_role("button", name="Execute").click()
        expect(keys.first).to_have_class(re.compile("invalid"))
        expect(block.locator(".live-responses-table")).to_have_count(0)


def test_a_list_of_keys_can_be_filled_in(page):
    page.goto("/api/docs")
    listed = open_operation(page, "listPotions")
    parameter = listed.locator("tr[data-param-name=brewable_with]")
    for index, pk in enumerate((EXAMPLE_CLAY_PK, EXAMPLE_HONEY_PK)):
        parameter.get_by_role("button", name="Add string item").click()
        parameter.locator("input").nth(index).fill(pk)
    assert execute(listed) == "200"
    expect(listed.locator(".live-responses-table")).to_contain_text("Beekeeper's Apology")


def test_a_list_can_be_requested_as_csv(page):
    page.goto("/api/docs")
    listed = open_operation(page, "listIngredients")
    listed.locator(".responses-inner select.content-type").first.select_option("text/csv")
    assert execute(listed) == "200"
    expect(listed.locator(".live-responses-table")).to_contain_text("pk,name,description")


def test_the_version_can_be_changed_and_changed_back(page):
    page.goto("/api/docs")
    for version, text in (("v1", "deprecated"), ("v2", "If-None-Match")):
        select_version(page, version)
        expect(page.locator(".info")).to_contain_text(text)


def test_the_selected_version_is_in_the_url(page):
    page.goto("/api/docs")
    select_version(page, "v1")
    expect(page.locator(".info")).to_contain_text("deprecated")
    page.reload()
    expect(page.locator(".info")).to_contain_text("deprecated")


def test_an_operation_has_a_url(page):
    page.goto("/api/docs#/potions/getPotion")
    expect(page.locator("#operations-potions-getPotion .opblock-body")).to_be_visible()


def test_a_problem_has_a_readable_page(page):
    page.goto("/problems")
    page.get_by_role("link", name="precondition-failed").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("412 Precondition Failed")
    expect(page.locator("pre")).to_contain_text('"code": "precondition-failed"')


def test_the_index_redirects_to_the_documentation(page):
    page.goto("/")
    expect(page).to_have_title("API documentation · Alchemist")
    expect(page.locator(".info .title")).to_contain_text("Alchemist")
