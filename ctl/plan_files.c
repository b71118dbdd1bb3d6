/* SPDX-License-Identifier: MIT */
#include "ctl/plan_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/config_private.h"

#define STAGED ".new" /* behind the name of a file that is to take its place */

static int fail_file(const struct plan_files *files, const char *name, int err,
                     struct config_error *error)
{
	char path[sizeof(error->file)];

	snprintf(path, sizeof(path), "%s%s%s", files->folder, name[0] ? "/" : "", name);
	config_fail(error, path, 0, "%s", strerror(-err));
	return err;
}

static int remember(struct plan_files *files, const char *name, bool folder)
{
	struct plan_file *list = config_grow(files->list, files->count, sizeof(*list));

	if (!list)
		return -ENOMEM;
	files->list = list;
	list += files->count;
	if (!slice_copy(slice_of(name), list->name, sizeof(list->name)))
		return -ENAMETOOLONG;
	list->folder = folder;
	files->count++;
	return 0;
}

static void staged_name(const char *name, char out[PLAN_PATH_MAX + sizeof(STAGED)])
{
	snprintf(out, PLAN_PATH_MAX + sizeof(STAGED), "%s" STAGED, name);
}

int plan_files_open(struct plan_files *files, const char *folder, struct config_error *error)
{
	*files = (struct plan_files){ .folder = folder, .fd = -1 };
	if (mkdir(folder, 0777) == 0)
		files->made = true;
	else if (errno != EEXIST)
		return fail_file(files, "", -errno, error);
	files->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (files->fd < 0 || flock(files->fd, LOCK_EX) < 0)
		return fail_file(files, "", -errno, error);
	return 0;
}

/* Closed to others: a private key may come to lie in it. */
int plan_files_make_folder(struct plan_files *files, const char *name, struct config_error *error)
{
	struct stat st;
	int err;

	if (mkdirat(files->fd, name, 0700) == 0) {
		err = remember(files, name, true);
		if (err)
			unlinkat(files->fd, name, AT_REMOVEDIR);
	} else {
		err = errno == EEXIST ? 0 : -errno;
		if (!err && fstatat(files->fd, name, &st, 0) < 0)
			err = -errno;
		else if (!err && !S_ISDIR(st.st_mode))
			err = -ENOTDIR;
	}
	return err ? fail_file(files, name, err, error) : 0;
}

static int read_all(int fd, struct buffer *out)
{
	ssize_t n;

	do {
		if (!buffer_reserve(out, BUFSIZ))
			return -EFBIG;
		n = read(fd, out->data + out->len, BUFSIZ);
		if (n < 0 && errno != EINTR)
			return -errno;
		out->len += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	return 0;
}

int plan_files_read(const struct plan_files *files, const char *name, struct buffer *out,
                    struct config_error *error)
{
	int fd = openat(files->fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int err;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	err = fd < 0 ? -errno : read_all(fd, out);
	if (fd >= 0)
		close(fd);
	return err ? fail_file(files, name, err, error) : 0;
}

static int write_all(int fd, const struct buffer *data)
{
	size_t done = 0;

	while (done < data->len) {
		ssize_t n = write(fd, data->data + done, data->len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* What is there under the staged name was left by a run that was killed. */
static int stage(struct plan_files *files, const char *name, mode_t mode, const struct buffer *data)
{
	char staged[PLAN_PATH_MAX + sizeof(STAGED)];
	int fd, err = remember(files, name, false);

	if (err)
		return err;
	staged_name(name, staged);
	if (unlinkat(files->fd, staged, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(files->fd, staged, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data);
	if (close(fd) < 0 && !err)
		err = -errno;
	return err;
}

static int is_same(const struct plan_files *files, const char *name, const struct buffer *data,
                   bool *same, struct config_error *error)
{
	struct buffer old;
	int err;

	buffer_init(&old, data->len + 2 * BUFSIZ);
	err = plan_files_read(files, name, &old, error);
	*same = !err && old.len == data->len && memcmp(old.data, data->data, data->len) == 0;
	if (old.failed || err == -ENOENT) /* too long: another one */
		err = 0;
	buffer_fini(&old);
	return err;
}

int plan_files_put(struct plan_files *files, const char *name, mode_t mode,
                   const struct buffer *data, struct config_error *error)
{
	bool same = false;
	int err;

	if (data->failed)
		return fail_file(files, name, -ENOMEM, error);
	err = is_same(files, name, data, &same, error);
	if (err || same)
		return err;
	err = stage(files, name, mode, data);
	if (err)
		return fail_file(files, name, err, error);
	files->written++;
	return 0;
}

int plan_files_commit(struct plan_files *files, struct config_error *error)
{
	char staged[PLAN_PATH_MAX + sizeof(STAGED)];

	files->committed = true;
	for (size_t i = 0; i < files->count; i++) {
		const char *name = files->list[i].name;

		if (files->list[i].folder)
			continue;
		staged_name(name, staged);
		if (renameat(files->fd, staged, files->fd, name) < 0)
			return fail_file(files, name, -errno, error);
	}
	return fsync(files->fd) < 0 ? fail_file(files, "", -errno, error) : 0;
}

/* Backwards: a folder goes after what is in it. */
static void take_back(const struct plan_files *files)
{
	char staged[PLAN_PATH_MAX + sizeof(STAGED)];

	for (size_t i = files->count; i-- > 0;) {
		const struct plan_file *file = &files->list[i];

		staged_name(file->name, staged);
		if (!file->folder)
			unlinkat(files->fd, staged, 0);
		else if (!files->committed)
			unlinkat(files->fd, file->name, AT_REMOVEDIR);
	}
	if (files->made && !files->committed)
		rmdir(files->folder);
}

void plan_files_close(struct plan_files *files)
{
	take_back(files);
	free(files->list);
	if (files->fd >= 0)
		close(files->fd);
}
