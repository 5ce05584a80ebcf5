"""The bundles of a line as people see them: manifest, signature, calibrations, installed versions.

Nothing here verifies a bundle: that takes a core for seconds, and the line does it when it opens
one. `linewarden bundle` does it before it activates a version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.panel.command import linewarden
from edge.recipe.config import RecipesConfig
from edge.station.config import LineConfig
from inspection.bundle import calibrated_recipes
from inspection.bundle.installed import ACTIVE, BundleStore, Version
from inspection.bundle.manifest import MANIFEST, parse_manifest
from inspection.errors import BundleError
from inspection.trust.signature import read_signature

_ACTIVATE_S = 600.0  # an engine may take minutes to open beside a line that inspects


@dataclass(frozen=True)
class BundleView:
    """A bundle on the disk.

    Attributes:
        model: and backbone.
        sha256: of the manifest, which has the hash of every file.
        signer: id of the key; empty without a signature.
        problem: why it cannot be read; the other fields are then empty.
        versions: in the store, the newest first; empty for a bundle outside of one.
    """

    folder: Path
    name: str = ""
    model: str = ""
    created_utc: str = ""
    sha256: str = ""
    signer: str = ""
    recipes: tuple[str, ...] = ()
    problem: str = ""
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True)
class RecipeView:
    """A recipe of a line; `number` is None for the only one of a line without numbers."""

    number: int | None
    recipe: str
    bundle: Path


def recipes_of(config: LineConfig) -> list[RecipeView]:
    """Returns the recipes of a line, in the order of their numbers."""
    views = [
        RecipeView(number, one.recipe, one.bundle) for number, one in config.by_number().items()
    ]
    return sorted(views, key=lambda one: one.number or 0)


def recipe_names(config: LineConfig) -> list[str]:
    """Returns the recipes that records of a line can name: those of its views too."""
    names = set()
    for one in config.by_number().values():
        names |= {one.recipe, *(view.recipe or one.recipe for view in one.views.values())}
    return sorted(names)


def bundle_of(config: LineConfig, recipe_number: int | None, view: str) -> Path:
    """Returns the bundle that judges a view under a recipe; the line's where it has neither."""
    number = recipe_number if recipe_number in config.recipes else None
    changed: RecipesConfig = config if number is None else config.with_recipe(number)
    found = changed.views.get(view)
    return found.bundle if found is not None and found.bundle is not None else changed.bundle


def bundles_of(config: LineConfig) -> list[BundleView]:
    """Returns the bundles that the recipes and views of a line name, each once."""
    return [_view(folder) for folder in dict.fromkeys(_folders(config))]


def store_of(bundle: Path) -> tuple[BundleStore, str] | None:
    """Returns the store of a bundle that a line opens by its link `active`, and its name there."""
    if bundle.name != ACTIVE or not bundle.is_symlink():
        return None
    return BundleStore(bundle.parents[1]), bundle.parent.name


def activate(version: Version) -> None:
    """Verifies a version, runs its golden frames on this device, and activates it.

    Raises:
        LinewardenError: the version does not verify or does not run here; nothing was changed.
    """
    store = version.folder.parents[1]
    words = ("bundle", "activate", version.name, version.version, "--store", store)
    linewarden(*words, within_s=_ACTIVATE_S)


def _folders(config: LineConfig) -> Iterator[Path]:
    for one in config.by_number().values():
        yield one.bundle
        yield from (view.bundle for view in one.views.values() if view.bundle is not None)


def _view(folder: Path) -> BundleView:
    try:
        content = (folder / MANIFEST).read_bytes()
        manifest = parse_manifest(content, folder)
        signature = read_signature(folder)
        recipes = tuple(calibrated_recipes(folder))
    except (BundleError, OSError) as error:
        return BundleView(folder, problem=str(error))
    found = store_of(folder)
    return BundleView(
        folder,
        name=manifest.name,
        model=" · ".join(filter(None, [manifest.model, manifest.backbone])),
        created_utc=manifest.created_utc,
        sha256=hashlib.sha256(content).hexdigest(),
        signer=signature.statement.key_id if signature is not None else "",
        recipes=recipes,
        versions=tuple(found[0].versions(found[1])) if found is not None else (),
    )
