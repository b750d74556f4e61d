"""A contract for import-linter: no file imports two hosts."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OneHostContract(Contract):
    """Broken by modules that import more than one of the ``hosts``."""

    hosts = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Check every module, including imports inside functions."""
        hosts = set(self.hosts)
        imported = {
            module: graph.find_modules_directly_imported_by(module) & hosts
            for module in graph.modules - hosts
        }
        crowded = {module: sorted(found) for module, found in imported.items() if len(found) > 1}
        return ContractCheck(kept=not crowded, metadata={'crowded': crowded})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the modules and the hosts that they import."""
        for module, hosts in sorted(check.metadata['crowded'].items()):
            output.print_error(f'{module} imports {" and ".join(hosts)}')
