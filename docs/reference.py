"""Writes one reference page per namespace from what `ccrun doc --output json` says."""

import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])
pages = out / "src" / "reference"
primitives = json.loads((out / "primitives.json").read_text())
rules = json.loads((out / "rules.json").read_text())
summaries = dict(
    line.split(None, 1) for line in (out / "namespaces.txt").read_text().splitlines() if line.strip()
)


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def options(param):
    lines = ["", f"Options (`{param['name']}`):", "", "| option | type | default | |", "|---|---|---|---|"]
    for field in param["fields"]:
        default = "required" if field["required"] else f"`{field['default']}`" if field["default"] else ""
        lines.append(f"| `{field['name']}` | {cell(field['type'])} | {cell(default)} | {cell(field['doc'])} |")
    return lines


def entry(primitive):
    needs = "".join(f", needs `{need}`" for need in primitive["needs"])
    lines = [f"## {primitive['path']}", "", "```text", primitive["signature"], "```", ""]
    lines += [primitive["summary"], ""]
    if primitive["body"]:
        lines += [primitive["body"], ""]
    lines.append(f"Effect: {primitive['effect']}{needs}.")
    for param in primitive["params"]:
        if param["fields"]:
            lines += options(param)
    if primitive["errors"]:
        lines += ["", f"Errors: {primitive['errors']}"]
    for example in primitive["examples"]:
        lines += ["", "```rust", example, "```"]
    return lines + [""]


namespaces = {}
for primitive in primitives:
    namespaces.setdefault(primitive["namespace"], []).append(primitive)

links = []
for namespace in sorted(namespaces):
    name = namespace or "language"
    lines = [f"# {namespace or 'The language'}", "", summaries.get(namespace or "(language)", ""), ""]
    for primitive in namespaces[namespace]:
        lines += entry(primitive)
    (pages / f"{name}.md").write_text("\n".join(lines))
    links.append(f"- [{namespace or 'The language'}](reference/{name}.md)")

table = ["", "| rule | | what it finds |", "|---|---|---|"]
table += [f"| `{rule['rule']}` | {rule['severity']} | {cell(rule['explanation'])} |" for rule in rules]
with (pages / "check-rules.md").open("a") as page:
    page.write("\n".join(table) + "\n")

summary = out / "src" / "SUMMARY.md"
head, rest = summary.read_text().split("# Inside", 1)
summary.write_text(head + "# Primitives\n\n" + "\n".join(links) + "\n\n# Inside" + rest)
print(f"{len(primitives)} primitives in {len(namespaces)} namespaces")
