"""The password hash: Argon2id, and cheap enough in memory for a small web process."""

from accounts.hashers import FrugalArgon2PasswordHasher


def test_the_hash_is_argon2id_with_owasps_parameters() -> None:
    encoded = FrugalArgon2PasswordHasher().encode("seven quiet lamps", "a-long-enough-salt")
    assert encoded.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_with_other_parameters_is_renewed_at_the_next_log_in() -> None:
    hasher = FrugalArgon2PasswordHasher()
    dearer = hasher.encode("seven quiet lamps", "a-long-enough-salt").replace("t=2", "t=3")
    assert hasher.must_update(dearer)
