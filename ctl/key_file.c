/* SPDX-License-Identifier: MIT */
#include "ctl/key_file.h"

#include <errno.h>
#include <fcntl.h>
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

int key_file_read(const char *path, uint8_t key[KEY_SIZE])
{
	/* Does not block on a FIFO, nor become the terminal of this process. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;

	if (fd < 0)
		return -errno;
	err = check(fd);
	if (!err)
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
