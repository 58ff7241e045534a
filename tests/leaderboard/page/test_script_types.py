"""The page's script against TypeScript's checker: fields that the data lacks, and calls that cannot be right."""

import shutil
import subprocess
from pathlib import Path

import pytest

from balancebench.leaderboard.page.page_data import PageTable, RowCurves

SOURCES = Path(__file__).parents[3] / "balancebench" / "leaderboard" / "page"
OPTIONS = ("--noEmit", "--allowJs", "--checkJs", "--strict", "false", "--target", "es2022", "--types", "")
LIBRARIES = ("--lib", "es2022,dom,dom.iterable")


def typescript(schema):
    """A JSON schema as a type of TypeScript."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(map(typescript, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(f'"{value}"' for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(map(typescript, schema['prefixItems']))}]"
        return f"({typescript(schema['items'])})[]"
    if schema.get("type") == "object":
        return f"Record<string, {typescript(schema['additionalProperties'])}>"
    return {"string": "string", "boolean": "boolean", "null": "null"}.get(schema["type"], "number")


def declarations(*models):
    """The models and all that they hold as interfaces."""
    known = {}
    for model in models:
        schema = model.model_json_schema(mode="serialization")
        known |= {model.__name__: schema, **schema.get("$defs", {})}
    interfaces = []
    for name, schema in known.items():
        fields = "".join(f"  {field}: {typescript(of)};\n" for field, of in schema["properties"].items())
        interfaces.append(f"interface {name} {{\n{fields}}}\n")
    return "".join(interfaces)


def checked(tmp_path, *more):
    tsc = shutil.which("tsc")
    if tsc is None:
        pytest.skip("there is no tsc: npm install --global typescript")
    types = tmp_path / "page_data.d.ts"
    types.write_text(declarations(PageTable, RowCurves), encoding="utf-8")
    command = [tsc, *OPTIONS, *LIBRARIES, str(types), *map(str, sorted(SOURCES.glob("*.js"))), *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_names_only_fields_that_the_data_has(tmp_path):
    result = checked(tmp_path)
    assert (result.returncode, result.stdout) == (0, "")


def test_a_field_that_the_data_lacks_is_found(tmp_path):
    wrong = tmp_path / "wrong.js"
    wrong.write_text("/** @param {PageTable} table */\nfunction wrong(table) { return table.rows[0].rnak; }\n")
    assert "Property 'rnak' does not exist on type 'PageRow'" in checked(tmp_path, wrong).stdout


def test_a_schema_becomes_the_types_that_its_fields_have():
    text = declarations(RowCurves)
    assert "interface RowCurves {" in text
    assert "  epochs: (number)[];\n" in text
    assert "  bands: Record<string, CurveBand>;\n" in text
    assert "  mean: (number | null)[];\n" in text
