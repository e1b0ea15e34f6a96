"""Docstrings tell when a function fails, and what each field of a dataclass is."""

import ast
import re
from collections.abc import Iterator

from tests.sources import modules

_WITHOUT_CONDITION = re.compile(r"Error: (as `|as these|it is so|so it is|so they are|it is\.)")
_FEW_FIELDS = 2


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    for path, module in modules().items():
        for node in ast.walk(module):
            yield path, node


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _undocumented(node: ast.ClassDef) -> Iterator[str]:
    """Yield the fields of a dataclass that have neither a docstring under them nor the help of an option."""
    following = [*node.body[1:], ast.Pass()]
    for statement, after in zip(node.body, following, strict=True):
        if isinstance(statement, ast.AnnAssign) and not (_is_text(after) or _has_help(statement)):
            yield ast.unparse(statement.target)


def _has_help(field: ast.AnnAssign) -> bool:
    if ast.unparse(field.annotation) == "ClassVar":
        return True
    return isinstance(field.value, ast.Call) and ast.unparse(field.value.func) in (
        "option",
        "same_option",
        "argument",
    )


def test_every_error_has_the_condition_under_which_it_is_raised() -> None:
    functions = [(path, node) for path, node in _nodes() if isinstance(node, ast.FunctionDef)]
    assert len(functions) > 500
    found = [
        f"{path}: {node.name}"
        for path, node in functions
        if _WITHOUT_CONDITION.search(ast.get_docstring(node) or "")
    ]
    assert not found


def test_every_field_of_a_public_dataclass_of_more_than_two_is_documented_under_it() -> None:
    found = [
        f"{path}: {node.name}.{field}"
        for path, node in _nodes()
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        if sum(isinstance(each, ast.AnnAssign) for each in node.body) > _FEW_FIELDS
        for field in _undocumented(node)
    ]
    assert not found
