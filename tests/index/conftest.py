"""A Milvus server for the tests that need one; started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from milvus_process import MilvusProcess


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProcess]:
    server = MilvusProcess(tmp_path_factory.mktemp("milvus"))
    server.start()
    yield server
    server.kill()
