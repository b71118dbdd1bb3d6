/* SPDX-License-Identifier: MIT */
/*
 * genkey, genpsk and pubkey: what wg(8) does under these names, down to the
 * warning and the exit status, so that scripts may take either.
 */
#include "ctl/ovlctl.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/secret.h"

static int misused(const char *name)
{
	ovlctl_usage(name);
	return OVLCTL_FAILED;
}

static void warn_if_readable(void)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & S_IRWXO)
		fputs("Warning: the file being written can be used by everyone.\n"
		      "Set the umask to 077 and try again.\n",
		      stderr);
}

/* Past stdio, whose buffer would keep a copy. */
static int print_key(const uint8_t key[KEY_SIZE])
{
	char line[KEY_BASE64_LEN + 1];
	size_t done = 0;
	ssize_t n = 0;

	secret_to_base64(line, key);
	line[KEY_BASE64_LEN] = '\n';
	while (done < sizeof(line) && n >= 0) {
		n = write(STDOUT_FILENO, line + done, sizeof(line) - done);
		done += n > 0 ? (size_t)n : 0;
	}
	secret_wipe(line, sizeof(line));
	if (n >= 0)
		return OVLCTL_OK;
	perror("ovlctl: standard output");
	return OVLCTL_FAILED;
}

int cmd_genkey(int argc, char **argv)
{
	uint8_t key[KEY_SIZE];
	int status;

	if (argc != 1)
		return misused(argv[0]);
	warn_if_readable();
	secret_generate_private(key);
	status = print_key(key);
	secret_wipe(key, sizeof(key));
	return status;
}

int cmd_genpsk(int argc, char **argv)
{
	uint8_t key[KEY_SIZE];
	int status;

	if (argc != 1)
		return misused(argv[0]);
	warn_if_readable();
	secret_random(key, sizeof(key));
	status = print_key(key);
	secret_wipe(key, sizeof(key));
	return status;
}

/* As much as there is, up to @size bytes. */
static size_t read_input(char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(STDIN_FILENO, text + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && len < size);
	return len;
}

/* Blanks (and, wg's way, zero bytes) to the end of the input. */
static bool only_blanks_follow(void)
{
	char text[256];
	size_t len;

	do {
		len = read_input(text, sizeof(text));
		for (size_t i = 0; i < len; i++)
			if (!isspace((unsigned char)text[i]) && text[i] != '\0')
				return false;
	} while (len > 0);
	return true;
}

int cmd_pubkey(int argc, char **argv)
{
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];
	char text[KEY_BASE64_LEN];
	bool valid;

	if (argc != 1)
		return misused(argv[0]);
	valid = read_input(text, sizeof(text)) == sizeof(text) &&
	        secret_from_base64(private_key, text, sizeof(text));
	secret_wipe(text, sizeof(text));
	if (!valid) {
		fputs("ovlctl: the key on standard input: expected 44 characters of base64 (32 "
		      "bytes)\n",
		      stderr);
		return OVLCTL_FAILED;
	}
	secret_derive_public(public_key, private_key);
	secret_wipe(private_key, sizeof(private_key));
	if (!only_blanks_follow()) {
		fputs("ovlctl: more than a key on standard input\n", stderr);
		return OVLCTL_FAILED;
	}
	return print_key(public_key);
}
