/* SPDX-License-Identifier: MIT */
/* ovlctl's own look at the host: by which route it would send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "netns.h"
#include "ctl/host.h"

static void expect(struct host *host, const char *address, const char *prefix, const char *gateway)
{
	struct host_route route;

	assert_true(host_find_route(host, address, &route));
	assert_string_equal(route.prefix, prefix);
	assert_string_equal(route.gateway, gateway);
}

static bool is_own(struct host *host, const char *address)
{
	struct host_route route;

	assert_true(host_find_route(host, address, &route));
	return route.own;
}

static void the_way_to_an_address(void **state)
{
	struct host *host;
	struct host_route route;

	(void)state;
	assert_true(netns_run("ip link add t0 type bridge && ip link set t0 up && "
	                      "ip addr add 192.0.2.1/24 dev t0 && "
	                      "ip addr add 2001:db8::1/64 dev t0 nodad"));
	host = host_open();
	assert_non_null(host);
	assert_false(host_find_route(host, "198.51.100.7", &route));
	assert_false(host_find_route(host, "no address", &route));
	assert_false(host_find_route(host, "192.0.2.0/24", &route));
	host_close(host);

	assert_true(netns_run("ip route add default via 192.0.2.9 metric 50 && "
	                      "ip route add default via 192.0.2.8 metric 7 && "
	                      "ip route add default via 192.0.2.7 metric 60 && "
	                      "ip route add 10.1.0.0/16 via 192.0.2.2 && "
	                      "ip route add blackhole 10.1.2.0/24 && "
	                      "ip route add 10.1.2.128/25 via 192.0.2.3 && "
	                      "ip route add 10.1.2.200 via 192.0.2.4 table 77 && "
	                      "ip -6 route add default via 2001:db8::9 && "
	                      "ip -6 route add 2001:db8:1::/48 via 2001:db8::2"));
	/* The kernel makes an address's own route a little later. */
	assert_true(netns_run("for i in $(seq 500); do "
	                      "ip -6 route show table local | grep -q '2001:db8::1 ' && exit; "
	                      "sleep 0.01; done; exit 1"));
	host = host_open();
	expect(host, "192.0.2.5", "192.0.2.0/24", "");
	assert_true(is_own(host, "192.0.2.1"));
	assert_true(is_own(host, "2001:db8::1"));
	assert_false(is_own(host, "192.0.2.5"));
	expect(host, "198.51.100.7", "default", "192.0.2.8");
	expect(host, "10.1.1.1", "10.1.0.0/16", "192.0.2.2");
	expect(host, "10.1.2.200", "10.1.2.128/25", "192.0.2.3");
	expect(host, "2001:db8:1::5", "2001:db8:1::/48", "2001:db8::2");
	expect(host, "2001:db8:2::5", "default", "2001:db8::9");
	assert_true(host_find_route(host, "10.1.2.3", &route));
	assert_true(route.refuses);
	host_close(host);
	assert_true(netns_run("ip route del blackhole 10.1.2.0/24 && ip link del t0"));
}

/* Ten thousand peers are asked about on a host that may have as many routes. */
static void many_routes_and_many_questions(void **state)
{
	FILE *batch;
	struct host *host;
	clock_t began;

	(void)state;
	assert_true(netns_run("ip link add t0 type bridge && ip link set t0 up"));
	batch = popen("ip -batch -", "w");
	assert_non_null(batch);
	for (unsigned int i = 0; i < 10000; i++)
		fprintf(batch, "route add 10.%u.%u.0/24 dev t0\n", i >> 8, i & 255);
	assert_int_equal(pclose(batch), 0);

	host = host_open();
	began = clock();
	for (unsigned int i = 0; i < 10000; i++) {
		char address[32], prefix[32];

		(void)snprintf(address, sizeof(address), "10.%u.%u.1", i >> 8, i & 255);
		(void)snprintf(prefix, sizeof(prefix), "10.%u.%u.0/24", i >> 8, i & 255);
		expect(host, address, prefix, "");
	}
	/* One after the other it took 2.5 s. */
	assert_true(clock() - began < CLOCKS_PER_SEC);
	host_close(host);
	assert_true(netns_run("ip link del t0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_way_to_an_address),
		cmocka_unit_test(many_routes_and_many_questions),
	};

	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
