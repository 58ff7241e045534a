"""What plugins and scripts import from balancebench: all that its own signatures name, with examples that hold."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import balancebench

# Type variables and pluggy's own mark: written in signatures, of no use to who reads them.
NO_TYPES = {"ContractT", "OptionsT", "ValueT", "PROJECT"}
# What a run hands out: who reads their parts finds them documented in their own modules.
HANDED_OUT = {"Leaderboard", "Reporter", "Failure"}


def sources(tree: ast.Module) -> dict[str, str]:
    """Return the names that a module imports from balancebench, and where each comes from."""
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("balancebench")
        for alias in node.names
    }


def parse(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    by_name: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            by_name[node.name] = node
        elif isinstance(node, ast.Assign):
            by_name |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            by_name[node.target.id] = node
    return by_name


def defined_in(module: str, name: str) -> tuple[ast.Module, ast.stmt]:
    tree = parse(module)
    by_name = definitions(tree)
    return (tree, by_name[name]) if name in by_name else defined_in(sources(tree)[name], name)


def annotations(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a definition says of types: bases, public fields, and the signatures of public methods."""
    match node:
        case ast.ClassDef():
            yield from node.bases
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and (item.name == "__call__" or not item.name.startswith("_")):
                    yield from annotations(item)
                elif isinstance(item, ast.AnnAssign):
                    yield item.annotation
        case ast.FunctionDef():
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            yield from (argument.annotation for argument in arguments if argument.annotation is not None)
            if node.returns is not None:
                yield node.returns
        case ast.Assign() | ast.AnnAssign() if node.value is not None:
            yield node.value
        case _:
            pass


def named_types(module: str, name: str) -> set[str]:
    """Return the public types of balancebench that a public name's definition mentions."""
    tree, definition = defined_in(module, name)
    ours = {*sources(tree), *definitions(tree)}
    mentioned = {
        part.id
        for annotation in annotations(definition)
        for part in ast.walk(annotation)
        if isinstance(part, ast.Name) and part.id in ours
    }
    return {mention for mention in mentioned if not mention.startswith("_")} - NO_TYPES


def test_every_type_that_a_public_signature_names_is_public():
    public = sources(parse("balancebench"))
    lacking = {
        mention: name
        for name, module in public.items()
        if name not in HANDED_OUT
        for mention in named_types(module, name)
        if mention not in balancebench.__all__
    }
    assert lacking == {}


def test_examples_in_docstrings_hold():
    tried = 0
    for name in balancebench.__all__:
        public = getattr(balancebench, name)
        if isinstance(public, type) or callable(public):
            globs = dict(vars(import_module(public.__module__)))
            for example in doctest.DocTestFinder(recurse=False).find(public, name, globs=globs):
                outcome = doctest.DocTestRunner(verbose=False).run(example)
                assert outcome.failed == 0, name
                tried += outcome.attempted
    assert tried > 0


def test_functions_that_a_method_calls_have_an_example():
    for name in ("class_counts", "concatenate", "nearest", "seed_for"):
        assert ">>> " in getattr(balancebench, name).__doc__, name
