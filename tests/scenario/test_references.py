"""What names something of this repository names what is there: the numbers of tests and the tables in tests/README.md, the links of
documents, the commands that they quote."""

import ast
import importlib
import os
import re
import subprocess
from pathlib import Path

from lib import check, runner
from lib.mooring import run

EXPECTED_SECONDS = 3
ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"

# ---- the numbers in names --------------------------------------------------------------------------------


def tests_by_file():
    """The names of the tests of each Python file, with those that it makes itself."""
    found = {}
    for folder in runner.FOLDERS:
        for path in sorted(TESTS.glob(f"{folder}/test_*.py")):
            module = importlib.import_module(f"{folder}.{path.stem}")
            found[f"{folder}/{path.name}"] = {name for name, value in vars(module).items() if name.startswith("test_") and callable(value)}
    return found


def unit_tests_of(name):
    text = (TESTS / name).read_text()
    literals = re.findall(r'TEST_CASE\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', text)
    return {"".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literal)) for literal in literals}


def number_of(test):
    """`row_07` is "7", I17 is "I17"; None where the name has no number."""
    found = re.match(r"test_(?:row_(\d+)|(I\d\d))_", test)
    return (found[1] or found[2]).lstrip("0") if found else None


def table():
    """The entries of tests/README.md: number to the references in its last column."""
    entries = {}
    for line in (TESTS / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"\d+|I\d\d", cells[0]):
            check.true(len(cells) == 4 and all(cells), f"four cells in {line}")
            check.true(cells[0] not in entries, f"one entry for {cells[0]}")
            entries[cells[0]] = re.findall(r"`([^`]+)`", cells[3])
    return entries


def test_each_number_has_one_entry_and_each_entry_a_test(case):
    entries = table()
    check.equal(sorted(entries), sorted([str(n) for n in range(1, 80)] + [f"I{n:02}" for n in range(1, 35)]), "the tables are whole")
    check.equal([number for number, references in entries.items() if not references], [], "entries without a test")


def leads_somewhere(reference, files, number=None):
    """A reference is a file whose tests carry the number, `file::the beginning of a test's name`, or a unit test's file and name."""
    path, _, name = reference.partition("::")
    unit = re.fullmatch(r'(unit/\w+\.cc) "(.*)"', reference)
    if unit:
        return (TESTS / unit[1]).exists() and unit[2] in unit_tests_of(unit[1])
    if name:
        return any(test.startswith(name) for test in files.get(path, ()))
    return number is not None and any(number_of(test) == number for test in files.get(path, ()))


def test_each_test_that_an_entry_names_exists(case):
    files = tests_by_file()
    wrong = [f"{number}: {reference}" for number, references in table().items() for reference in references
             if not leads_somewhere(reference, files, number)]
    check.equal(wrong, [], "references of tests/README.md that lead nowhere")


def test_each_threat_has_a_test(case):
    text = (ROOT / ".github/SECURITY.md").read_text().partition("## Threats")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")][2:]
    check.true(len(rows) > 20 and all(len(row) == 4 and all(row[1:]) for row in rows), "rows of four cells")
    files = tests_by_file()
    wrong = [row[1] for row in rows if not re.findall(r"`([^`]+)`", row[3])]
    wrong += [f"{row[1]}: {reference}" for row in rows for reference in re.findall(r"`([^`]+)`", row[3]) if not leads_somewhere(reference, files)]
    check.equal(wrong, [], "threats in .github/SECURITY.md whose tests are not there")


def test_each_file_with_a_number_stands_in_the_entry_of_that_number(case):
    entries = table()
    missing = {f"{number}: {path}" for path, tests in tests_by_file().items() for number in map(number_of, tests)
               if number and not any(reference.startswith(path) for reference in entries.get(number, ()))}
    check.equal(sorted(missing), [], "what tests/README.md lacks")


def test_each_number_and_file_in_a_comment_exists(case):
    entries, wrong = table(), []
    for path in sorted(TESTS.rglob("*")):
        if path.suffix not in (".py", ".cc", ".h", ".txt") or "data" in path.parts or "__pycache__" in path.parts:
            continue
        text = path.read_text()
        numbers = {n for some in re.findall(r"\b[Rr]ows? ((?:\d+(?:, | and | to |-)?)+)", text) for n in re.findall(r"\d+", some)}
        numbers |= set(re.findall(r"\bI\d\d\b", text)) if path.suffix == ".py" else set()
        wrong += [f"{path.relative_to(TESTS)}: {number}" for number in numbers if number not in entries]
        wrong += [f"{path.relative_to(TESTS)}: {name}" for name in set(re.findall(r"\btest_\w+\.py\b", text))
                  if not list(TESTS.glob(f"*/{name}"))]
    check.equal(wrong, [], "numbers without an entry, files that are not there")


# ---- documents -------------------------------------------------------------------------------------------


def documents():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name != ".git" and not name.startswith("build")]
        for name in sorted(names):
            if name.endswith(".md"):
                yield Path(folder) / name


def prose(text):
    """The text without its blocks of code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    [^\n]*$|^```.*?^```", "", text, flags=re.M | re.DOTALL))


def test_each_relative_link_of_a_document_leads_somewhere(case):
    dead, links = [], 0
    for path in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text())):
            links += 1
            if not re.match(r"[a-z]+:", target) and not (path.parent / target.partition("#")[0]).exists():
                dead.append(f"{path.relative_to(ROOT)}: {target}")
    check.true(links >= 5, f"documents have links, and {links} were found")
    check.equal(dead, [], "links that lead nowhere")


def quoted(text):
    """The commands in blocks of code and in `quotes`: each a line, comments off and continuations joined."""
    blocks = re.sub(r"\\\n\s*", "", "\n".join(re.findall(r"^    (.*)$", re.sub(r"\\\n +", r"\\\n     ", text), re.M)))
    lines = blocks.split("\n") + re.findall(r"`([^`\n]+)`", text)
    return [re.sub(r"\s+#.*$", "", line).strip() for line in lines]


FOLDERS = "authz|bench|examples|proxy|tests|tls|\\.ci"


def test_each_program_of_the_repository_that_a_document_quotes_is_there_and_runs(case):
    wrong, seen = [], set()
    for path in documents():
        for command in quoted(path.read_text()):
            program = re.match(rf"(?:sudo )?((?:{FOLDERS})/[\w./-]+)(?: |$)", command)
            if program and os.access(ROOT / program[1], os.X_OK):
                seen.add(program[1])
            if program and "." not in Path(program[1]).name and not (ROOT / program[1]).is_dir() and not os.access(ROOT / program[1], os.X_OK):
                # A room's header or folder is named without its ending in tables; a program has no ending.
                wrong.append(f"{path.relative_to(ROOT)}: {command}")
    check.true({"tests/run", "tests/setup", "bench/run", "examples/quickstart/run"} <= seen, f"programs that were found: {seen}")
    check.equal(wrong, [], "programs that are quoted")


def test_each_option_of_a_program_of_ours_that_a_document_quotes_is_known_to_it(case):
    wrong = []
    for path in documents():
        for command in quoted(path.read_text()):
            program = re.match(r"((?:tests|bench|examples|\.ci|tls)/[\w./-]+)((?: \S+)*)$", command)
            if not program or not os.access(ROOT / program[1], os.X_OK) or (ROOT / program[1]).is_dir():
                continue
            source = (ROOT / program[1]).read_text()
            if "quickstart/run" in program[1] or "outage/run" in program[1]:
                source += (ROOT / program[1]).with_name(Path(program[1]).parent.name + ".py").read_text()
            wrong += [f"{path.relative_to(ROOT)}: {command}: {option}" for option in re.findall(r"(?<= )--[\w-]+", program[2])
                      if option not in source and f'"{option}"' not in source]
    check.equal(wrong, [], "options that are quoted")


def test_each_planted_fault_still_has_its_place_in_the_sources(case):
    done = subprocess.run([TESTS / "fuzz/planted", "--list"], capture_output=True, text=True, check=False)
    check.equal((done.returncode, done.stderr), (0, ""), "tests/fuzz/planted --list")
    table = re.findall(r"^\| `(\w+)` \| (.*?) \| finds it \|", (TESTS / "fuzz/README.md").read_text(), re.M)
    listed = [(line.split()[0], line.partition(": ")[2]) for line in done.stdout.splitlines()]
    check.equal(table, listed, "the faults in tests/fuzz/README.md")


def test_each_command_and_flag_of_mooring_that_a_document_quotes_is_known_to_its_help(case):
    _, overview, _ = run("help")
    commands = set(re.findall(r"^  (connect proxy|[a-z]+) ", overview, re.M)) | {"help", "version"}
    check.true({"connect proxy", "proxy", "status", "dev"} <= commands, f"commands in {overview}")
    helps, wrong, flags = {}, [], 0
    for path in documents():
        for line in quoted(path.read_text()):
            found = re.match(r"(?:build/)?mooring ((?:connect )?[a-z]+)\b(.*)", line)
            if not found:
                continue
            if found[1] not in commands:
                wrong.append(f"{path.relative_to(ROOT)}: {line}")
                continue
            if found[1] in ("help", "version"):
                continue
            helps.setdefault(found[1], run("help", *found[1].split())[1])
            for flag in re.findall(r"(?<= )--?([a-z][\w-]*)", found[2]):
                flags += 1
                if not re.search(rf"(?<![\w-])-{flag}\b", helps[found[1]]):
                    wrong.append(f"{path.relative_to(ROOT)}: {line}: -{flag}")
    check.true(flags >= 8, f"README quotes flags, and {flags} were found")
    check.equal(wrong, [], "commands and flags that are quoted")


def test_the_example_of_a_test_in_the_readme_is_python_and_runs(case):
    text = (TESTS / "README.md").read_text()
    block = "\n".join(re.search(r'(?:^(?:    .*|)\n)*^    """What the file(?:.*\n)(?:^(?:    .*|)\n)*', text, re.M)[0].splitlines())
    source = "\n".join(line[4:] for line in block.splitlines())
    names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    check.equal(len(names), 1, "tests in the example")
    space = {}
    exec(compile(source, "tests/README.md", "exec"), space)
    space[names.pop()](case)
