/* SPDX-License-Identifier: MIT */
/* The rules of nftables, by nft's own library. */
#ifndef CTL_DOCTOR_NFT_H
#define CTL_DOCTOR_NFT_H

#include <jansson.h>

/*
 * What `nft -j list ruleset` prints, its array. NULL: they are not to be had; *@why is
 * half a line then.
 */
json_t *nft_list(const char **why);

#endif
