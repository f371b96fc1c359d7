/* A bad disk under the journals of one process and its children (LD_PRELOAD).
 *
 * FOREBAY_DISK_UNDO=DIR: before each write to a journal or its log, what stood
 * there goes to DIR/<pid>.undo, and each sync is noted.  Whatever was written
 * since the last sync can then be taken back after the process was killed, as a
 * power failure would (tests/crash/disk.py does).
 *
 * FOREBAY_DISK_FAULT=FILE: while FILE exists, writes or syncs of journals fail
 * as it says: "write ENOSPC", "write EIO" or "sync EIO".
 *
 * Creating, truncating and removing files is passed on, and counts as durable.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct entry { /* Then the path, then the bytes that stood there. */
    uint32_t is_sync, path_bytes;
    uint64_t offset, length, old_length, at_ns;
};

static int journal_path(int fd, char *path, size_t room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, room - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    const char *found = strstr(path, ".journal");
    return found && (!strcmp(found, ".journal") || !strcmp(found, ".journal-wal"));
}

static int fault_of(const char *what) {
    const char *name = getenv("FOREBAY_DISK_FAULT");
    char text[32] = {0};
    if (!name) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY);
    if (fd < 0) return 0;
    syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (strncmp(text, what, strlen(what))) return 0;
    return strstr(text, "ENOSPC") ? ENOSPC : EIO;
}

static void note(struct entry *head, const char *path, const void *old) {
    struct timespec now; /* One clock for all processes. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    head->at_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
    const char *directory = getenv("FOREBAY_DISK_UNDO");
    char name[4096];
    snprintf(name, sizeof name, "%s/%d.undo", directory, getpid());
    size_t bytes = sizeof *head + head->path_bytes + head->old_length;
    char *whole = malloc(bytes);
    memcpy(whole, head, sizeof *head);
    memcpy(whole + sizeof *head, path, head->path_bytes);
    memcpy(whole + sizeof *head + head->path_bytes, old, head->old_length);
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || syscall(SYS_write, fd, whole, bytes) != (long)bytes) abort();
    syscall(SYS_close, fd);
    free(whole);
}

static int before_write(int fd, size_t length, off_t offset) {
    char path[4096];
    if (!journal_path(fd, path, sizeof path)) return 0;
    int fault = fault_of("write");
    if (fault) return fault;
    if (!getenv("FOREBAY_DISK_UNDO")) return 0;
    char *old = malloc(length);
    long had = syscall(SYS_pread64, fd, old, length, offset);
    struct entry head = {0, strlen(path), offset, length, had < 0 ? 0 : had, 0};
    note(&head, path, old);
    free(old);
    return 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    int fault = before_write(fd, length, offset);
    if (fault) return errno = fault, -1;
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

static int sync_with(long call, int fd) {
    char path[4096];
    if (journal_path(fd, path, sizeof path)) {
        int fault = fault_of("sync");
        if (fault) return errno = fault, -1;
    } else {
        path[0] = 0;
    }
    int failed = syscall(call, fd);
    if (!failed && path[0] && getenv("FOREBAY_DISK_UNDO")) {
        struct entry head = {1, strlen(path), 0, 0, 0, 0};
        note(&head, path, "");
    }
    return failed;
}

int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }
int fsync(int fd) { return sync_with(SYS_fsync, fd); }
