"""The format of a token's secret."""

import random
import re
from hashlib import sha256

import pytest

from alchemist.domains.users import token_format
from tests.properties import given, st

SEEDS = st.integers(min_value=0, max_value=2**64)
POSITIONS = st.integers(min_value=4, max_value=39)


def make_secret(seed):
    """Return a well-formed secret that depends on the seed alone."""
    characters = "".join(random.Random(seed).choices(token_format.ALPHABET, k=30))
    return f"alc_{characters}{token_format._checksum(characters)}"


def test_a_secret_is_alc_and_36_base62_characters():
    assert re.fullmatch(r"alc_[0-9A-Za-z]{36}", token_format.generate())


def test_generated_secrets_are_well_formed_and_unique():
    secrets = [token_format.generate() for _ in range(200)]
    assert all(token_format.is_well_formed(secret) for secret in secrets)
    assert len(set(secrets)) == len(secrets)


def test_a_secret_uses_the_whole_alphabet_at_every_position():
    secrets = [token_format.generate()[4:34] for _ in range(2000)]
    assert all(
        {secret[position] for secret in secrets} == set(token_format.ALPHABET)
        for position in range(30)
    )


@given(seed=SEEDS, position=POSITIONS, letter=st.sampled_from(token_format.ALPHABET))
def test_a_change_of_one_character_is_detected(seed, position, letter):
    secret = make_secret(seed)
    changed = secret[:position] + letter + secret[position + 1 :]
    assert token_format.is_well_formed(changed) == (changed == secret)


def test_every_change_of_one_character_of_a_secret_is_detected():
    secret = make_secret(7)
    changed = {
        secret[:position] + letter + secret[position + 1 :]
        for position in range(len(secret))
        for letter in token_format.ALPHABET + "_-é "
    } - {secret}
    assert len(changed) > 2000
    assert not [text for text in changed if token_format.is_well_formed(text)]


@given(seed=SEEDS, left=POSITIONS, right=POSITIONS)
def test_a_transposition_is_detected(seed, left, right):
    secret = make_secret(seed)
    letters = list(secret)
    letters[left], letters[right] = letters[right], letters[left]
    swapped = "".join(letters)
    assert token_format.is_well_formed(swapped) == (swapped == secret)


@pytest.mark.parametrize("text", ["", "alc_", "alc_" + "0" * 36, "x" * 40, "alc_" + "é" * 36])
def test_a_text_that_is_no_secret_is_malformed(text):
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
def test_an_edited_secret_is_malformed(edit):
    assert not token_format.is_well_formed(edit(make_secret(3)))


def test_the_digest_is_sha_256_in_hex():
    secret = make_secret(1)
    assert token_format.digest(secret) == sha256(secret.encode()).hexdigest()
