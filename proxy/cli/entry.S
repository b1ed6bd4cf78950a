// Where the program begins. With IBT an indirect jump, which the loader's to the entry is, has to lead to an ENDBR64, and the C
// library's own _start has none where the distribution builds it without CET, as Debian 12 does.
#include <cet.h>

        .text
        .globl  mooring_entry
        .type   mooring_entry, @function
mooring_entry:
        _CET_ENDBR
        jmp     _start
        .size   mooring_entry, .-mooring_entry

        .section .note.GNU-stack, "", @progbits
