"""The form of a token's secret."""

import random
import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alchemist.domains.users import token_format

SEEDS = st.integers(min_value=0, max_value=2**64)
PLACES = st.integers(min_value=4, max_value=39)


def secret_of(seed):
    """Return a well-formed secret that is the same for the same seed."""
    body = "".join(random.Random(seed).choices(token_format.ALPHABET, k=30))
    return f"alc_{body}{token_format._checksum(body)}"


def test_a_secret_is_alc_and_36_base62_characters():
    assert re.fullmatch(r"alc_[0-9A-Za-z]{36}", token_format.generate())


def test_a_made_secret_is_wellformed_and_new():
    made = [token_format.generate() for _ in range(200)]
    assert all(token_format.is_well_formed(secret) for secret in made)
    assert len(set(made)) == len(made)


def test_a_secret_uses_the_whole_alphabet_at_every_place():
    made = [token_format.generate()[4:34] for _ in range(2000)]
    assert all(
        {secret[place] for secret in made} == set(token_format.ALPHABET) for place in range(30)
    )


@given(seed=SEEDS, place=PLACES, letter=st.sampled_from(token_format.ALPHABET))
def test_every_change_of_one_character_is_caught(seed, place, letter):
    secret = secret_of(seed)
    changed = secret[:place] + letter + secret[place + 1 :]
    assert token_format.is_well_formed(changed) == (changed == secret)


def test_every_change_of_one_character_of_one_secret_is_caught():
    secret = secret_of(7)
    changed = {
        secret[:place] + letter + secret[place + 1 :]
        for place in range(len(secret))
        for letter in token_format.ALPHABET + "_-é "
    } - {secret}
    assert len(changed) > 2000
    assert not [text for text in changed if token_format.is_well_formed(text)]


@given(seed=SEEDS, one=PLACES, other=PLACES)
def test_every_transposition_is_caught(seed, one, other):
    secret = secret_of(seed)
    letters = list(secret)
    letters[one], letters[other] = letters[other], letters[one]
    swapped = "".join(letters)
    assert token_format.is_well_formed(swapped) == (swapped == secret)


@pytest.mark.parametrize("text", ["", "alc_", "alc_" + "0" * 36, "x" * 40, "alc_" + "é" * 36])
def test_what_was_never_a_secret_is_malformed(text):
    assert not token_format.is_well_formed(text)


@pytest.mark.parametrize(
    "edit",
    [
        str.upper,
        str.lower,
        lambda s: s + "\n",
        lambda s: f" {s}",
        lambda s: s[:-1],
        lambda s: s[4:],
    ],
)
def test_a_secret_in_another_form_is_malformed(edit):
    assert not token_format.is_well_formed(edit(secret_of(3)))


def test_the_digest_is_sha_256_in_hex():
    secret = secret_of(1)
    assert token_format.digest(secret) == sha256(secret.encode()).hexdigest()
