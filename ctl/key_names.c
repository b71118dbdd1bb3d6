/* SPDX-License-Identifier: MIT */
#include "ctl/key_names.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "crypto/secret.h"
#include "ctl/config_private.h"

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add(struct key_names *names, const char *path)
{
	char **paths = config_grow(names->paths, names->count, sizeof(*paths));

	if (!paths)
		return -ENOMEM;
	names->paths = paths;
	paths[names->count] = strdup(path);
	if (!paths[names->count])
		return -ENOMEM;
	names->count++;
	return 0;
}

/* As config.c reads a line; in which section it stands makes no difference. */
static int read_line(struct key_names *names, struct slice line, const char *file)
{
	char path[PATH_MAX];
	struct slice name;

	slice_split(&line, '#', &name);
	line = name;
	slice_split(&line, '=', &name);
	name = slice_trim(name);
	if (!line.at ||
	    (!slice_equals(name, "PrivateKeyFile") && !slice_equals(name, "PresharedKeyFile")))
		return 0;
	return config_file_path(file, slice_trim(line), path) ? add(names, path) : 0;
}

int key_names_read(struct key_names *names, int fd, const char *path)
{
	struct slice text, line;
	struct stat st;
	char *bytes;
	size_t len;
	int err;

	key_names_clear(names);
	if (fstat(fd, &st) < 0)
		return -errno;
	/* The daemon takes nothing else. */
	if (!S_ISREG(st.st_mode))
		return 0;
	err = config_read_file(fd, (size_t)st.st_size, &bytes, &len);
	text = (struct slice){ bytes, len };
	while (!err && slice_split(&text, '\n', &line))
		err = read_line(names, line, path);
	/* There may be keys in it. */
	if (bytes)
		secret_wipe(bytes, len);
	free(bytes);
	if (err)
		key_names_clear(names);
	else if (names->count)
		qsort(names->paths, names->count, sizeof(*names->paths), compare);
	return err;
}

bool key_names_has(const struct key_names *names, const char *path)
{
	return names->count &&
	       bsearch(&path, names->paths, names->count, sizeof(*names->paths), compare);
}

void key_names_clear(struct key_names *names)
{
	while (names->count)
		free(names->paths[--names->count]);
	free(names->paths);
	names->paths = NULL;
}
