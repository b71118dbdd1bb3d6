/* SPDX-License-Identifier: MIT */
#include "ctl/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/config_parser.h"

#define KEY_FILE_MAX 256

static int check(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	return st.st_mode & CONFIG_OTHERS_MODE ? -EKEYREJECTED : 0;
}

static int read_text(int fd, uint8_t key[KEY_SIZE])
{
	char text[KEY_FILE_MAX];
	ssize_t n = read(fd, text, sizeof(text));
	int err = n < 0 ? -errno : 0;

	if (!err) {
		struct slice words = slice_trim((struct slice){ text, (size_t)n });

		if (!secret_from_base64(key, words.at, words.len))
			err = -EBADMSG;
	}
	secret_wipe(text, sizeof(text));
	return err;
}

/* What O_PATH found, by the link that the kernel has to it, and nothing that came there since. */
static int open_found(int found)
{
	char link[sizeof("/proc/self/fd/") + 3 * sizeof(found)];
	int fd;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int key_file_read(const char *path, uint8_t key[KEY_SIZE])
{
	/*
	 * Nothing but a file is opened: that of a device may do something by itself (a
	 * watchdog begins to wait), and who names the path may be a stranger (verbs.c).
	 */
	int found = open(path, O_PATH | O_CLOEXEC), fd, err;

	if (found < 0)
		return -errno;
	err = check(found);
	fd = err ? err : open_found(found);
	close(found);
	if (fd < 0)
		return fd;
	err = read_text(fd, key);
	close(fd);
	return err;
}

const char *key_file_problem(int err)
{
	switch (err) {
	case -EISDIR:
		return "expected a file";
	case -EKEYREJECTED:
		return "others than its owner can use this file: chmod 600 it";
	case -EBADMSG:
		return "expected 44 characters of base64 (32 bytes) in the file";
	default:
		return strerror(-err);
	}
}
