"""Read a YAML file into a frozen document, so that every problem names file, line and key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bundles.canonical import explain
from bundles.errors import MalformedDocumentError

if TYPE_CHECKING:
    import yaml

Read = TypeVar("Read")
Path = tuple[int | str, ...]


def read_yaml(schema: type[Read], text: str, name: str) -> Read:
    """Return the document that YAML text describes; ``name`` is the file's name in messages.

    Raises:
        MalformedDocumentError: bad YAML, a key given twice, an alias, or anything that the schema does not know.

    """
    import yaml  # most commands read no YAML

    lines: dict[Path, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        data = _plain(loader, root, (), lines, set(), name) if root is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise MalformedDocumentError(f"{name}:{line}: not valid YAML: {error.problem}. Correct this line.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise MalformedDocumentError(f"{name}:1: not valid YAML: {error}.") from error

    def locate(place: Path) -> str:
        known = next(place[:end] for end in range(len(place), -1, -1) if place[:end] in lines or not end)
        return f"{name}:{lines.get(known, 1)}: {'.'.join(map(str, place)) or 'the whole file'}"

    try:
        return TypeAdapter(schema).validate_python(data)
    except ValidationError as error:
        raise MalformedDocumentError(explain(error, name, locate)) from error


def _plain(
    loader: yaml.SafeLoader, node: yaml.Node, path: Path, lines: dict[Path, int], seen: set[int], name: str
) -> Any:
    """Return a node as plain data, noting in ``lines`` where each path begins."""
    lines.setdefault(path, node.start_mark.line + 1)
    from yaml import ScalarNode, SequenceNode

    if isinstance(node, ScalarNode):
        try:
            return loader.construct_object(node)
        except ValueError as error:  # such as the date 2026-02-31
            raise MalformedDocumentError(f"{name}:{node.start_mark.line + 1}: not valid YAML: {error}.") from error
    if id(node) in seen:
        raise MalformedDocumentError(
            f"{name}:{node.start_mark.line + 1}: aliases are not supported. Write the value out."
        )
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        return [_plain(loader, item, (*path, at), lines, seen, name) for at, item in enumerate(node.value)]
    fields: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            raise MalformedDocumentError(f"{name}:{line}: a key must be a plain word.")
        key = key_node.value
        if key in fields:
            raise MalformedDocumentError(f"{name}:{line}: {'.'.join(map(str, (*path, key)))} is given twice. Keep one.")
        lines[*path, key] = line
        fields[key] = _plain(loader, value_node, (*path, key), lines, seen, name)
    return fields
