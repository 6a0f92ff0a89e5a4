"""Makes docs/python-reference.md out of the docstrings: `python reference.py > ../../docs/python-reference.md`.

The sources are read, not imported: no framework is needed for it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent / "src"
MODULES = ("baton.livekit_agents", "baton.pipecat", "baton.specialist")
"""What is written for: their `__all__`, in its order."""
INTRODUCTION = """# Python reference

What an agent's own code meets: the two adapters, and what both are made on. Made from the docstrings by `sdk/python/reference.py`; the rest of the
package is the protocol, see [Protocol](protocol.md). How it fits together is in [Specialists in Python](specialists-python.md).
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    described: set[str] = set()
    for module in MODULES:
        tree = _parsed(module)
        parts.append(f"## {module}\n\n{_first_sentence(ast.get_docstring(tree) or '')}\n")
        names = _exported(tree)
        above = [name for name in names if name in described]
        if above:
            parts.append(f"As above: {', '.join(f'`{name}`' for name in above)}.\n")
        described |= set(names)
        for name in names:
            found = _found(module, name)
            if found is not None and name not in above:
                parts.append("\n".join(_described(*found)))
    return "\n".join(parts)


def _parsed(module: str) -> ast.Module:
    path = SOURCE / Path(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _found(module: str, name: str) -> tuple[ast.stmt, str] | None:
    """Where a name is defined, with the docstring behind it if it is a value."""
    tree = _parsed(module)
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == name:
                return node, ast.get_docstring(node) or ""
            case ast.Assign(targets=[ast.Name(id=id)]) if id == name:
                return node, _text(after) or ""
            case ast.ImportFrom(module=str(source), names=names) if source.startswith("baton"):
                for each in names:
                    if (each.asname or each.name) == name:
                        return _found(source, each.name)
    return None


def _described(node: ast.stmt, docs: str) -> Iterator[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield f"### `{_signature(node)}`\n\n{docs}\n"
        case ast.ClassDef():
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            yield f"### class `{node.name}{f'({bases})' if bases else ''}`\n\n{docs}\n"
            members = list(_members(node))
            if members:
                yield "\n".join(members) + "\n"
        case ast.Assign(targets=[ast.Name(id=id)]):
            yield f"### `{id}`\n\n{docs}\n"
        case _:
            raise TypeError(f"nothing is known of {ast.unparse(node)}")


def _members(node: ast.ClassDef) -> Iterator[str]:
    for each, after in zip(node.body, [*node.body[1:], None], strict=True):
        match each:
            case ast.FunctionDef(name="__init__"):
                if words := ast.get_docstring(each):
                    yield f"- `{node.name}{_signature(each).removeprefix('__init__')}`: {_joined(words)}"
                for one, then in zip(each.body, [*each.body[1:], None], strict=True):
                    match one:
                        case ast.Assign(targets=[ast.Attribute(attr=name)]) | ast.AnnAssign(target=ast.Attribute(attr=name)):
                            if not name.startswith("_") and (words := _text(then)):
                                yield f"- `{name}`: {_joined(words)}"
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not each.name.startswith("_"):
                is_property = any(ast.unparse(decorator) == "property" for decorator in each.decorator_list)
                if words := ast.get_docstring(each):
                    yield f"- `{each.name if is_property else _signature(each)}`: {_joined(words)}"
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                default = f" = {ast.unparse(each.value)}" if each.value is not None else ""
                yield f"- `{name}: {ast.unparse(each.annotation)}{default}`: {_joined(_text(after) or '')}".removesuffix(": ")


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = ast.unparse(node.args)
    for own in ("self, ", "self"):
        if arguments.startswith(own):
            arguments = arguments.removeprefix(own)
            break
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None and node.name != "__init__" else ""
    return f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}{node.name}({arguments}){returns}"


def _text(node: ast.stmt | None) -> str | None:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
        case _:
            return None


def _joined(words: str) -> str:
    return " ".join(words.split())


def _first_sentence(words: str) -> str:
    return words.split("\n", 1)[0]


if __name__ == "__main__":
    print(page(), end="")
