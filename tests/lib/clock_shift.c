/* Loaded into a process under test with LD_PRELOAD: its clocks run a number of seconds off. Both may be changed while the
 * process runs.
 *
 * MOORING_TEST_CLOCK names a file of two native 64-bit integers, mapped once and read at every call:
 *   [0] seconds added to the wall clock
 *   [1] seconds added to the monotonic clocks
 * Without the variable nothing is changed.
 *
 * The clock is read by the system call itself: looking the C library's own function up could call for the time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { kShift, kElapsed, kFields };

static int64_t kNothing[kFields];
static _Atomic(volatile int64_t *) told;

/* Told is the mapped file, or zeroes. Two threads at once may both map it, which does no harm. */
static volatile int64_t *Told(void) {
  volatile int64_t *now = told;
  if (now != NULL) return now;
  const int saved = errno;
  now = kNothing;
  const char *path = getenv("MOORING_TEST_CLOCK");
  const int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    void *at = mmap(NULL, sizeof(kNothing), PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) now = at;
    close(file);
  }
  told = now;
  errno = saved;
  return now;
}

/* Before the program can confine itself to its own files. */
__attribute__((constructor)) static void Begin(void) { (void)Told(); }

int clock_gettime(clockid_t clock, struct timespec *at) {
  const int result = (int)syscall(SYS_clock_gettime, clock, at);
  if (result != 0) return result;
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) at->tv_sec += Told()[kShift];
  if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) at->tv_sec += Told()[kElapsed];
  return result;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
