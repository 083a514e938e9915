"""How passwords are hashed."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class FrugalArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id with the parameters of OWASP's Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane.

    Django's default takes 100 MiB for each log-in, more than a whole web process of ours has.
    """

    time_cost, memory_cost, parallelism = 2, 19_456, 1
