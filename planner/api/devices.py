"""Device types."""

from __future__ import annotations

from litestar import Router, get, put
from litestar.params import JSONBody

from planner.api.parameters import Cursor, DevicePage, Limit, Name, Search, ServiceParameter
from planner.domain.device import Device
from planner.errors import InvalidInput
from planner.wire.page import DEFAULT_LIMIT


@get("/devices", operation_id="listDevices", summary="List device types", sync_to_thread=True)
def list_devices(
    service: ServiceParameter,
    search: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> DevicePage:
    """Return a page of device types, by id."""
    return service.devices(search=search, limit=limit, cursor=cursor)


@get(
    "/devices/{name:str}",
    operation_id="getDevice",
    summary="Return one device type by id, name or alias",
    sync_to_thread=True,
)
def get_device(service: ServiceParameter, name: Name) -> Device:
    """Return a device type."""
    return service.device(name)


@put(
    "/devices/{name:str}",
    operation_id="putDevice",
    summary="Add a device type, or update what is known of it",
    sync_to_thread=True,
)
def put_device(service: ServiceParameter, name: Name, data: JSONBody[Device]) -> Device:
    """Store a device type under its id."""
    if data.id != name:
        raise InvalidInput("id", f"`{data.id}` is not the id in the path", allowed=name)
    return service.put_device(data)


router = Router("/", route_handlers=[list_devices, get_device, put_device], tags=["Devices"])
