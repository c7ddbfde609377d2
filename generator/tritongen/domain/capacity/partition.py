"""Which models share a container: together, apart, or small ones packed onto a machine."""

from collections.abc import Iterable, Sequence

from tritongen.domain.business import Business, Grouping
from tritongen.domain.capacity.service import Group, ServicePlanner
from tritongen.domain.catalogue import Machine
from tritongen.errors import InvalidInputError

# Models whose busiest hour takes at most this share of the least replicas are packed.
_SMALL = 0.85
# Packed replicas are filled up to this share, for the parts that do not add up evenly.
_FILLED = 0.85


def partitions(
    names: Sequence[str], business: Business, planner: ServicePlanner, machine: Machine
) -> tuple[tuple[Group, ...], ...]:
    """Ways to divide the models into services, to choose the cheapest from.

    Raises:
        InvalidInputError: TG353, a service names a model that is not planned.
    """
    if business.services:
        return (named_services(names, business),)
    together = (Group("all" if len(names) > 1 else slug(names[0]), tuple(names)),)
    if len(names) == 1:
        return (together,)
    slugs = unique_slugs(names)
    apart = tuple(Group(slugs[name], (name,)) for name in names)
    if business.grouping is Grouping.TOGETHER:
        return (together,)
    if business.grouping is Grouping.SEPARATE:
        return (apart,)
    packed = _packed(names, planner, machine, machine.cores)
    tight = _packed(names, planner, machine, len(names))
    return tuple(dict.fromkeys((together, apart, packed, tight)))


def named_services(names: Sequence[str], business: Business) -> tuple[Group, ...]:
    """The user's services; models that none names get services of their own.

    Raises:
        InvalidInputError: TG353, a service names a model that is not planned.
    """
    unknown = [
        f"services.{service}: {model}"
        for service, models in business.services.items()
        for model in models
        if model not in names
    ]
    if unknown:
        raise InvalidInputError(
            "TG353", "a service names a model that is not served", details=unknown
        )
    taken = {model for models in business.services.values() for model in models}
    rest = [name for name in names if name not in taken]
    slugs = unique_slugs(rest, business.services)
    return (
        *(Group(name, tuple(sorted(models))) for name, models in business.services.items()),
        *(Group(slugs[name], (name,)) for name in rest),
    )


def unique_slugs(names: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A service's name for each model, all different."""
    used = set(taken)
    result = {}
    for name in names:
        stem = found = slug(name)
        number = 2
        while found in used:
            found = f"{stem[:36]}-{number}"
            number += 1
        used.add(found)
        result[name] = found
    return result


def slug(name: str) -> str:
    """A model's name as the name of a service: lower-case letters, digits and hyphens."""
    text = "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in name.lower())
    text = text.strip("-")[:40].strip("-") or "model"
    text = text if text[0].isalpha() else f"m-{text}"
    return text if len(text) > 1 else f"{text}-model"


def _packed(
    names: Sequence[str], planner: ServicePlanner, machine: Machine, most: int
) -> tuple[Group, ...]:
    """First-fit decreasing: small models fill machines, large ones stay alone.

    Args:
        names: of models.
        planner: of services.
        machine: the type.
        most: models of one container; with more than its cores the rate limiter shares them.
    """
    room = planner.business.min_replicas
    slugs = unique_slugs(names)
    needs = {}
    for name in names:
        screened = planner.screen(Group(slugs[name], (name,)), machine)
        loads = planner.hourly.load(screened.fit).load if not screened.refusal else (1.0,)
        needs[name] = max(loads)
    bins: list[tuple[float, list[str]]] = []
    alone = [name for name in names if needs[name] > _SMALL * room]
    for name in sorted((n for n in names if n not in alone), key=lambda n: (-needs[n], n)):
        for index, (filled, inside) in enumerate(bins):
            if filled + needs[name] <= _FILLED * room and len(inside) < most:
                bins[index] = (filled + needs[name], [*inside, name])
                break
        else:
            bins.append((needs[name], [name]))
    groups = [Group(slugs[name], (name,)) for name in alone]
    for number, (_, inside) in enumerate(bins, start=1):
        single = len(inside) == 1
        name = slugs[inside[0]] if single else f"shared-{number}"
        groups.append(Group(name, tuple(sorted(inside))))
    return tuple(groups)
