"""What `check` has to say: each function looks for one kind of trouble and gives the fix.

A check is a function from a `Checked` notebook to diagnostics. To add one, write it in the module of its family, put it into `CHECKS`, and give
its code a row in ``docs/diagnostics.md``. Checks of code look at `Checked.code`, for which every tree is walked once; a word that tells that a
cell is worth the walk belongs into `libraries.WORDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.pipeline.checks import hiding, linking, places, portability, randomness, reading, reproducibility
from nbmlops.pipeline.checks.accepted import is_accepted
from nbmlops.pipeline.checks.checked import Checked
from nbmlops.pipeline.checks.sites import Sites, find_sites

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmlops.pipeline.model import Diagnostic

__all__ = ["CHECKS", "Checked", "Sites", "diagnose", "find_sites"]

CHECKS: tuple[Callable[[Checked], Iterator[Diagnostic]], ...] = (
    reading.unreadable_cells,  # NB105 NB109
    reading.duplicate_stages,  # NB106
    reading.similar_names,  # NB107
    reading.repaired_ids,  # NB108
    reading.no_stages,  # NB112
    linking.kale_values,  # NB123 NB124
    linking.undefined_names,  # NB201
    linking.cycles,  # NB202
    linking.changed_while_held,  # NB202
    linking.hidden_by_reports,  # NB203
    linking.setup_reads_artifacts,  # NB204
    linking.unknown_after,  # NB205
    linking.unknown_outputs,  # NB206
    linking.unknown_conditions,  # NB207
    linking.process_state,  # NB210
    linking.left_behind,  # NB210 NB321 NB323 NB325
    linking.changed_listings,  # NB324
    hiding.dynamic_code,  # NB211
    linking.history,  # NB212
    linking.hidden_by_stars,  # NB216
    linking.left_out,  # NB217
    randomness.unseeded_randomness,  # NB301
    randomness.shared_states,  # NB302
    reproducibility.current_time,  # NB303
    reproducibility.unsorted_listings,  # NB304
    reproducibility.set_order,  # NB305
    places.absolute_paths,  # NB306
    places.network,  # NB307
    reproducibility.machine_facts,  # NB308
    randomness.global_draws,  # NB309
    randomness.unseeded_libraries,  # NB310
    reproducibility.object_hashes,  # NB311
    portability.unseen_processes,  # NB322
    portability.cell_marks,  # NB501
    portability.shell_commands,  # NB502
    portability.installations,  # NB503
    portability.widgets,  # NB504
    places.windows_paths,  # NB505
    portability.questions,  # NB506
)
"""Every check, by the code that it gives."""


def diagnose(checked: Checked) -> tuple[Diagnostic, ...]:
    """Run every check.

    Returns
    -------
    tuple of Diagnostic
        By cell, then line, then code; the same one twice is one, and what the author accepts is left out.
    """
    found: dict[tuple[str, int | None, int | None, str], Diagnostic] = {}
    for check in CHECKS:
        for diagnostic in check(checked):
            if not is_accepted(diagnostic, checked.cells):
                found.setdefault((diagnostic.code, diagnostic.cell, diagnostic.line, diagnostic.message), diagnostic)
    return tuple(sorted(found.values(), key=lambda item: (item.cell or 0, item.line or 0, item.code)))
