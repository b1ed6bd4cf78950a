"""What `checksec` looks at, and somewhat more, in a program's ELF file."""

from lib import elf

# What a program of ours takes from shared libraries: the C library's parts, by their names from 2.34 on and before.
LIBC = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "libpthread.so.0", "libdl.so.2", "librt.so.1"}


def _layout(program):
    if program.type != elf.ET_DYN or not program.has_flag(elf.DT_FLAGS_1, elf.DF_1_PIE):
        yield "no PIE: it is always loaded at the same address"
    if not program.of(elf.PT_GNU_RELRO):
        yield "no RELRO: what the loader has relocated stays writable"
    if not (program.has_flag(elf.DT_FLAGS, elf.DF_BIND_NOW) or program.has_flag(elf.DT_FLAGS_1, elf.DF_1_NOW)
            or elf.DT_BIND_NOW in program.dynamic):
        yield "no BIND_NOW: RELRO leaves the table of functions writable"
    stack = program.of(elf.PT_GNU_STACK)
    if not stack or any(segment.flags & elf.X for segment in stack):
        yield "the stack is executable"
    if any(segment.flags & elf.X and segment.flags & elf.W for segment in program.of(elf.PT_LOAD)):
        yield "a segment is both writable and executable"
    if elf.DT_TEXTREL in program.dynamic or program.has_flag(elf.DT_FLAGS, elf.DF_TEXTREL):
        yield "text relocations: the loader writes into code"
    if elf.DT_RPATH in program.dynamic or elf.DT_RUNPATH in program.dynamic:
        yield "RPATH or RUNPATH: libraries are looked for in folders of its own"


def _compiled(program):
    imports = program.imports()
    if "__stack_chk_fail" not in imports:
        yield "no stack protector"
    # Three of those that a program of this size has: one alone may come from a library that fortifies itself.
    if len({"__memcpy_chk", "__memset_chk", "__vsnprintf_chk", "__snprintf_chk", "__recv_chk", "__read_chk",
            "__poll_chk", "__realpath_chk", "__fprintf_chk", "__printf_chk", "__fdelt_chk"} & imports) < 3:
        yield f"no FORTIFY: {sorted(name for name in imports if name.endswith('_chk'))} are imported"


def _control_flow(program, wanted):
    marks = program.cet()
    for mark, name in ((elf.IBT, "IBT"), (elf.SHSTK, "SHSTK")):
        if mark & wanted & ~marks:
            yield f"not marked for {name}"
    if wanted & elf.IBT:
        bare = sorted(place for place in program.code_pointers() if program.at(place, 4) != elf.ENDBR64)
        if bare:
            yield f"marked or not for IBT, {len(bare)} pointers lead to no ENDBR64: {', '.join(map(hex, bare[:10]))}"


def faults(path, cet=elf.IBT | elf.SHSTK, libraries=frozenset(LIBC)):
    """What is wrong with the program at `path`, a sentence each. libraries: the only ones that it may need."""
    program = elf.Elf(path)
    others = [f"needs {name}" for name in program.needed() if name not in libraries]
    return [*_layout(program), *_compiled(program), *_control_flow(program, cet), *others]
