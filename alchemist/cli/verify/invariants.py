"""What no constraint can say, because it is about several rows at once."""

from .assertion import sql_assertion

# Totals are stored as JSON: what is no list has no entries, and so does not add up.
ENTRIES_SQL = """
    SELECT orders.pk, entry ->> 'currency' AS currency, entry ->> 'subtotal' AS subtotal,
        entry ->> 'discount' AS discount, entry ->> 'total' AS total
    FROM orders CROSS JOIN LATERAL json_array_elements(
        CASE json_typeof(totals) WHEN 'array' THEN totals ELSE '[]' END
    ) AS entry
"""

COUNTS_SQL = """
    SELECT coupons.pk::text AS offender
    FROM coupons LEFT JOIN redemptions ON coupon_id = coupons.pk AND released_at IS NULL
    GROUP BY coupons.pk
    HAVING init_count <> used_before + remaining_count + count(redemptions.pk)
"""

# A limit may be lowered below what was used before, which is no damage: the audit log knows when.
# The minutes are for requests that began before the change and came after it.
LIMITS_SQL = """
    SELECT coupons.pk || ' by ' || coalesce(user_id::text, 'everybody') AS offender
    FROM coupons JOIN redemptions ON coupon_id = coupons.pk AND released_at IS NULL
    WHERE redemptions.created_at > coalesce((
        SELECT max(audit_log.created_at) + interval '5 minutes' FROM audit_log
        WHERE resource = 'coupons' AND resource_pk = coupons.pk
            AND action = 'update' AND 'per_user_limit' = ANY (fields)
    ), '-infinity')
    GROUP BY coupons.pk, user_id
    HAVING count(*) > per_user_limit
"""

REDEMPTIONS_SQL = """
    SELECT 'redemption ' || redemptions.pk AS offender
    FROM redemptions LEFT JOIN orders ON orders.pk = order_id
    WHERE order_id IS NOT NULL AND orders.redemption_id IS DISTINCT FROM redemptions.pk
    UNION ALL
    SELECT 'order ' || orders.pk FROM orders LEFT JOIN redemptions ON redemptions.pk = redemption_id
    WHERE redemption_id IS NOT NULL AND redemptions.order_id IS DISTINCT FROM orders.pk
"""

BUYERS_SQL = """
    SELECT redemptions.pk::text AS offender
    FROM redemptions JOIN orders ON orders.redemption_id = redemptions.pk
    WHERE redemptions.user_id IS DISTINCT FROM orders.user_id
"""

RELEASES_SQL = """
    SELECT redemptions.pk::text AS offender
    FROM redemptions LEFT JOIN orders ON orders.redemption_id = redemptions.pk
    WHERE (released_at IS NOT NULL) <> (coalesce(status, '') = 'cancelled')
"""

LINES_SQL = """
    SELECT orders.pk::text AS offender
    FROM orders LEFT JOIN order_items ON order_id = orders.pk
    GROUP BY orders.pk
    HAVING count(order_id) = 0 OR min(position) <> 0 OR max(position) <> count(*) - 1
"""

TOTALS_SQL = f"""
    SELECT coalesce(entries.pk, lines.pk) || ' in ' || coalesce(currency, '?') AS offender
    FROM ({ENTRIES_SQL}) AS entries FULL JOIN (
        SELECT order_id AS pk, currency, sum(quantity * unit_price)::text AS subtotal,
            sum(discount)::text AS discount, sum(total)::text AS total
        FROM order_items GROUP BY order_id, currency
    ) AS lines USING (currency, pk)
    WHERE (entries.subtotal, entries.discount, entries.total)
        IS DISTINCT FROM (lines.subtotal, lines.discount, lines.total)
"""  # noqa: S608

CURRENCIES_SQL = f"""
    SELECT pk || ' in ' || currency AS offender
    FROM ({ENTRIES_SQL}) AS entries GROUP BY pk, currency HAVING count(*) > 1
"""  # noqa: S608

DISCOUNTS_SQL = """
    SELECT orders.pk::text AS offender FROM orders
    WHERE redemption_id IS NULL AND EXISTS (
        SELECT FROM order_items WHERE order_id = orders.pk AND discount > 0
    )
"""

SHARES_SQL = """
    SELECT order_id || '/' || position AS offender
    FROM (
        SELECT order_id, position, discount, quantity * unit_price AS subtotal,
            sum(discount) OVER alike AS discounts,
            sum(quantity * unit_price) OVER alike AS subtotals
        FROM order_items WINDOW alike AS (PARTITION BY order_id, currency)
    ) AS lines
    WHERE abs(discount * subtotals - subtotal * discounts) >= 0.01 * subtotals AND subtotals > 0
"""

RECIPES_SQL = """
    SELECT potions.pk::text AS offender
    FROM potions LEFT JOIN potion_ingredients ON potion_id = potions.pk
    GROUP BY potions.pk
    HAVING count(potion_id) = 0 OR min(position) <> 0 OR max(position) <> count(*) - 1
"""

ASSERTIONS = [
    sql_assertion(
        "coupon-counts",
        "What a coupon had is used before, still there, or redeemed and not released.",
        COUNTS_SQL,
    ),
    sql_assertion(
        "coupon-limits",
        "Nobody has used a coupon more often than its limit for one user, since that was set.",
        LIMITS_SQL,
    ),
    sql_assertion("redemptions", "An order and its redemption name each other.", REDEMPTIONS_SQL),
    sql_assertion(
        "buyers", "The coupon of an order was redeemed by who placed the order.", BUYERS_SQL
    ),
    sql_assertion(
        "releases",
        "A redemption is released if its order is cancelled, and only then.",
        RELEASES_SQL,
    ),
    sql_assertion("lines", "Every order has lines, and their positions have no gaps.", LINES_SQL),
    sql_assertion(
        "totals", "The totals of an order are the sums of its lines, by currency.", TOTALS_SQL
    ),
    sql_assertion("currencies", "The totals of an order name each currency once.", CURRENCIES_SQL),
    sql_assertion("discounts", "Only an order with a coupon has a discount.", DISCOUNTS_SQL),
    sql_assertion(
        "shares", "A discount is spread over lines in proportion, to the cent.", SHARES_SQL
    ),
    sql_assertion(
        "recipes", "Every potion has ingredients, and their positions have no gaps.", RECIPES_SQL
    ),
]
