"""Bodies and addresses of the API that are no values of the service's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from neuralcodes.serve import models
from neuralcodes.serve.errors import RefusedError

CropText = Annotated[
    str,
    Field(
        pattern=r"^(0|1|0?\.\d{1,9}|1\.0{1,9})(,(0|1|0?\.\d{1,9}|1\.0{1,9})){3}$",
        description="LEFT,TOP,WIDTH,HEIGHT as fractions of the picture",
    ),
]


def parse_crop(text: str | None) -> models.Crop | None:
    """A crop as it stands in an address.

    Raises:
        RefusedError: it has no area.
    """
    if text is None:
        return None
    left, top, width, height = map(float, text.split(","))
    try:
        return models.Crop(left=left, top=top, width=width, height=height)
    except ValidationError:
        raise RefusedError("crop: width and height must be above 0") from None


class SearchQuery(models.Model):
    """`models.Search` as it stands in an address; crop as LEFT,TOP,WIDTH,HEIGHT."""

    id: list[models.Id] = Field(default=[], max_length=64)
    upload: list[models.UploadId] = Field(default=[], max_length=64)
    text: str | None = Field(default=None, min_length=1, max_length=1000)
    exclude: list[models.Id] = Field(default=[], max_length=64)
    exclude_upload: list[models.UploadId] = Field(default=[], max_length=64)
    crop: CropText | None = None
    filter: str | None = Field(default=None, min_length=1, max_length=2000)
    k: Annotated[int, Field(ge=1, le=1000)] = 20
    page: Annotated[int, Field(ge=1, le=10_000)] = 1
    exact: bool = False

    def search(self) -> models.Search:
        """What is searched by.

        Raises:
            RefusedError: a crop without area.
        """
        values = self.model_dump(exclude={"crop"})
        return models.Search(**values, crop=parse_crop(self.crop))


class Batch(models.Model):
    """Several searches."""

    queries: list[models.Search] = Field(min_length=1, max_length=1000)


class BatchLine(models.Model):
    """The answer to one of them, or what was wrong with it."""

    index: int
    answer: models.Answer | None = None
    problem: models.Problem | None = None


class JobRequest(models.Model):
    """Long work: bring the collection up to date, give back room, or look for duplicates."""

    kind: Literal["sync", "compact", "duplicates"]
    retry_bad: bool = Field(default=False, description="sync: try unreadable files again")
    recalibrate: bool = Field(default=False, description="duplicates: measure the threshold again")
