"""The map of the collection: pictures whose codes are near lie near."""

from __future__ import annotations

from typing import Annotated
from weakref import WeakKeyDictionary

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from neuralcodes.collection.lookup import every_label, image_of_each_content
from neuralcodes.serve.diskcache import DiskCache
from neuralcodes.serve.page.layout import Layout, Layouts
from neuralcodes.serve.page.rendering import PageRoute, render
from neuralcodes.serve.service import Service
from neuralcodes.serve.services import service_of

MAPS = 256 * 2**20  # bytes on disk
COLOURS = 6  # labels with a colour of their own; the others share one

router = APIRouter(prefix="/map", route_class=PageRoute, include_in_schema=False)
_layouts: WeakKeyDictionary[Service, Layouts] = WeakKeyDictionary()


def layout_of(service: Service) -> Layout:
    """The layout of the present state."""
    if service not in _layouts:
        collection = service.collection
        name = f"{collection.path.resolve()} {collection.spec.fingerprint()}"
        _layouts[service] = Layouts(DiskCache(service.settings.cache / "maps", MAPS), name)
    return _layouts[service].of(service.collection.store.snapshot())


@router.get("")
def map_(request: Request, at: Annotated[int, Query(ge=0, le=2**53 - 1)] = 0) -> Response:
    """The page around it."""
    service = service_of(request)
    layout = layout_of(service)
    labels = _labels(service)
    return render(
        request, "map", "map", "Map", count=len(layout.contents), kept=layout.kept,
        labels=labels[:COLOURS], others=len(labels) - COLOURS, at=at,
        total=len(service.collection.store.snapshot().alive),
    )  # fmt: skip


@router.get("/points")
def points(request: Request) -> Response:
    """The points: a uint32 count n, then n each of float32 x, float32 y, float64 image id and uint8
    label (its number in the page's list, `COLOURS` for any other), little-endian, in blocks padded
    to 8 bytes. Contents in several images are shown once.
    """
    service = service_of(request)
    layout = layout_of(service)
    numbers = {label: number for number, label in enumerate(_labels(service)[:COLOURS])}
    images = image_of_each_content(service.collection.store)
    there = np.array([code in images for code in layout.contents.tolist()], dtype=np.bool_)
    known = [images[code] for code in layout.contents[there].tolist()]
    blocks = [
        np.array([len(known)], "<u4"),
        layout.places[there, 0].astype("<f4"),
        layout.places[there, 1].astype("<f4"),
        np.array([image for image, _ in known], "<f8"),
        np.array([numbers.get(label, COLOURS) for _, label in known], "u1"),
    ]
    data = b"".join(part.tobytes() + bytes(-part.nbytes % 8) for part in blocks)
    return Response(data, media_type="application/octet-stream")


def _labels(service: Service) -> list[str]:
    """Labels, the most frequent first; none where all images have the same."""
    labels = every_label(service.collection.store)
    return labels if len(labels) > 1 else []
