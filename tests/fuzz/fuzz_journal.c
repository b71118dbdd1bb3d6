/* SPDX-License-Identifier: MIT */
/*
 * The journal of invitations. The input is four bytes, and lines without checksums as an
 * earlier version wrote them. What must hold of what is read from them: printed, which
 * gives checksums, it reads and prints the same; with any one bit changed (the first two
 * bytes say which) it is damaged; cut off anywhere behind its first line (the others say
 * where) it reads, and says that something was cut off where that is not a line's end.
 */
#include "crypto/message.h"
#include "crypto/secret.h"
#include "ctl/roll.h"
#include "fuzz/fuzz.h"

#define BARE      "ovltun journal 1\n"
#define INPUT_MAX 16384

static struct roll *read_roll(const char *text, size_t len, unsigned int *line, bool *cut)
{
	struct roll *roll = calloc(1, sizeof(*roll));
	char *copy = (char *)fuzz_copy((const uint8_t *)text, len);

	must(roll != NULL);
	roll->fd = -1;
	*cut = false;
	*line = roll_read(roll, copy, len, cut);
	free(copy);
	return roll;
}

static struct buffer print_roll(struct roll *roll)
{
	struct buffer out;

	buffer_init(&out, 16 * INPUT_MAX);
	roll_print(roll, 0, &out);
	must(!out.failed);
	return out;
}

static void must_print_again(const struct buffer *text)
{
	unsigned int line;
	bool cut;
	struct roll *roll = read_roll(text->data, text->len, &line, &cut);
	struct buffer again;

	must(!line && !cut);
	again = print_roll(roll);
	must(again.len == text->len && memcmp(again.data, text->data, text->len) == 0);
	buffer_fini(&again);
	roll_close(roll);
}

static void must_notice(struct buffer *text, size_t bit)
{
	char *byte = &text->data[bit / 8 % text->len];
	unsigned int line;
	bool cut;

	*byte = (char)(*byte ^ 1 << bit % 8);
	roll_close(read_roll(text->data, text->len, &line, &cut));
	must(line != 0);
	*byte = (char)(*byte ^ 1 << bit % 8);
}

static void must_read_cut(const struct buffer *text, size_t len)
{
	unsigned int line;
	bool cut;

	len = 1 + len % text->len;
	roll_close(read_roll(text->data, len, &line, &cut));
	must(len < strlen(BARE) ? line != 0 : !line && cut == (text->data[len - 1] != '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[sizeof(BARE) + INPUT_MAX] = BARE;
	struct buffer printed;
	struct roll *roll;
	unsigned int line;
	bool cut;

	if (size < 4 || size > INPUT_MAX || secret_init())
		return 0;
	memcpy(text + strlen(BARE), data + 4, size - 4);
	roll = read_roll(text, strlen(BARE) + size - 4, &line, &cut);
	if (!line) {
		must(size == 4 || cut == (data[size - 1] != '\n'));
		printed = print_roll(roll);
		must_print_again(&printed);
		must_notice(&printed, load_be16(data));
		must_read_cut(&printed, load_be16(data + 2));
		buffer_fini(&printed);
	}
	roll_close(roll);
	return 0;
}
