"""Machine types: what they have, what they cost, and how fast they are against each other."""

from tritongen.fleet.catalogue.machine_type import Machine
from tritongen.fleet.catalogue.price_list import Catalogue, chosen, parse_catalogue, with_prices
from tritongen.fleet.catalogue.processors import (
    Processor,
    Speed,
    processor_of,
    relative_speed,
    same_processor,
)

__all__ = [
    "Catalogue",
    "Machine",
    "Processor",
    "Speed",
    "chosen",
    "parse_catalogue",
    "processor_of",
    "relative_speed",
    "same_processor",
    "with_prices",
]
