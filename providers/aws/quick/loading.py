"""A loader of models that has those of the balancers at hand (see `cut`) and leaves all others to botocore."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

from providers.aws.quick.cut import API, ENDPOINTS, HERE, MODEL, VERSION


class QuickLoader(Loader):  # type: ignore[misc]
    """Not for operations that were not cut."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        if service_name != API:
            return super().load_service_model(service_name, type_name, api_version)
        if type_name == "service-2":
            return _read(MODEL)
        return self.load_data(f"{API}/{VERSION}/{type_name}")  # it would look through all services for it

    def load_data_with_path(self, name: str) -> Any:
        if name != "endpoints":
            return super().load_data_with_path(name)
        return _read(ENDPOINTS), str(Path(self.BUILTIN_DATA_PATH) / "endpoints.json")


def quickened(session: Any) -> Any:
    """The same session; with models of the user's own in the usual places, it goes on reading those."""
    if session.get_config_variable("data_path") is None and not Path(Loader.CUSTOMER_DATA_PATH).is_dir():
        session.register_component("data_loader", QuickLoader())
    return session


def _read(name: str) -> Any:
    return json.loads((HERE / name).read_bytes())
