from __future__ import annotations

import msgspec
import pytest

from planner.domain.device import DeviceKind
from planner.domain.figure import Basis
from planner.domain.scenario import Hardware
from planner.domain.units import GIB
from planner.estimate.capacity import capacity_of
from tests.choose.records import BOARD, GPU


def test_what_the_driver_exposes_wins() -> None:
    figure = capacity_of(GPU, Hardware(device_id=GPU.id))
    assert figure is not None
    assert figure.value == GPU.usable_bytes
    assert figure.basis is Basis.PUBLISHED


def test_a_bare_24gb_is_a_nominal_24_gib_card_less_a_reserve() -> None:
    figure = capacity_of(None, Hardware(memory_bytes=24 * GIB))
    assert figure is not None
    assert 0.93 * 24 * GIB < figure.value < 24 * GIB
    assert figure.basis is Basis.MODELLED
    assert figure.note is not None
    assert "24 GiB" in figure.note


def test_boards_and_cpus_leave_the_system_its_share() -> None:
    board = capacity_of(BOARD, Hardware(device_id=BOARD.id))
    cpu = capacity_of(None, Hardware(memory_bytes=8 * GIB, kind=DeviceKind.CPU))
    assert board is not None
    assert cpu is not None
    assert board.value == cpu.value == pytest.approx(8 * GIB - 0.9 * GIB)


def test_other_memory_than_the_record_s_is_nominal() -> None:
    figure = capacity_of(GPU, Hardware(device_id=GPU.id, memory_bytes=48 * GIB))
    assert figure is not None
    assert figure.value > 40 * GIB


def test_apple_lets_a_gpu_have_part_of_unified_memory() -> None:
    mac = msgspec.structs.replace(GPU, vendor="Apple", usable_bytes=None)
    figure = capacity_of(mac, Hardware(device_id=mac.id))
    assert figure is not None
    assert figure.value == pytest.approx(0.7 * 24 * GIB)


def test_no_memory_named_is_unknown() -> None:
    assert capacity_of(None, None) is None
    assert capacity_of(None, Hardware(kind=DeviceKind.CPU)) is None
