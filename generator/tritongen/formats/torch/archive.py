"""What every archive of PyTorch has in common, and what makes one dangerous."""

from collections.abc import Iterator

from tritongen.formats.parsing.pickles import Pickle, read_pickle
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.parsing.zip_archives import Archive, is_bomb, leaves
from tritongen.formats.reading import ModelSource
from tritongen.formats.torch.pickled_weights import foreign_names
from tritongen.model.findings import Finding

# A pickle describes modules and tensors; its size goes by their number, not by their bytes.
MAX_PICKLE_BYTES = 64 << 20


def root_of(archive: Archive) -> str:
    """The folder in the archive that everything lies in, with a slash."""
    first = archive.entries[0].filename if archive.entries else ""
    return first.partition("/")[0] + "/"


def pickle_in(archive: Archive, name: str) -> Pickle | None:
    """One pickle of the archive, described; None when there is none of that name.

    Raises:
        DamagedError: it cannot be followed.
    """
    entry = archive.get(name)
    return None if entry is None else read_pickle(archive.read(entry, MAX_PICKLE_BYTES))


def weight_bytes(archive: Archive) -> int:
    """Bytes of the tensors' storages."""
    return sum(
        entry.file_size
        for entry in archive.entries
        if any(folder in entry.filename for folder in ("/data/", "/constants/", "/weights/"))
    )


def dangers(source: ModelSource, archive: Archive, *pickles: Pickle | None) -> Iterator[Finding]:
    """Entries and names that no model has reason to hold."""
    outside = next((entry.filename for entry in archive.entries if leaves(entry)), None)
    if outside is not None:
        yield source.finding("TG138", f"the archive holds a file named {outside!r}")
    bomb = next((entry for entry in archive.entries if is_bomb(entry)), None)
    if bomb is not None:
        growth = f"from {bomb.compress_size} to {bomb.file_size} bytes"
        yield source.finding("TG138", f"{bomb.filename} would grow {growth}")
    for pickle in pickles:
        names = foreign_names(pickle) if pickle is not None else ()
        if names:
            shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            yield source.finding("TG138", f"a pickle in it refers to {shown}")


def first_line(archive: Archive, name: str) -> str:
    """The first line of a short text, empty when it is not there."""
    entry = archive.get(name)
    if entry is None or entry.file_size > 1 << 10:
        return ""
    try:
        lines = archive.read(entry, 1 << 10).decode("ascii", "replace").splitlines()
    except DamagedError:
        return ""
    return lines[0].strip() if lines else ""
