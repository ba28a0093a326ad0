"""Which fault shows when. Pure functions over the switches of `switches.py`.

A decision follows from the seed, the switch and the number of the request alone, and for what is
wrong with a stone from its serial in place of the number. So the same seed and the same order of
requests give the same faults, whatever else is switched on.
"""

import hashlib
import json
import random
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from simulator import file_switches, identity, switches
from simulator.switches import AnySwitch

SWITCHES = {kind.name: kind for kind in (*switches.ALL, *file_switches.ALL)}

Switches = Mapping[str, AnySwitch]


class BadFaultError(ValueError):
    """No such switch, or an option that it does not take; says which."""


def read(named: object) -> dict[str, AnySwitch]:
    """Switches from {name: {option: value}}. Raises BadFaultError."""
    if not isinstance(named, Mapping):
        raise BadFaultError("send an object of switches: {name: {option: value}}")
    return {str(name): _switch(str(name), options) for name, options in named.items()}


def read_changes(body: bytes) -> dict[str, AnySwitch | None]:
    """The same from JSON, where null stands for off. Raises BadFaultError."""
    try:
        named = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadFaultError(f"not JSON: {error}") from error
    on = read(
        {name: value for name, value in named.items() if value is not None}
        if isinstance(named, dict)
        else named
    )
    off = [name for name in named if named[name] is None]
    if unknown := [name for name in off if name not in SWITCHES]:
        raise BadFaultError(_unknown(unknown[0]))
    return {**on, **dict.fromkeys(off)}


def read_flag(text: str) -> AnySwitch:
    """A switch from `name:key=value,key=value`; a list is `a+b`. Raises BadFaultError."""
    name, _, rest = text.partition(":")
    options = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise BadFaultError(f"{name}: {part!r} is not key=value")
        options[key.strip().replace("-", "_")] = value
    return _switch(name, options)


def _switch(name: str, options: object) -> AnySwitch:
    if name not in SWITCHES:
        raise BadFaultError(_unknown(name))
    if not isinstance(options, Mapping):
        raise BadFaultError(f"{name}: options are an object, not {options!r}")
    try:
        return SWITCHES[name].model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"][:1])) or "options"
        raise BadFaultError(f"{name}: {where}: {first['msg']}") from error


def _unknown(name: str) -> str:
    return f"no switch is named {name!r}; there are {', '.join(SWITCHES)}"


def draw(switch: AnySwitch, seed: int, number: int) -> random.Random | None:
    """What the fault draws its details from where it hits this request; None where it does not.

    seed    for a switch without one of its own
    number  of the request, from 1
    """
    rng = random.Random(f"{_seed(switch, seed)}:{switch.name}:{number}")
    return rng if rng.random() < switch.probability else None


def chosen(
    switch: AnySwitch, seed: int, serials: NDArray[np.uint32], kind: str
) -> NDArray[np.bool_]:
    """Which stones of a kind the fault has hit, for ever."""
    return shares(switch, seed, serials, kind) < switch.probability


def shares(
    switch: AnySwitch, seed: int, serials: NDArray[np.uint32], kind: str
) -> NDArray[np.float64]:
    """An even number from 0 to below 1 for each stone, always the same."""
    digest = hashlib.blake2b(f"{_seed(switch, seed)}:{switch.name}:{kind}".encode(), digest_size=8)
    words = identity.bits(serials.astype(np.uint64), int.from_bytes(digest.digest(), "big"))
    return np.asarray((words >> np.uint64(11)) * 2.0**-53, np.float64)


def _seed(switch: AnySwitch, seed: int) -> int:
    return seed if switch.seed is None else switch.seed
