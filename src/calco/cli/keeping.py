"""The verb of what is kept to save time."""

from typing import Annotated

from cyclopts import Parameter


def cache(*, clear: Annotated[bool, Parameter(help="Remove all of it.", negative="")] = False) -> None:
    """Say where decoded images and nets of figures are kept and how large they are, or remove them."""
    from calco.data.cache import cache_bound, cache_folder, entries
    from calco.data.cache import clear as remove

    if clear:
        files, size = remove()
        print(f"Removed {files:,} files of {size / 1e6:,.1f} MB from {cache_folder()}.")
        return
    kept = entries()
    size = sum(entry.size for entry in kept)
    print(
        f"{cache_folder()} keeps {len(kept):,} files of {size / 1e6:,.1f} MB; at most {cache_bound() / 1e6:,.1f} MB, by"
        " CALCO_CACHE_SIZE. Empty it with: calco cache --clear"
    )
