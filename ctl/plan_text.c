/* SPDX-License-Identifier: MIT */
/*
 * What the plan says, file by file. A host's own files name the others in their
 * [Peer]s alone, one each: that is what makes a further host cost each file one
 * section and nothing else.
 */
#include "ctl/plan.h"

#include <stdio.h>
#include "crypto/endian.h"

#define DRAWN_MAX 24 /* hosts with a line to each other; more would be a black disc */

static const char *routed_network = "ovl";

void plan_format_gateway(const struct plan_host *host, char out[PREFIX_TEXT_MAX])
{
	uint32_t address = load_be32(host->range.addr) + 1;

	snprintf(out, PREFIX_TEXT_MAX, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
	         address >> 8 & 255, address & 255);
}

static void print_bridge(const struct plan *plan, struct buffer *out)
{
	buffer_printf(out, "%s%u", routed_network, plan->vni);
}

void plan_print_list(const struct plan *plan, struct buffer *out)
{
	char subnet[PREFIX_TEXT_MAX], range[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX + 16];
	char key[KEY_BASE64_LEN + 1];

	prefix_format(&plan->subnet, subnet);
	buffer_printf(out,
	              "# The plan for %s, as ovlctl plan made it, and from which it goes on when\n"
	              "# it is run again. Keep it; change hosts.txt instead.\n",
	              subnet);
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_host *host = &plan->hosts[i];

		prefix_format(&host->range, range);
		config_format_endpoint(&host->endpoint, endpoint, sizeof(endpoint));
		secret_to_base64(key, host->public_key);
		buffer_printf(out, "%s %s %s %s\n", host->name, endpoint, range, key);
	}
}

static void print_peer(const struct plan *plan, const struct plan_host *peer, struct buffer *out)
{
	char range[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX + 16], key[KEY_BASE64_LEN + 1];

	config_format_endpoint(&peer->endpoint, endpoint, sizeof(endpoint));
	secret_to_base64(key, peer->public_key);
	buffer_printf(out, "\n[Peer]\nName = %s\nPublicKey = %s\nEndpoint = %s\n", peer->name, key,
	              endpoint);
	prefix_format(&peer->range, range);
	if (plan->vni)
		buffer_printf(out, "VNIs = %u\n", plan->vni);
	else
		buffer_printf(out, "AllowedIPs = %s\n", range);
}

void plan_print_config(const struct plan *plan, const struct plan_host *host, struct buffer *out)
{
	char range[PREFIX_TEXT_MAX];

	buffer_printf(out,
	              "# %s, as ovlctl plan made it; it writes this file anew, so change "
	              "hosts.txt instead.\n\n"
	              "[Interface]\nPrivateKeyFile = " PLAN_KEY "\nListenPort = %u\n\n"
	              "[Network]\nBridge = ",
	              host->name, host->endpoint.port);
	print_bridge(plan, out);
	prefix_format(&host->range, range);
	if (plan->vni)
		buffer_printf(out, "\nMode = bridged\nVNI = %u\n", plan->vni);
	else
		buffer_printf(out, "\nRange = %s\n", range);
	for (size_t i = 0; i < plan->count; i++)
		if (&plan->hosts[i] != host)
			print_peer(plan, &plan->hosts[i], out);
}

static void print_files_step(const struct plan_host *host, struct buffer *out)
{
	char key[KEY_BASE64_LEN + 1];

	secret_to_base64(key, host->public_key);
	if (!host->away) {
		buffer_printf(out,
		              "1. Bring peers.conf and " PLAN_KEY " there, over a way that nobody "
		              "reads along, then delete\n"
		              "   " PLAN_KEY " here:\n\n"
		              "   install -d -m 0700 /etc/ovltun\n"
		              "   install -m 0600 peers.conf " PLAN_KEY " /etc/ovltun/\n");
		return;
	}
	buffer_printf(out,
	              "1. Bring peers.conf there. The private key is made there and stays there; "
	              "the last line has\n"
	              "   to print %s\n\n"
	              "   install -d -m 0700 /etc/ovltun\n"
	              "   install -m 0600 peers.conf /etc/ovltun/\n"
	              "   test -e /etc/ovltun/" PLAN_KEY
	              " || (umask 077; ovlctl genkey > /etc/ovltun/" PLAN_KEY ")\n"
	              "   ovlctl pubkey < /etc/ovltun/" PLAN_KEY "\n",
	              key);
}

void plan_print_setup(const struct plan *plan, const struct plan_host *host, struct buffer *out)
{
	char subnet[PREFIX_TEXT_MAX], range[PREFIX_TEXT_MAX], gateway[PREFIX_TEXT_MAX];

	prefix_format(&plan->subnet, subnet);
	prefix_format(&host->range, range);
	plan_format_gateway(host, gateway);
	buffer_printf(out, "How to set up %s, as root there. Its containers have %s of %s.\n\n",
	              host->name, range, subnet);
	print_files_step(host, out);
	buffer_printf(out,
	              "   ovlctl check /etc/ovltun/peers.conf\n\n"
	              "2. Make the Docker network:\n\n"
	              "   docker network create --subnet %s --ip-range %s --gateway %s "
	              "--opt com.docker.network.bridge.name=",
	              subnet, range, gateway);
	print_bridge(plan, out);
	buffer_printf(out, " %s", routed_network);
	if (plan->vni)
		buffer_printf(out, "%u", plan->vni);
	buffer_printf(out,
	              "\n\n"
	              "3. Open UDP port %u in the firewall, and start the unit ovltund.service:\n\n"
	              "   systemctl enable --now ovltund.service\n",
	              host->endpoint.port);
}

/* Names and endpoints hold no character that would need quoting. */
void plan_print_picture(const struct plan *plan, struct buffer *out)
{
	char subnet[PREFIX_TEXT_MAX], range[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX + 16];
	bool each = plan->count <= DRAWN_MAX;

	prefix_format(&plan->subnet, subnet);
	buffer_printf(out,
	              "graph mesh {\n\tlayout=circo; overlap=false; fontname=\"sans-serif\";\n"
	              "\tlabel=\"%s, %zu host%s\";\n"
	              "\tnode [shape=box style=rounded fontname=\"sans-serif\"];\n",
	              subnet, plan->count, plan->count == 1 ? "" : "s");
	if (!each)
		buffer_printf(out, "\t\"\" [label=\"each with each\" shape=ellipse];\n");
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_host *host = &plan->hosts[i];

		prefix_format(&host->range, range);
		config_format_endpoint(&host->endpoint, endpoint, sizeof(endpoint));
		buffer_printf(out, "\t\"%s\" [label=\"%s\\n%s\\n%s\"];\n", host->name, host->name,
		              endpoint, range);
	}
	for (size_t i = 0; i < plan->count; i++) {
		if (!each)
			buffer_printf(out, "\t\"\" -- \"%s\";\n", plan->hosts[i].name);
		for (size_t j = i + 1; j < plan->count && each; j++)
			buffer_printf(out, "\t\"%s\" -- \"%s\";\n", plan->hosts[i].name,
			              plan->hosts[j].name);
	}
	buffer_printf(out, "}\n");
}
