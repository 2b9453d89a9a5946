"""Rules about several rows at once, which no constraint can express."""

from sqlalchemy import column

from alchemist.domains.stores.currencies import decimals_sql

from .assertion import sql_assertion

# `totals` is JSON. A value that is not an array counts as no totals, which then do not match.
ORDER_TOTALS_SQL = """
    SELECT orders.pk, element ->> 'currency' AS currency, element ->> 'subtotal' AS subtotal,
        element ->> 'discount' AS discount, element ->> 'total' AS total
    FROM orders CROSS JOIN LATERAL json_array_elements(
        CASE json_typeof(totals) WHEN 'array' THEN totals ELSE '[]' END
    ) AS element
"""

COUPON_COUNTS_SQL = """
    SELECT coupons.pk::text AS key
    FROM coupons LEFT JOIN redemptions ON coupon_id = coupons.pk AND released_at IS NULL
    GROUP BY coupons.pk
    HAVING init_count <> used_before + remaining_count + count(redemptions.pk)
"""

# A limit may be lowered below the number of earlier redemptions: only those after the change count,
# and the audit log has its time. The 5 minutes are for requests that started before the change and
# committed after it.
COUPON_LIMITS_SQL = """
    SELECT coupons.pk || ' of user ' || coalesce(user_id::text, 'NULL') AS key
    FROM coupons JOIN redemptions ON coupon_id = coupons.pk AND released_at IS NULL
    WHERE redemptions.created_at > coalesce((
        SELECT max(audit_log.created_at) + interval '5 minutes' FROM audit_log
        WHERE resource = 'coupons' AND resource_pk = coupons.pk
            AND action = 'update' AND 'per_user_limit' = ANY (fields)
    ), '-infinity')
    GROUP BY coupons.pk, user_id
    HAVING count(*) > per_user_limit
"""

REDEMPTION_ORDERS_SQL = """
    SELECT 'redemption ' || redemptions.pk AS key
    FROM redemptions LEFT JOIN orders ON orders.pk = order_id
    WHERE order_id IS NOT NULL AND orders.redemption_id IS DISTINCT FROM redemptions.pk
    UNION ALL
    SELECT 'order ' || orders.pk FROM orders LEFT JOIN redemptions ON redemptions.pk = redemption_id
    WHERE redemption_id IS NOT NULL AND redemptions.order_id IS DISTINCT FROM orders.pk
"""

REDEMPTION_USERS_SQL = """
    SELECT redemptions.pk::text AS key
    FROM redemptions JOIN orders ON orders.redemption_id = redemptions.pk
    WHERE redemptions.user_id IS DISTINCT FROM orders.user_id
"""

REDEMPTION_RELEASES_SQL = """
    SELECT redemptions.pk::text AS key
    FROM redemptions LEFT JOIN orders ON orders.redemption_id = redemptions.pk
    WHERE (released_at IS NOT NULL) <> (coalesce(status, '') = 'cancelled')
"""

ORDER_ITEMS_SQL = """
    SELECT orders.pk::text AS key
    FROM orders LEFT JOIN order_items ON order_id = orders.pk
    GROUP BY orders.pk
    HAVING count(order_id) = 0 OR min(position) <> 0 OR max(position) <> count(*) - 1
"""

TOTALS_MISMATCH_SQL = f"""
    SELECT coalesce(totals.pk, sums.pk) || ' in ' || coalesce(currency, '?') AS key
    FROM ({ORDER_TOTALS_SQL}) AS totals FULL JOIN (
        SELECT order_id AS pk, currency, sum(quantity * unit_price)::text AS subtotal,
            sum(discount)::text AS discount, sum(total)::text AS total
        FROM order_items GROUP BY order_id, currency
    ) AS sums USING (currency, pk)
    WHERE (totals.subtotal, totals.discount, totals.total)
        IS DISTINCT FROM (sums.subtotal, sums.discount, sums.total)
"""  # noqa: S608

DUPLICATE_CURRENCIES_SQL = f"""
    SELECT pk || ' in ' || currency AS key
    FROM ({ORDER_TOTALS_SQL}) AS totals GROUP BY pk, currency HAVING count(*) > 1
"""  # noqa: S608

DISCOUNTS_WITHOUT_COUPON_SQL = """
    SELECT orders.pk::text AS key FROM orders
    WHERE redemption_id IS NULL AND EXISTS (
        SELECT FROM order_items WHERE order_id = orders.pk AND discount > 0
    )
"""

DISCOUNT_ALLOCATION_SQL = f"""
    SELECT order_id || '/' || position AS key
    FROM (
        SELECT order_id, position, discount, quantity * unit_price AS subtotal,
            power(10::numeric, -({decimals_sql(column("currency"))})) AS minor_unit,
            sum(discount) OVER order_currency AS discounts,
            sum(quantity * unit_price) OVER order_currency AS subtotals
        FROM order_items WINDOW order_currency AS (PARTITION BY order_id, currency)
    ) AS items
    WHERE abs(discount * subtotals - subtotal * discounts) >= minor_unit * subtotals
        AND subtotals > 0
"""  # noqa: S608

ITEM_STORES_SQL = """
    SELECT order_id || '/' || position AS key
    FROM order_items JOIN products ON products.pk = product_id
    WHERE order_items.store_id <> products.store_id
"""

FULFILMENT_SQL = """
    SELECT orders.pk::text AS key
    FROM orders JOIN order_items ON order_id = orders.pk
    GROUP BY orders.pk
    HAVING count(fulfilled_at) NOT BETWEEN
        CASE status WHEN 'fulfilled' THEN count(*) WHEN 'partially_fulfilled' THEN 1 ELSE 0 END
        AND CASE status WHEN 'fulfilled' THEN count(*)
            WHEN 'partially_fulfilled' THEN count(*) - 1 ELSE 0 END
"""

COUPON_CODES_SQL = """
    SELECT orders.pk::text AS key FROM orders
    WHERE (redemption_id IS NULL) <> (coupon_code IS NULL)
"""

POTION_INGREDIENTS_SQL = """
    SELECT potions.pk::text AS key
    FROM potions LEFT JOIN potion_ingredients ON potion_id = potions.pk
    GROUP BY potions.pk
    HAVING count(potion_id) = 0 OR min(position) <> 0 OR max(position) <> count(*) - 1
"""

OUTLIVED_MAKERS_SQL = """
    SELECT tokens.pk::text AS key
    FROM tokens JOIN tokens AS makers ON makers.pk = tokens.made_with_id
    WHERE tokens.expires_at > makers.expires_at
        OR (tokens.revoked_at IS NULL AND makers.revoked_at IS NOT NULL)
"""

ANONYMISED_USERS_SQL = """
    SELECT DISTINCT users.pk::text AS key FROM users JOIN tokens ON user_id = users.pk
    WHERE email LIKE '%@anonymous.invalid' AND revoked_at IS NULL
"""

ASSERTIONS = [
    sql_assertion(
        "token-makers",
        "A token ends at the latest with the token that it was made with.",
        OUTLIVED_MAKERS_SQL,
    ),
    sql_assertion(
        "anonymised-users",
        "All tokens of an anonymised user are revoked.",
        ANONYMISED_USERS_SQL,
    ),
    sql_assertion(
        "coupon-counts",
        "The initial count of a coupon is its earlier uses, remaining uses and redemptions.",
        COUPON_COUNTS_SQL,
    ),
    sql_assertion(
        "coupon-limits",
        "No user has redeemed a coupon more often than its per-user limit since that was set.",
        COUPON_LIMITS_SQL,
    ),
    sql_assertion(
        "redemption-orders",
        "An order and its redemption refer to each other.",
        REDEMPTION_ORDERS_SQL,
    ),
    sql_assertion(
        "redemption-users",
        "A redemption and its order have the same user.",
        REDEMPTION_USERS_SQL,
    ),
    sql_assertion(
        "redemption-releases",
        "A redemption is released if and only if its order is cancelled.",
        REDEMPTION_RELEASES_SQL,
    ),
    sql_assertion(
        "order-items",
        "Every order has items, and their positions count from 0 without gaps.",
        ORDER_ITEMS_SQL,
    ),
    sql_assertion(
        "order-totals",
        "The totals of an order are the sums of its items by currency.",
        TOTALS_MISMATCH_SQL,
    ),
    sql_assertion(
        "order-currencies",
        "The totals of an order contain each currency once.",
        DUPLICATE_CURRENCIES_SQL,
    ),
    sql_assertion(
        "order-discounts",
        "Only an order with a coupon has a discount.",
        DISCOUNTS_WITHOUT_COUPON_SQL,
    ),
    sql_assertion(
        "discount-allocation",
        "A discount is allocated to items in proportion to their subtotals, to the minor unit.",
        DISCOUNT_ALLOCATION_SQL,
    ),
    sql_assertion(
        "order-item-stores",
        "An item of an order has the store of its product.",
        ITEM_STORES_SQL,
    ),
    sql_assertion(
        "order-fulfilment",
        "An order is fulfilled if all of its items are, partially fulfilled if some of them are.",
        FULFILMENT_SQL,
    ),
    sql_assertion(
        "order-coupon-codes",
        "An order has a coupon code if and only if it has redeemed a coupon.",
        COUPON_CODES_SQL,
    ),
    sql_assertion(
        "potion-ingredients",
        "Every potion has ingredients, and their positions count from 0 without gaps.",
        POTION_INGREDIENTS_SQL,
    ),
]
