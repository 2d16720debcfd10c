"""Parameter types whose values the shell can complete from the store."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from sequence.cli.session import Session


class StoredId(StringParamType):
    """An id of one kind; any unique prefix of at least six hex digits is accepted where it is resolved."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = f"{kind} id"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 -- click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the ids of the store; nothing where it cannot be read."""
        try:
            ids = self._ids(ctx.ensure_object(Session))
        except Exception:  # noqa: BLE001 -- a shell that waits for a completion wants no messages
            return []
        return [CompletionItem(known) for known in ids if known.startswith(incomplete)]

    def _ids(self, session: Session) -> list[str]:
        catalog = session.catalog
        if self.kind == "bundle":
            return list(catalog.bundle_ids())
        if self.kind == "evaluation or bundle":
            return [*(each.eval_id for each in catalog.evaluations()), *catalog.bundle_ids()]
        if self.kind == "artifact":
            return [artifact.id for artifact in catalog.artifacts()]
        if self.kind == "dataset":
            return [dataset.dataset_id for dataset in catalog.datasets()]
        if self.kind == "request":
            from sequence.cli.standings import open_request_ids

            return open_request_ids(catalog)
        return [evaluation.eval_id for evaluation in catalog.evaluations()]


BUNDLE = StoredId("bundle")
ARTIFACT = StoredId("artifact")
DATASET = StoredId("dataset")
EVALUATION = StoredId("evaluation")
REQUEST = StoredId("request")
COMPARABLE = StoredId("evaluation or bundle")
