"""Bad and odd uploads, all built in code: what the web page, the API and the worker must survive.

from tests.corpus import ODD_NAMES, Specimen, build_corpus, mutate

@pytest.mark.parametrize("specimen", build_corpus().values(), ids=str)
"""

from functools import cache

from tests.corpus.films import build_films
from tests.corpus.mutants import build_seeds, mutate
from tests.corpus.names import ODD_NAMES
from tests.corpus.pictures import build_pictures
from tests.corpus.specimen import OK, REFUSED_AT_READING, Specimen
from tests.corpus.strangers import build_strangers

__all__ = ["ODD_NAMES", "OK", "REFUSED_AT_READING", "Specimen", "build_corpus", "build_seeds", "mutate"]


@cache
def build_corpus() -> dict[str, Specimen]:
    """Every specimen by its name."""
    specimens = [*build_strangers(), *build_pictures(), *build_films()]
    corpus = {specimen.name: specimen for specimen in specimens}
    if len(corpus) != len(specimens):
        raise ValueError("Two specimens have the same name")
    return corpus
