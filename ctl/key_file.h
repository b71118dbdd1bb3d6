/* SPDX-License-Identifier: MIT */
/* A file that holds one key, as PrivateKeyFile and PresharedKeyFile name it. */
#ifndef CTL_KEY_FILE_H
#define CTL_KEY_FILE_H

#include <stdint.h>
#include "crypto/message.h"

/*
 * 0, or -errno of the open; -EISDIR: it is no regular file; -EKEYREJECTED: others than
 * its owner can use it; -EBADMSG: it holds something else than a key in base64.
 */
int key_file_read(const char *path, uint8_t key[KEY_SIZE]);
/* The words for it. */
const char *key_file_problem(int err);

#endif
