/* SPDX-License-Identifier: MIT */
/*
 * Messages about joining, and tokens (the first byte, which no message has, tells them
 * apart): what parses is what would be said again.
 */
#include "crypto/secret.h"
#include "ctl/token.h"
#include "dataplane/join.h"
#include "fuzz/fuzz.h"

static void must_be_text(const char *text, size_t size)
{
	must(memchr(text, '\0', size) != NULL);
	for (; *text; text++)
		must(*text >= 0x20 && *text <= 0x7e);
}

static void must_be_prefixes(const struct prefix *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		char text[PREFIX_TEXT_MAX];
		struct prefix again;

		prefix_format(&list[i], text);
		must(prefix_parse(&again, text) && prefix_equal(&again, &list[i]));
	}
}

static void must_be_sound(const struct join_message *message)
{
	must(message->host_count <= JOIN_HOSTS_MAX && message->subnet_count <= JOIN_SUBNETS_MAX);
	must_be_text(message->text, sizeof(message->text));
	must_be_text(message->bridge, sizeof(message->bridge));
	must_be_prefixes(message->subnets, message->subnet_count);
	for (uint32_t i = 0; i < message->host_count; i++) {
		const struct join_host *host = &message->hosts[i];

		must(host->prefix_count <= JOIN_PREFIXES_MAX && host->vni <= WIRE_VNI_MAX);
		must_be_text(host->name, sizeof(host->name));
		must_be_text(host->endpoint, sizeof(host->endpoint));
		must_be_prefixes(host->prefixes, host->prefix_count);
	}
}

static void take_message(const uint8_t *data, uint32_t len)
{
	static struct join_message message, again;
	uint8_t out[POST_SIZE_MAX], second[POST_SIZE_MAX];
	uint32_t made;

	if (!join_parse(data, len, &message))
		return;
	must_be_sound(&message);
	/* What one type says of another is not said again; so compare what is. */
	made = join_format(out, &message);
	if (!made)
		return;
	must(join_parse(out, made, &again));
	must(again.host_count == message.host_count && again.number == message.number);
	must(join_format(second, &again) == made && memcmp(out, second, made) == 0);
}

static void take_token(const uint8_t *data, size_t size)
{
	char text[TOKEN_TEXT_MAX], made[TOKEN_TEXT_MAX];
	struct token token;

	if (size >= sizeof(text) || memchr(data, '\0', size))
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	if (token_parse(&token, text))
		return;
	must(token_format(&token, made) && strcmp(made, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size > 65535)
		return 0;
	copy = fuzz_copy(data, size);
	if (size && copy[0] == 'o')
		take_token(copy, size);
	else
		take_message(copy, (uint32_t)size);
	free(copy);
	return 0;
}
