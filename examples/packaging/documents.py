#!/usr/bin/python3
"""Man pages, and completions for bash, zsh and fish, made of what the program says of itself.

  documents.py --program build/mooring --output FOLDER

The sources are `mooring help`, `mooring help COMMAND` and `mooring help settings`, which are made of the table of settings, so a
new flag or key is in all of these files with no line written here. FOLDER gets man/, bash/, zsh/ and fish/.
"""

import argparse
import os
import re
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

# A flag's value by the word that its usage has for it: what a shell can offer. The others are free text.
FILES, FOLDERS = {"file", "path"}, {"folder"}


@dataclass
class Flag:
    name: str
    value: str  # the word for its value; empty: none is needed
    says: str


@dataclass
class Command:
    words: str
    shown: str  # with its operands
    says: str
    usage: str = ""
    flags: list = field(default_factory=list)


def help_of(program, *words):
    done = subprocess.run([program, "help", *words], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def flags_of(usage):
    """The flags of a usage text: `  -name=<value>`, and what it says, indented, below."""
    found = []
    for line in usage.splitlines():
        named = re.fullmatch(r"  -([a-z][\w-]*)(?:=<([^>]+)>)?", line)
        if named:
            found.append(Flag(named[1], named[2] or "", ""))
        elif found and line.startswith("     "):
            found[-1].says = f"{found[-1].says} {line.strip()}".strip()
    return found


def commands_of(program):
    found = []
    for line in help_of(program).splitlines():
        named = re.match(r"  (\S.*?)  +(\S.*)", line)
        if not named:
            continue
        words = re.match(r"(connect proxy|help|[a-z]+)", named[1])[1]
        if words == "help" and any(command.words == "help" for command in found):
            continue  # `help settings` and `help metrics` are its operands
        command = Command(words, named[1], named[2])
        if words not in ("help", "version"):
            command.usage = help_of(program, *words.split())
            command.flags = flags_of(command.usage)
        found.append(command)
    return found


# ---- man pages -------------------------------------------------------------------------------------------


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(['.])", r"\\&\1", text, flags=re.M)


def blocks(text):
    """The text as a block of its own lines."""
    return f".nf\n.RS 4\n{roff(text.rstrip())}\n.RE\n.fi\n"


def head(name, section, version, title):
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%d") if epoch else ""
    return f'.TH {name.upper()} {section} "{day}" "Mooring {version}" "{title}"\n'


def introduction(usage):
    """What a usage text says before its flags, without the line that begins with Usage."""
    lines = usage.splitlines()[1:]
    end = next((i for i, line in enumerate(lines) if re.match(r"  -[a-z]|[A-Z]", line)), len(lines))
    return "\n".join(line[2:] if line.startswith("  ") else line for line in lines[:end]).strip()


def prose(text):
    """Paragraphs; indented lines stay as they are."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("  ") or paragraph.lstrip().startswith("$"):
            parts.append(blocks(re.sub(r"^ +", "", paragraph, flags=re.M)))
        else:
            parts.append(f"{roff(paragraph)}\n")
    return ".PP\n".join(parts)


def flag_entries(flags):
    text = ""
    for flag in flags:
        value = f"=\\fI{roff(flag.value)}\\fR" if flag.value else ""
        text += f".TP\n\\fB\\-{roff(flag.name)}\\fR{value}\n{roff(flag.says) or 'No more is said.'}\n"
    return text


def page_of_program(commands, version):
    text = head("mooring", 1, version, "User Commands")
    text += ".SH NAME\nmooring \\- sidecar proxy with mutual TLS for a Consul service mesh\n.SH SYNOPSIS\n"
    text += ".nf\n" + "".join(f"\\fBmooring\\fR {roff(command.shown)}\n" for command in commands) + ".fi\n"
    text += (".SH DESCRIPTION\nMooring ties a service on a plain machine into a Consul service mesh: mutual TLS, SPIFFE identity and "
             "intentions in front of a program that knows none of them.\n")
    text += ".SH COMMANDS\n"
    for command in commands:
        text += f".SS mooring {roff(command.shown)}\n{roff(command.says[0].upper() + command.says[1:])}.\n"
        more = introduction(command.usage)
        if more:
            text += f".PP\n{prose(more)}"
        text += flag_entries(command.flags)
    text += (".SH EXIT STATUS\n0 after a drain or a command that went well; 78 where the configuration is bad; 1 where another start may "
             "work.\n.SH FILES\n.TP\n\\fI/etc/mooring/mooring.yaml\\fR\nThe file of the unit mooring.service, see \\fBmooring.yaml\\fR(5).\n"
             ".TP\n\\fI/var/lib/mooring\\fR\nWhat the agent said last, with the private key.\n.SH SEE ALSO\n\\fBmooring.yaml\\fR(5), "
             "\\fBmooring\\-dev\\fR(1)\n")
    return text


def page_of_settings(settings, version):
    text = head("mooring.yaml", 5, version, "File Formats")
    text += (".SH NAME\nmooring.yaml \\- settings of the sidecar proxy mooring\n.SH SYNOPSIS\n\\fBmooring proxy \\-config\\fR "
             "\\fI/etc/mooring/mooring.yaml\\fR\n.SH DESCRIPTION\nEvery key of the file with its default, as \\fBmooring help settings\\fR "
             "prints it. \\fBmooring validate\\fR \\fIFILE\\fR names every mistake in a file, with line and column.\n.SH KEYS\n")
    return text + blocks(settings) + ".SH SEE ALSO\n\\fBmooring\\fR(1)\n"


def page_of_agent(usage, version):
    text = head("mooring-dev", 1, version, "User Commands")
    text += (".SH NAME\nmooring\\-dev \\- stand\\-in for one Consul agent, to try mooring and to test with\n.SH SYNOPSIS\n"
             "\\fBmooring\\-dev\\fR [\\fIoptions\\fR]\n.SH DESCRIPTION\n")
    return text + prose(introduction(usage)) + ".SH OPTIONS\n" + flag_entries(flags_of(usage)) + ".SH SEE ALSO\n\\fBmooring\\fR(1)\n"


# ---- completions -----------------------------------------------------------------------------------------


def bash(commands):
    first = sorted({command.words.split()[0] for command in commands})
    cases = ""
    for command in commands:
        if command.flags:
            cases += f"    '{command.words}') flags='{' '.join('-' + flag.name for flag in command.flags)} -help' ;;\n"
    by_value = {"files": set(), "folders": set()}
    for flag in (flag for command in commands for flag in command.flags):
        if flag.value in FILES | FOLDERS:
            by_value["files" if flag.value in FILES else "folders"].add(f"-{flag.name}")
    operands = "|".join(command.words for command in commands if "FILE.yaml" in command.shown)
    topics = " ".join(sorted({command.words.split()[0] for command in commands if command.flags} | {"settings", "metrics"}))
    return f"""# bash completion of mooring; made of `mooring help` by examples/packaging/documents.py
_mooring() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} command=${{COMP_WORDS[1]}} flags=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W '{' '.join(first)}' -- "$cur")
    return
  fi
  case $command in
    connect)
      if [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W proxy -- "$cur")
        return
      fi
      command='connect proxy' ;;
    help)
      mapfile -t COMPREPLY < <(compgen -W '{topics}' -- "$cur")
      return ;;
  esac
  case $prev in
    {'|'.join(sorted(by_value['files'])) or '--'}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    {'|'.join(sorted(by_value['folders'])) or '--'}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
  esac
  case $command in
{cases}  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
    return
  fi
  case $command in
    {operands}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
  esac
}}
complete -F _mooring mooring
"""


def short(text):
    """The first sentence, for a list."""
    return re.split(r"(?<=[a-z)])\. |\.$", text)[0]


def zsh(commands):
    def quoted(text):
        return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")

    first = {}
    for command in commands:
        first.setdefault(command.words.split()[0], command.says)
    listed = "\n".join(f"    '{word}:{quoted(says)}'" for word, says in first.items())
    cases = ""
    for command in commands:
        lines = []
        for flag in command.flags:
            value = ""
            if flag.value:
                action = "_files" if flag.value in FILES else "_files -/" if flag.value in FOLDERS else " "
                value = f":{quoted(flag.value)}:{action}"
            lines.append(f"'*-{flag.name}[{quoted(short(flag.says))}]{value}'")
        if "FILE.yaml" in command.shown and command.words != "proxy":
            lines.append("'*:file:_files'")
        if command.words == "help":
            topics = sorted({each.words.split()[0] for each in commands if each.flags} | {"settings", "metrics"})
            lines.append(f"'1:topic:({' '.join(topics)})'")
        if lines:
            separator = " \\\n        "
            cases += f"    {command.words.split()[0]})\n      _arguments {separator.join(lines)} ;;\n"
    return f"""#compdef mooring
# zsh completion of mooring; made of `mooring help` by examples/packaging/documents.py
local -a commands
commands=(
{listed}
)
if (( CURRENT == 2 )); then
  _describe command commands
  return
fi
shift words
(( CURRENT-- ))
if [[ $words[1] == connect ]]; then
  if (( CURRENT == 2 )); then
    compadd proxy
    return
  fi
  shift words
  (( CURRENT-- ))
  words[1]=connect
fi
case $words[1] in
{cases}esac
"""


def fish(commands):
    def quoted(text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    lines = ["# fish completion of mooring; made of `mooring help` by examples/packaging/documents.py", "complete -c mooring -f"]
    for command in commands:
        word = command.words.split()[0]
        lines.append(f"complete -c mooring -n __fish_use_subcommand -a {word} -d {quoted(command.says)}")
        condition = quoted(f"__fish_seen_subcommand_from {word}")
        if command.words == "connect proxy":
            lines.append(f"complete -c mooring -n {quoted('__fish_seen_subcommand_from connect; and not __fish_seen_subcommand_from proxy')} -a proxy")
        if command.words == "proxy":
            condition = quoted("__fish_seen_subcommand_from proxy; and not __fish_seen_subcommand_from connect")
        if command.words == "help":
            topics = sorted({each.words.split()[0] for each in commands if each.flags} | {"settings", "metrics"})
            lines.append(f"complete -c mooring -n {condition} -a {quoted(' '.join(topics))}")
        if "FILE.yaml" in command.shown and command.words != "proxy":
            lines.append(f"complete -c mooring -n {condition} -F")
        for flag in command.flags:
            takes = " -r" if flag.value else ""
            takes += " -F" if flag.value in FILES | FOLDERS else ""
            lines.append(f"complete -c mooring -n {condition} -o {flag.name}{takes} -d {quoted(short(flag.says))}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", required=True, help="mooring, as it was built")
    parser.add_argument("--output", required=True, help="a folder, which is made")
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    commands = commands_of(program)
    beside = Path(program).with_name("mooring-dev")
    agent = (subprocess.run([beside, "-help"], capture_output=True, text=True, check=True).stdout if beside.exists()
             else help_of(program, "dev"))
    made = {
        "man/mooring.1": page_of_program(commands, version),
        "man/mooring.yaml.5": page_of_settings(help_of(program, "settings"), version),
        "man/mooring-dev.1": page_of_agent(agent, version),
        "bash/mooring": bash(commands), "zsh/_mooring": zsh(commands), "fish/mooring.fish": fish(commands),
    }
    for name, text in made.items():
        path = Path(arguments.output, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


main()
