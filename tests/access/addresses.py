"""Every address of the portal, found in the resolver, and under which key it stands in the table."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver


def all_keys() -> list[str]:
    """`namespace:name` of every address; the route itself where it has no name."""
    return [key for key, _ in _walk(get_resolver().url_patterns, "", "")]


def route_of(key: str) -> str:
    """The route of an address without a name."""
    return next(route for found, route in _walk(get_resolver().url_patterns, "", "") if found == key)


def _walk(patterns: list[URLPattern | URLResolver], route: str, namespace: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        whole = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _walk(pattern.url_patterns, whole, inner)
        else:
            yield (f"{namespace}{pattern.name}" if pattern.name else f"/{whole}"), whole
