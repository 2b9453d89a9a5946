// A client of the service, made by openapi-typescript and openapi-fetch. Arguments: URL, token.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

type Problem = components["schemas"]["Problem"];

const [url, token] = process.argv.slice(2);
const client = createClient<paths>({
  baseUrl: url,
  headers: { Authorization: `Bearer ${token}` },
});

function expect<T>(value: T | undefined, problem?: Problem): T {
  if (value === undefined) throw new Error(JSON.stringify(problem));
  return value;
}

function check(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
  console.log(message);
}

function nextCursor(response: Response): string | undefined {
  const link = /<([^>]+)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
  return link && (new URL(link, url).searchParams.get("cursor") ?? undefined);
}

const key = crypto.randomUUID();
const header = { "Idempotency-Key": key };
const body = { name: `Rue ${key}` };
const first = await client.POST("/api/v2/ingredients", { params: { header }, body });
const again = await client.POST("/api/v2/ingredients", { params: { header }, body });
const rue = expect(first.data, first.error);
check(again.data?.pk === rue.pk, "a repeated POST with its key has one effect");

for (let number = 0; number < 2; number++) await client.POST("/api/v2/ingredients", { body });
const names: string[] = [];
let cursor: string | undefined;
let pages = 0;
do {
  const query = { name: body.name, limit: 2, cursor };
  const page = await client.GET("/api/v2/ingredients", { params: { query } });
  names.push(...expect(page.data, page.error).map((row) => row.name));
  cursor = nextCursor(page.response);
  pages++;
} while (cursor !== undefined);
check(pages === 2 && names.length === 3, "a filtered list has 3 rows on 2 pages");

const created = await client.POST("/api/v2/potions", {
  body: { name: "Slow tea", ingredients: [rue.pk, { pk: await another(), amount: "2.5", unit: "g" }] },
});
const potion = expect(created.data, created.error);
const path = { pk: potion.pk };
const etag = expect(created.response.headers.get("ETag") ?? undefined);
const ifMatch = { "If-Match": etag };
const patched = await client.PATCH("/api/v2/potions/{pk}", {
  params: { path, header: ifMatch },
  body: { ...potion, description: "For the evening." },
});
check(
  expect(patched.data, patched.error).description === "For the evening.",
  "a PATCH with the ETag changes the row, and may send back its read-only fields",
);

const stale = await client.PATCH("/api/v2/potions/{pk}", {
  params: { path, header: ifMatch },
  body: { name: "Tea" },
});
const failed: Problem = expect(stale.error);
check(
  failed.code === "precondition-failed" && failed.current?.["description"] === "For the evening.",
  "a 412 has the current row",
);

const inUse = await client.GET("/api/v2/ingredients/{pk}", { params: { path: { pk: rue.pk } } });
const conflict = await client.DELETE("/api/v2/ingredients/{pk}", {
  params: {
    path: { pk: rue.pk },
    header: { "If-Match": expect(inUse.response.headers.get("ETag") ?? undefined) },
  },
});
const problem: Problem = expect(conflict.error);
check(problem.status === 409 && problem.code === "in-use", "a 409 has a code");

const newEtag = expect(patched.response.headers.get("ETag") ?? undefined);
const deleted = await client.DELETE("/api/v2/potions/{pk}", {
  params: { path, header: { "If-Match": newEtag } },
});
check(deleted.response.status === 204, "a DELETE with the new ETag is 204");

const store = await client.POST("/api/v2/stores", {
  body: {
    name: "The Crooked Ladle",
    street: "7 Tallow Lane",
    zipcode: "1050",
    city: "Brassel",
    country: "Belgium",
    currency: "EUR",
  },
});
const product = await client.POST("/api/v2/products", {
  body: { store_id: expect(store.data, store.error).pk, name: "A pot", price: "3.35", stock: 10 },
});
const placed = await client.POST("/api/v2/orders", {
  params: { header: { "Idempotency-Key": `order ${key}`.replace(" ", "-") } },
  body: { items: [{ product_id: expect(product.data, product.error).pk, quantity: 3 }] },
});
const order = expect(placed.data, placed.error);
check(order.totals[0]?.total === "10.05", "an order is placed, and its total is exact");
const orderPath = { params: { path: { pk: order.pk } } };
const paid = await client.POST("/api/v2/orders/{pk}/pay", orderPath);
check(expect(paid.data, paid.error).status === "paid", "an order is paid");
const twice: Problem = expect((await client.POST("/api/v2/orders/{pk}/pay", orderPath)).error);
check(
  twice.code === "wrong-status" && twice.allowed_transitions?.includes("cancel") === true,
  "a 409 has the allowed transitions",
);

async function another(): Promise<string> {
  const row = await client.POST("/api/v2/ingredients", { body: { name: "Honey" } });
  return expect(row.data, row.error).pk;
}
