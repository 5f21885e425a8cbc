"""What every page shows of the collection; counted again only when something has changed."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from neuralcodes.serve import models
from neuralcodes.serve.service import Service


@dataclass(frozen=True)
class Facts:
    """The collection in figures, and what filters can choose among."""

    info: models.CollectionInfo
    facets: tuple[models.Facet, ...]

    @property
    def choosable(self) -> list[models.Facet]:
        """Columns with values to choose among."""
        return [one for one in self.facets if one.distinct > 1]


_known: WeakKeyDictionary[Service, tuple[int, Facts]] = WeakKeyDictionary()


def facts_of(service: Service) -> Facts:
    """The present facts."""
    version = service.collection.store.version()
    known = _known.get(service)
    if known is None or known[0] != version:
        known = version, Facts(service.info(), tuple(service.facets().facets))
        _known[service] = known
    return known[1]
