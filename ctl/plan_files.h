/* SPDX-License-Identifier: MIT */
/*
 * Files of one folder that change together. Each is written whole under a temporary
 * name, and on the disk, before the first takes the place of an old one; so what fails
 * (a full disk) fails while everything old is still there. Nothing is left behind of
 * what was not committed.
 */
#ifndef CTL_PLAN_FILES_H
#define CTL_PLAN_FILES_H

#include <stddef.h>
#include <sys/types.h>
#include "ctl/buffer.h"
#include "ctl/config.h"

#define PLAN_PATH_MAX 160 /* "NAME/FILE.new" */

struct plan_file {
	char name[PLAN_PATH_MAX]; /* within the folder */
	bool folder; /* was made; has to go again unless committed */
};

struct plan_files {
	const char *folder; /* as given; for messages */
	int fd;
	bool made; /* the folder itself */
	bool committed;
	struct plan_file *list;
	size_t count;
	size_t written; /* files that are new or changed */
};

/*
 * Opens @folder, made if it is missing, and waits for others who plan in it. All that
 * can fail returns 0, -errno with @error filled, which names the file.
 */
int plan_files_open(struct plan_files *files, const char *folder, struct config_error *error);
/* A folder within; nothing to do if it is there. */
int plan_files_make_folder(struct plan_files *files, const char *name, struct config_error *error);
/* -ENOENT without @error when there is none of that name. */
int plan_files_read(const struct plan_files *files, const char *name, struct buffer *out,
                    struct config_error *error);
/* Stages file @name with @data; nothing to do if it holds that already. */
int plan_files_put(struct plan_files *files, const char *name, mode_t mode,
                   const struct buffer *data, struct config_error *error);
int plan_files_commit(struct plan_files *files, struct config_error *error);
void plan_files_close(struct plan_files *files);

#endif
