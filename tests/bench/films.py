"""What the benchmarks read: the real films beside the project, else drawn ones of the same kind."""

from tests.bench.report import ROOT

SHARED = ROOT.parent / "shared" / "data"
DRAWN = 48
SMALL = 96


def load_films() -> tuple[str, list[tuple[str, bytes]]]:
    """Where they come from, and (file name, bytes) of each."""
    paths = [*sorted(SHARED.glob("fullsize/*/*.jpeg")), *sorted(SHARED.glob("dicom/*.dcm"))]
    if paths:
        return "real, full size", [(path.name, path.read_bytes()) for path in paths]
    from diagnostics import phantom

    drawn = [phantom.encode_jpeg(phantom.draw_film(seed=seed, width=1400, height=1200)) for seed in range(DRAWN)]
    return "drawn", [(f"drawn-{index:02}.jpg", content) for index, content in enumerate(drawn)]


def load_small_films() -> tuple[str, list[bytes]]:
    """Films at the size that the network reads, as many as `SMALL`: of the training folder, else drawn."""
    paths = sorted(SHARED.glob("pediatric/train/*/*.jpeg"))
    if paths:
        return "real, 224 pixels", [path.read_bytes() for path in paths[:: len(paths) // SMALL][:SMALL]]
    from diagnostics import phantom

    return "drawn", [phantom.encode_jpeg(phantom.draw_film(seed=seed, width=224, height=224)) for seed in range(SMALL)]
