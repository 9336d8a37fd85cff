"""What importing a module does: which modules it imports, and whether it does more than define names."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.acting import acts, looks_for_subclasses, root_name
from nbmlops.dataflow.normalise import fingerprint
from nbmlops.dataflow.scopes import analyse

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ModuleSource", "read_module"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSource:
    """What reading the source of a module tells.

    Parameters
    ----------
    digest : str
        Of its normalised source.
    imports : tuple of str
        Dotted names of what it imports, anywhere in it.
    acts : bool
        Whether importing it may change what is not its own: a stage that uses no name of it depends on it all the same.
    derives, notes : bool
        Whether it makes subclasses of classes of other modules, and whether it finds classes without their names.
    """

    digest: str
    imports: tuple[str, ...] = ()
    acts: bool = True
    derives: bool = False
    notes: bool = False


def read_module(source: bytes, package: str) -> ModuleSource:
    """Read the source of a module.

    Parameters
    ----------
    source : bytes
    package : str
        The dotted package that its relative imports start from.

    Raises
    ------
    SyntaxError, ValueError
        If it does not parse.
    """
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    bound = {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}
    return ModuleSource(
        digest=fingerprint(tree),
        imports=tuple(_imports(imports, package)),
        acts=any(acts(node, bound) for node in tree.body) or bool(analyse(tree).process_state),
        derives=any(isinstance(node, ast.ClassDef) and any(root_name(base) in bound for base in node.bases) for node in tree.body),
        notes=looks_for_subclasses(tree),
    )


def _imports(nodes: Iterable[ast.Import | ast.ImportFrom], package: str) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if base)
