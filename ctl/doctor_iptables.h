/* SPDX-License-Identifier: MIT */
/*
 * What iptables -S prints, in the form of nft's JSON. There is no library that would
 * tell (libiptc is private to iptables, and knows the older kind alone), and nft tells
 * of an iptables match its name and no more: so the tool itself is asked.
 */
#ifndef CTL_DOCTOR_IPTABLES_H
#define CTL_DOCTOR_IPTABLES_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Puts the tables that iptables made into @rules, IPv4's and IPv6's: those of the older
 * kind, which nft does not show, and in place of what nft shows those of the newer.
 * @blind: nft told nothing, so whatever iptables tells. False: it told nothing.
 *
 * Chains have one member more, "tool", the command that changes them, and rules one,
 * "text": what follows -A CHAIN.
 */
bool iptables_merge(json_t *rules, bool blind);
/* Of one table: @text is consumed (cut in words). For tests, too. */
void iptables_parse(json_t *rules, const char *tool, const char *family, const char *table,
                    char *text);

#endif
