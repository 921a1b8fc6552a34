/* SPDX-License-Identifier: MIT
 *
 * A test program's surroundings on a Cortex-M without an operating system: what the board's startup code
 * and newlib ask for. Arguments, files, output and exit status are the host's, by semihosting.
 */
#include "board.h"
#include "guard.h"
#include "machine.h"
#include "semihost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Operations the boards have no use for; modes of opening. */
enum { CLOSE = 0x02, WRITE = 0x05, GET_CMDLINE = 0x15 };
enum { MODE_READ = 1, MODE_WRITE = 4 };

/* A file's descriptor is the host's handle and this; those below are standard input, output and errors. */
#define FIRST_FILE 3

#define WORDS_MAX 64

/* The linker puts this before main(). */
int __wrap_main(void);
int __real_main(int argc, char **argv);

/* newlib's system calls. */
int _open(const char *path, int flags, int mode);
int _close(int fd);
int _read(int fd, char *to, int len);
int _write(int fd, const char *from, int len);
int _lseek(int fd, int offset, int whence);
int _fstat(int fd, struct stat *st);
int _isatty(int fd);
void *_sbrk(ptrdiff_t more);
int _getpid(void);
int _kill(int pid, int signal);
void _exit(int status);

static intptr_t host_open(const char *path, uintptr_t mode)
{
    const uintptr_t block[] = {(uintptr_t)path, mode, strlen(path)};
    return semihost(SEMIHOST_OPEN, block);
}

/* ---- Board ---- */

void board_print(const char *text, size_t len)
{
    (void)_write(1, text, (int)len);
}

void board_interrupt(void) {}

/* No access to 2^bits bytes from address, a multiple of that. */
static void forbid(uint32_t region, uint32_t address, uint32_t bits)
{
    REG(0xe000ed9c) = address | 1u << 4 | region;       /* MPU_RBAR */
    REG(0xe000eda0) = 1u << 28 | (bits - 1u) << 1 | 1u; /* MPU_RASR */
}

/* The emulated board answers nearly everywhere, and repeats its RAM behind its end. */
static void forbid_all(void)
{
    forbid(0, 0, 8);           /* where NULL leads */
    forbid(1, 0x1f000000, 24); /* below RAM, where the stack is the lowest thing */
    forbid(2, GUARD_END, 22);
    REG(0xe000ed94) = 1u << 2 | 1u; /* MPU_CTRL: elsewhere as without it */
#if __ARM_ARCH == 6
    /* That unaligned accesses are refused takes effect with the next exception: this one. */
    REG(0xe000ed04) = 1u << 26; /* ICSR: SysTick is pending */
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

int __wrap_main(void)
{
    static char line[4096];
    static char *words[WORDS_MAX];
    int count = 0;
    uintptr_t block[] = {(uintptr_t)line, sizeof line};
    forbid_all();
    if (semihost(GET_CMDLINE, block) != 0)
        board_stop("no command line");
    for (char *word = strtok(line, " "); word && count < WORDS_MAX - 1; word = strtok(NULL, " "))
        words[count++] = word;
    exit(__real_main(count, words));
}

/* ---- newlib ---- */

static int refuse(int error)
{
    errno = error;
    return -1;
}

int _open(const char *path, int flags, int mode)
{
    intptr_t handle = flags ? -1 : host_open(path, MODE_READ); /* no flags: O_RDONLY */
    (void)mode;
    return handle < 0 ? refuse(ENOENT) : (int)handle + FIRST_FILE;
}

int _close(int fd)
{
    const intptr_t block[] = {fd - FIRST_FILE};
    return fd < FIRST_FILE ? 0 : (int)semihost(CLOSE, block);
}

int _read(int fd, char *to, int len)
{
    const intptr_t block[] = {fd - FIRST_FILE, (intptr_t)to, len};
    return fd < FIRST_FILE ? 0 : len - (int)semihost(SEMIHOST_READ, block);
}

int _write(int fd, const char *from, int len)
{
    static intptr_t console = -1;
    if (fd >= FIRST_FILE)
        return refuse(EBADF);
    if (console < 0)
        console = host_open(":tt", MODE_WRITE);
    const intptr_t block[] = {console, (intptr_t)from, len};
    return len - (int)semihost(WRITE, block);
}

int _lseek(int fd, int offset, int whence)
{
    (void)fd;
    (void)offset;
    (void)whence;
    return refuse(ESPIPE);
}

int _fstat(int fd, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_mode = fd < FIRST_FILE ? S_IFCHR : S_IFREG;
    return 0;
}

int _isatty(int fd)
{
    return fd < FIRST_FILE;
}

/* The heap lies between the data and what is guarded; the stack is below both. */
void *_sbrk(ptrdiff_t more)
{
    extern char board_bss_end[];
    static char *end = board_bss_end;
    char *from = end;
    if (more > guard_end() - GUARDED_MAX - from) {
        errno = ENOMEM;
        return (void *)-1;
    }
    end += more;
    return from;
}

int _getpid(void)
{
    return 1;
}

/* abort() comes here. */
int _kill(int pid, int signal)
{
    (void)pid;
    _exit(128 + signal);
    return 0;
}

void _exit(int status)
{
    semihost_exit(status);
    for (;;)
        ;
}
