"""The currencies of ISO 4217, each with the decimals of its amounts."""

from decimal import Decimal

from iso4217 import Currency
from sqlalchemy import ColumnElement, and_, case, func, literal_column

from alchemist.errors import ErrorDetail

# Precious metals and test codes have no decimals. Nobody pays with them.
DECIMALS: dict[str, int] = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
CURRENCIES = sorted(DECIMALS)
MAX_DIGITS = 12
MAX_DECIMALS = max(DECIMALS.values())
USUAL_DECIMALS = 2
# In SQL: by the number of decimals, the codes.
_UNUSUAL = {
    str(number): ", ".join(f"'{code}'" for code in CURRENCIES if DECIMALS[code] == number)
    for number in sorted({*DECIMALS.values()} - {USUAL_DECIMALS})
}


def is_valid_amount(amount: Decimal, currency: str) -> bool:
    """Return whether the amount has the decimals of the currency or less, and 12 digits at most."""
    units = amount.scaleb(DECIMALS[currency])
    exponent = units.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= 0 and units < 10**MAX_DIGITS


def amount_errors(amount: Decimal, currency: str, pointer: str) -> list[ErrorDetail]:
    """Return an error if the currency has no such amount."""
    if is_valid_amount(amount, currency):
        return []
    return [
        {"pointer": pointer, "code": "out-of-range", "detail": describe_valid_amounts(currency)}
    ]


def describe_valid_amounts(currency: str) -> str:
    """Return a sentence about the amounts that the currency has."""
    decimals = DECIMALS[currency]
    return (
        f"An amount in {currency} has at most {MAX_DIGITS - decimals} digits before the point and "
        + (f"{decimals} after it." if decimals else "none after it.")
    )


def decimals_sql(currency: ColumnElement[str]) -> ColumnElement[int]:
    """Return the expression for the decimals of a column with currency codes."""
    # Literals: a CHECK constraint has no parameters.
    cases: list[tuple[ColumnElement[bool], ColumnElement[int]]] = [
        (
            currency.op("IN", is_comparison=True)(literal_column(f"({codes})")),
            literal_column(number),
        )
        for number, codes in _UNUSUAL.items()
    ]
    return case(*cases, else_=literal_column(str(USUAL_DECIMALS)))


def is_valid_amount_sql(
    amount: ColumnElement[Decimal], currency: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the expression for `is_valid_amount` of two columns."""
    decimals = decimals_sql(currency)
    units = amount * func.power(literal_column("10::numeric"), decimals)
    limit: ColumnElement[Decimal] = literal_column(f"1e{MAX_DIGITS}")
    return and_(amount == func.round(amount, decimals), units < limit)
