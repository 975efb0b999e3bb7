/* unsynced: a library to preload under a program, which notes what every write to the files of one folder replaces.
 *
 *   UNSYNCED_FOLDER   files directly in it are watched
 *   UNSYNCED_NOTES    a folder; the notes about FOLDER/NAME are in NOTES/NAME
 *   UNSYNCED_DEAF     if set, a sync is carried out but the notes stay: as if the program had never asked for it
 *
 * Before a write the bytes it replaces and the size of the file are appended to the notes; a sync of the file empties
 * them. Whoever plays the notes back, newest first, has the file as a disk would have it that lost all that was not
 * synced. An entry is four 64-bit numbers (offset, bytes that follow, size of the file before, a mark) and the bytes.
 * Memory-mapped writes are not seen: SQLite maps only its index of the log, which it builds anew after a crash.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK 0x756E646F

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* The path of the notes about the file behind a descriptor; 0 when it is not watched. */
static int notes_of(int fd, char *notes) {
    const char *folder = getenv("UNSYNCED_FOLDER"), *into = getenv("UNSYNCED_NOTES");
    char link[64], path[PATH_MAX];
    if (!folder || !into) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    size_t head = strlen(folder);
    if (strncmp(path, folder, head) || path[head] != '/' || strchr(path + head + 1, '/')) return 0;
    const char *name = path + head + 1, *ending = strrchr(name, '.');
    if (!ending || (strcmp(ending, ".db") && strcmp(ending, ".db-wal") && strcmp(ending, ".db-journal"))) return 0;
    return snprintf(notes, PATH_MAX, "%s/%s", into, name) < PATH_MAX;
}

static void note(int fd, off_t offset, size_t count) {
    char path[PATH_MAX];
    struct stat at;
    if (!notes_of(fd, path) || fstat(fd, &at)) return;
    if (offset < 0) offset = lseek(fd, 0, SEEK_CUR);
    int64_t held = at.st_size > offset ? at.st_size - offset : 0;
    if (held > (int64_t)count) held = (int64_t)count;
    int64_t head[4] = {offset, held, at.st_size, MARK};
    char *entry = malloc(sizeof head + held);
    if (!entry) abort();
    memcpy(entry, head, sizeof head);
    /* a program may have opened its file for writing only: read through a descriptor of our own */
    if (held) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        int own = open(link, O_RDONLY | O_CLOEXEC);
        if (own < 0 || pread(own, entry + sizeof head, held, offset) != held) abort();
        close(own);
    }
    int into = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ssize_t (*write_on)(int, const void *, size_t) = real("write");
    if (into < 0 || write_on(into, entry, sizeof head + held) != (ssize_t)(sizeof head + held)) abort();
    close(into);
    free(entry);
}

static void forget(int fd) {
    char path[PATH_MAX];
    if (!getenv("UNSYNCED_DEAF") && notes_of(fd, path)) unlink(path);
}

#define WRITES(name, offset, call, ...)                         \
    {                                                           \
        pthread_mutex_lock(&one);                               \
        note(fd, offset, count);                                \
        ssize_t done = ((ssize_t(*)(__VA_ARGS__))real(name))call; \
        pthread_mutex_unlock(&one);                             \
        return done;                                            \
    }

ssize_t write(int fd, const void *data, size_t count)
    WRITES("write", -1, (fd, data, count), int, const void *, size_t)

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset)
    WRITES("pwrite", offset, (fd, data, count, offset), int, const void *, size_t, off_t)

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset)
    WRITES("pwrite64", offset, (fd, data, count, offset), int, const void *, size_t, off64_t)

static int cut(const char *name, int fd, off_t size) {
    struct stat at;
    pthread_mutex_lock(&one);
    if (!fstat(fd, &at) && at.st_size > size) note(fd, size, at.st_size - size);
    else note(fd, at.st_size, 0);
    int done = ((int (*)(int, off_t))real(name))(fd, size);
    pthread_mutex_unlock(&one);
    return done;
}

int ftruncate(int fd, off_t size) { return cut("ftruncate", fd, size); }
int ftruncate64(int fd, off64_t size) { return cut("ftruncate64", fd, size); }

static int synced(const char *name, int fd) {
    int done = ((int (*)(int))real(name))(fd);
    pthread_mutex_lock(&one);
    if (!done) forget(fd);
    pthread_mutex_unlock(&one);
    return done;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
