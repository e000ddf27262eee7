"""How many lines the user writes, by one rule for scripts and recipes.

A line counts if it holds code: not if it is blank, a comment, part of an import or part of a docstring. Of a recipe
every line counts that is neither blank nor a comment, and the command that builds it is one more.
"""

import ast
import io
import tokenize

SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def script_lines(text: str) -> int:
    """Lines of Python that count."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))  # type: ignore[attr-defined]
    return len(lines)


def recipe_lines(text: str) -> int:
    """Lines of a recipe that count, and the command."""
    return 1 + sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def _is_docstring(node: ast.AST) -> bool:
    """A string that stands alone as a statement."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
