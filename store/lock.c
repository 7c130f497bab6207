/* lock - who may read, write and change a store, and on which file systems.
 *
 * Two locks. DIR.lock is held by whoever writes (builds anew, appends, removes); it says who that
 * is, and is gone when nobody writes, unless a writer was killed: then it is there, unlocked. The
 * file data.mdb itself is held shared by each reader and alone by who changes it in place; one that
 * builds anew does not need it, as readers keep the file they have. All are flock's: the kernel
 * drops them with the process, whatever it dies of. */
#include "store/layout.h"

#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { HOLDER_MAX = 512, READERS_NAMED = 8, FUSE_TYPE = 0x65735546 };

/* ---- file systems ---- */

static uint64_t type_by_statfs(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 ? (uint64_t)(unsigned long)fs.f_type & UINT32_MAX : 0;
}

uint64_t (*fs_type)(const char *path) = type_by_statfs;

/* The kind of the file system by /proc/self/mountinfo ("fuse.sshfs"), "" when it is not found:
 * "36 35 0:52 / /mnt rw,noatime shared:1 - fuse.sshfs SOURCE OPTIONS". */
static void kind_by_mounts(const char *path, char to[FS_KIND_MAX])
{
    struct stat st;
    char line[4096];
    unsigned major, minor;
    to[0] = 0;
    FILE *mounts = stat(path, &st) == 0 ? fopen("/proc/self/mountinfo", "r") : NULL;
    while (mounts && !to[0] && fgets(line, sizeof line, mounts)) {
        const char *behind = strstr(line, " - ");
        if (behind && sscanf(line, "%*d %*d %u:%u", &major, &minor) == 2 &&
            major == major(st.st_dev) && minor == minor(st.st_dev))
            snprintf(to, FS_KIND_MAX, "%.*s", (int)strcspn(behind + 3, " \n"), behind + 3);
    }
    if (mounts)
        fclose(mounts);
}

void (*fs_kind)(const char *path, char to[FS_KIND_MAX]) = kind_by_mounts;

/* FUSE is sshfs, s3fs, gcsfuse and the like, and a few that keep their files on this machine (the
 * first is what containers without root run on). */
static bool is_local_fuse(const char *path)
{
    static const char *const local[] = {"fuse.fuse-overlayfs", "fuseblk",           "fuse.mergerfs",
                                        "fuse.unionfs",        "fuse.unionfs-fuse", "fuse.bindfs",
                                        "fuse.gocryptfs",      "fuse.encfs"};
    char kind[FS_KIND_MAX];
    fs_kind(path, kind);
    for (size_t i = 0; i < COUNT_OF(local); i++)
        if (strcmp(kind, local[i]) == 0)
            return true;
    return false;
}

/* Magic numbers of statfs(2) and linux/magic.h. */
static const struct {
    uint64_t type;
    const char *name;
} network_types[] = {
    {0x6969, "NFS"},       {0x517B, "SMB"},       {0xFF534D42, "CIFS"},   {0xFE534D42, "SMB2"},
    {0x5346414F, "AFS"},   {0x6B414653, "AFS"},   {0x01021997, "9P"},     {0x00C36400, "CEPH"},
    {FUSE_TYPE, "FUSE"},   {0x73757245, "CODA"},  {0x564C, "NCP"},        {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS"},  {0x7461636F, "OCFS2"}, {0x01161970, "GFS2"},   {0x19830326, "BeeGFS"},
    {0xAAD7AAEA, "PanFS"}, {0x20030528, "PVFS2"}, {0x786F4256, "vboxsf"}, {0xBACBACBC, "vmhgfs"},
};

static const char *network_name(uint64_t type)
{
    for (size_t i = 0; i < COUNT_OF(network_types); i++)
        if (network_types[i].type == type)
            return network_types[i].name;
    return NULL;
}

int fs_check(const char *path, bool writing)
{
    uint64_t type = fs_type(path);
    const char *name = network_name(type), *allowed = getenv("SLUICE_NETWORK_STORE");
    if (!name || (type == FUSE_TYPE && is_local_fuse(path)))
        return 0;
    if (writing)
        return err_set(ERR_USAGE,
                       "store: %s is on a network file system (%s), where maps and locks of other "
                       "machines do not hold: write the store to a local disk, then copy it",
                       path, name);
    if (allowed && strcmp(allowed, "1") == 0)
        return 0;
    return err_set(
        ERR_USAGE,
        "store: %s is on a network file system (%s), where a lost connection or a change "
        "by another machine would end the program: copy it to a local disk; if nobody "
        "writes it, SLUICE_NETWORK_STORE=1 reads it where it is",
        path, name);
}

/* ---- readers and changers ---- */

/* The pids that hold a flock on this file, by /proc/locks ("4: FLOCK ADVISORY READ 712 fd:01:9938 0
 * EOF"); those of other name spaces are 0 there. */
static void holders_find(int fd, char *to, size_t to_bytes)
{
    struct stat st;
    char line[256];
    int found = 0;
    size_t used = 0;
    to[0] = 0;
    FILE *locks = fopen("/proc/locks", "r");
    if (!locks)
        return;
    while (fstat(fd, &st) == 0 && fgets(line, sizeof line, locks)) {
        unsigned long long inode;
        unsigned major, minor;
        int pid;
        if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major, &minor, &inode) != 4 ||
            inode != st.st_ino || major != major(st.st_dev) || minor != minor(st.st_dev))
            continue;
        if (found++ < READERS_NAMED && used < to_bytes)
            used += (size_t)snprintf(to + used, to_bytes - used, "%s%d", used ? ", " : "", pid);
    }
    fclose(locks);
}

/* What DIR.lock says of its holder; "" when nothing. */
static void holder_read(const char *dir, char to[HOLDER_MAX])
{
    char path[IO_PATH_MAX];
    ssize_t len = -1;
    int fd = io_path(path, "%s.lock", dir) >= 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        len = read(fd, to, HOLDER_MAX - 1);
        close(fd);
    }
    to[len > 0 ? len : 0] = 0;
    to[strcspn(to, "\n")] = 0;
}

int reader_lock(const char *dir, const char *path, int fd)
{
    char holder[HOLDER_MAX];
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0; /* where there are no locks nobody changes a store either: that needs one */
    holder_read(dir, holder);
    return err_set(ERR_AGAIN, "store: %s is being changed by %s: wait for it", path,
                   holder[0] ? holder : "another process");
}

int changer_lock(const char *path, int fd)
{
    char readers[HOLDER_MAX];
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return err_sys("store: lock %s", path);
    holders_find(fd, readers, sizeof readers);
    return err_set(ERR_AGAIN,
                   "store: %s is being read by %s%s: end what reads it, or wait, before it is "
                   "changed",
                   path, readers[0] ? "process " : "another process", readers);
}

/* ---- writers ---- */

/* "process PID on HOST (COMMAND LINE)" */
static int holder_write(int fd)
{
    char text[HOLDER_MAX], host[64] = "?", line[256];
    ssize_t len = -1;
    int cmdline = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (cmdline >= 0) {
        len = read(cmdline, line, sizeof line - 1);
        close(cmdline);
    }
    line[len > 0 ? len : 0] = 0;
    for (ssize_t i = 0; i + 1 < len; i++) /* arguments end in NUL */
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    gethostname(host, sizeof host - 1);
    int bytes = snprintf(text, sizeof text, "process %d on %s (%s)\n", (int)getpid(), host, line);
    size_t want = (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text - 1;
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, want, 0) == (ssize_t)want ? 0 : -1;
}

/* The one who holds the lock may remove its name before it lets go: who gets it then holds a file
 * that nobody else will find, and must try again. */
int writer_lock(const char *dir, int *fd)
{
    char path[IO_PATH_MAX], holder[HOLDER_MAX];
    TRY(io_path(path, "%s.lock", dir));
    for (;;) {
        struct stat mine, there;
        *fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
        if (*fd < 0)
            return err_sys("store: open %s", path);
        if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
            int why = errno;
            close(*fd);
            *fd = -1;
            errno = why;
            if (why != EWOULDBLOCK)
                return err_sys("store: lock %s", path);
            holder_read(dir, holder);
            return err_set(ERR_AGAIN, "store: %s is being written by %s: wait for it", dir,
                           holder[0] ? holder : "another process");
        }
        if (fstat(*fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
            mine.st_dev == there.st_dev)
            break;
        close(*fd);
    }
    if (holder_write(*fd) == 0)
        return 0;
    int rc = err_sys("store: write %s", path);
    writer_unlock(dir, *fd);
    *fd = -1;
    return rc;
}

void writer_unlock(const char *dir, int fd)
{
    char path[IO_PATH_MAX];
    if (fd < 0)
        return;
    if (io_path(path, "%s.lock", dir) >= 0)
        unlink(path);
    close(fd);
}
