/* SPDX-License-Identifier: MIT */
/*
 * The library is loaded when it is wanted: every other command starts without it, and
 * so does a host that has none. What is declared here is what libnftables(3) says.
 */
#include "ctl/doctor_nft.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define LIBRARY      "libnftables.so.1"
#define CONTEXT_NONE 0
#define OUTPUT_JSON  (1U << 4)

struct nft_ctx;

struct library {
	struct nft_ctx *(*ctx_new)(uint32_t flags);
	void (*ctx_free)(struct nft_ctx *ctx);
	void (*set_flags)(struct nft_ctx *ctx, unsigned int flags);
	int (*buffer_output)(struct nft_ctx *ctx);
	int (*buffer_error)(struct nft_ctx *ctx);
	const char *(*get_output)(struct nft_ctx *ctx);
	int (*run)(struct nft_ctx *ctx, const char *command);
};

static bool load(struct library *library)
{
	/* Kept until the end: it leaves things behind that are freed then. */
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return false;
	/* As dlsym(3) has it: ISO C knows no way from an object pointer to a function's. */
	*(void **)&library->ctx_new = dlsym(handle, "nft_ctx_new");
	*(void **)&library->ctx_free = dlsym(handle, "nft_ctx_free");
	*(void **)&library->set_flags = dlsym(handle, "nft_ctx_output_set_flags");
	*(void **)&library->buffer_output = dlsym(handle, "nft_ctx_buffer_output");
	*(void **)&library->buffer_error = dlsym(handle, "nft_ctx_buffer_error");
	*(void **)&library->get_output = dlsym(handle, "nft_ctx_get_output_buffer");
	*(void **)&library->run = dlsym(handle, "nft_run_cmd_from_buffer");
	return library->ctx_new && library->ctx_free && library->set_flags &&
	       library->buffer_output && library->buffer_error && library->get_output &&
	       library->run;
}

json_t *nft_list(const char **why)
{
	struct library nft;
	json_t *reply = NULL, *rules = NULL;

	*why = LIBRARY " is not installed";
	if (!load(&nft))
		return NULL;
	*why = "nftables may not be asked by this user";
	/* The library would say so itself, on stderr. */
	if (geteuid() != 0)
		return NULL;
	struct nft_ctx *ctx = nft.ctx_new(CONTEXT_NONE);

	if (!ctx)
		return NULL;
	nft.set_flags(ctx, OUTPUT_JSON);
	if (nft.buffer_output(ctx) == 0 && nft.buffer_error(ctx) == 0 &&
	    nft.run(ctx, "list ruleset") == 0)
		reply = json_loads(nft.get_output(ctx), 0, NULL);
	rules = json_incref(json_object_get(reply, "nftables"));
	json_decref(reply);
	nft.ctx_free(ctx);
	return rules;
}
