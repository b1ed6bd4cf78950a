// Where the program begins. With IBT an indirect jump, which the loader's to the entry is, has to lead to an ENDBR64, and the C
// library's own _start has none where the distribution builds it without CET, as Debian 12 does.
#include <cet.h>
#include <features.h>

        .text
        .globl  mooring_entry
        .type   mooring_entry, @function
mooring_entry:
        .cfi_startproc
        .cfi_undefined rip
        _CET_ENDBR
#if __GLIBC_PREREQ(2, 34)
        jmp     _start
#else
        // Before 2.34 _start hands the C library a pointer to a function without ENDBR64, which calls the constructors.
        // So this does what _start does, with a function of our own (older_glibc.cc).
        xorl    %ebp, %ebp
        movq    %rdx, %r9                       // of the loader, for the end
        popq    %rsi                            // argc
        movq    %rsp, %rdx                      // argv
        andq    $-16, %rsp
        pushq   %rax
        pushq   %rsp                            // the stack's end
        xorl    %r8d, %r8d                      // nothing at the end: the loader calls the destructors
        leaq    mooring_construct(%rip), %rcx
        leaq    main(%rip), %rdi
        call    *__libc_start_main@GOTPCREL(%rip)
        hlt
#endif
        .cfi_endproc
        .size   mooring_entry, .-mooring_entry

        .section .note.GNU-stack, "", @progbits
