/* SPDX-License-Identifier: MIT */
/*
 * Names of endpoints: when they are asked for, and what an answer does. The resolver is the
 * test's. And routes that were left behind.
 */
#include "running.h"

#include "ctl/reload.h"

#define NAMED_A PEER_A "Endpoint = vpn.example.org:7\n"

struct resolve {
	resolve_done_fn *done; /* of the one question under way */
	void *arg;
	char host[CONFIG_HOST_MAX];
	unsigned int questions;
	bool refuses; /* each is answered at once: there is no such name */
	uint64_t takes_ns;
};
static struct resolve resolver;
static unsigned int lines; /* of the log */

static uint64_t now_ns = 1000 * STATE_SECOND_NS;

void __wrap_log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void __wrap_log_line(const char *format, ...)
{
	(void)format;
	lines++;
}

void __wrap_resolve_request(struct resolve *resolve, const char *host, uint16_t port,
                            resolve_done_fn *done, void *arg);

void __wrap_resolve_request(struct resolve *resolve, const char *host, uint16_t port,
                            resolve_done_fn *done, void *arg)
{
	assert_ptr_equal(resolve, &resolver);
	assert_int_equal(port, 7);
	resolver.questions++;
	now_ns += resolver.takes_ns;
	if (resolver.refuses) {
		done(arg, -ENOENT, NULL);
		return;
	}
	assert_null(resolver.done); /* one at a time */
	resolver.done = done;
	resolver.arg = arg;
	(void)snprintf(resolver.host, sizeof(resolver.host), "%s", host);
}

static uint64_t read_now(void *arg)
{
	(void)arg;
	return now_ns;
}

static struct environment clock_of_test;

static void tick(uint64_t seconds)
{
	now_ns += seconds * STATE_SECOND_NS;
	upkeep_tick(&running);
}

static void answer(int status, const char *address)
{
	resolve_done_fn *done = resolver.done;
	struct endpoint endpoint;

	assert_non_null(done);
	resolver.done = NULL;
	if (address)
		assert_int_equal(endpoint_parse(&endpoint, address), 0);
	done(resolver.arg, status, address ? &endpoint : NULL);
}

static void expect_endpoint(const char *wanted)
{
	char text[ENDPOINT_TEXT_MAX];
	struct endpoint endpoint;

	peer_get_endpoint(running_peer(KEY_A)->peer, &endpoint);
	endpoint_format(&endpoint, text);
	assert_string_equal(text, wanted);
}

static void roam_to(const char *text)
{
	struct endpoint endpoint;

	assert_int_equal(endpoint_parse(&endpoint, text), 0);
	peer_set_endpoint(running_peer(KEY_A)->peer, &endpoint);
}

static void set_attempts(uint32_t attempts)
{
	atomic_store(&running_peer(KEY_A)->peer->timers.attempts, attempts);
}

static int start(void **state)
{
	(void)state;
	memset(&running, 0, sizeof(running));
	memset(&resolver, 0, sizeof(resolver));
	clock_of_test = environment_system;
	clock_of_test.now_ns = read_now;
	if (priv_open(&running.priv, NULL) || device_open(&running.device, &clock_of_test) ||
	    netlink_open(&running.netlink, running_changed, NULL))
		return -1;
	priv_use_netlink(running.priv, running.netlink);
	running.resolve = &resolver;
	return running_apply(HEAD NAMED_A PEER_B "Endpoint = 192.0.2.9:1\n", NULL);
}

static int end(void **state)
{
	(void)state;
	apply_end(&running);
	upkeep_end(&running);
	device_close(running.device);
	priv_close(running.priv);
	netlink_close(running.netlink);
	return 0;
}

/* DNS is down at boot: asked again after 1, 2, 4 … 60 seconds, for as long as it takes. */
static void test_backoff(void **state)
{
	static const unsigned int pauses_s[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };

	(void)state;
	tick(0);
	assert_int_equal(resolver.questions, 1);
	assert_string_equal(resolver.host, "vpn.example.org");
	for (unsigned int i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
		answer(-EAGAIN, NULL);
		expect_endpoint("(none)");
		tick(pauses_s[i] - 1);
		assert_int_equal(resolver.questions, i + 1);
		tick(1);
		assert_int_equal(resolver.questions, i + 2);
	}
	tick(100); /* no second question before the first is answered */
	assert_int_equal(resolver.questions, 10);
	answer(0, "192.0.2.1:7");
	expect_endpoint("192.0.2.1:7");
	tick(10000);
	assert_int_equal(resolver.questions, 10);
}

static void test_silent(void **state)
{
	(void)state;
	tick(0);
	answer(0, "192.0.2.1:7");
	set_attempts(2);
	tick(100);
	assert_int_equal(resolver.questions, 1);
	set_attempts(3);
	tick(1);
	assert_int_equal(resolver.questions, 2);
	answer(0, "192.0.2.2:7");
	expect_endpoint("192.0.2.2:7");

	/* At most every 30 seconds. */
	tick(29);
	assert_int_equal(resolver.questions, 2);
	tick(1);
	assert_int_equal(resolver.questions, 3);
	/* It roamed and fell silent there: back to where its name says it is. */
	roam_to("192.0.2.77:99");
	answer(0, "192.0.2.2:7");
	expect_endpoint("192.0.2.2:7");

	/* A failure changes nothing, and is not final. */
	tick(30);
	assert_int_equal(resolver.questions, 4);
	answer(-ENOENT, NULL);
	expect_endpoint("192.0.2.2:7");
	tick(1);
	assert_int_equal(resolver.questions, 5);
}

/* A peer that roamed and lives is left there by a reload, unless its name has moved. */
static void test_again(void **state)
{
	(void)state;
	tick(0);
	answer(0, "192.0.2.1:7");
	roam_to("192.0.2.77:99");
	/* Any other change of the configuration asks for nothing. */
	assert_int_equal(running_apply(HEAD NAMED_A "PersistentKeepalive = 3\n", NULL), 0);
	tick(1);
	assert_int_equal(resolver.questions, 1);
	upkeep_resolve_again(&running);
	tick(0);
	assert_int_equal(resolver.questions, 2);
	answer(0, "192.0.2.1:7");
	expect_endpoint("192.0.2.77:99");
	upkeep_resolve_again(&running);
	tick(0);
	answer(0, "192.0.2.5:7");
	expect_endpoint("192.0.2.5:7");
}

/* Answers that come too late find another endpoint, or no peer at all. */
static void test_late(void **state)
{
	(void)state;
	tick(0);
	assert_int_equal(running_apply(HEAD PEER_A "Endpoint = other.example.org:7\n", NULL), 0);
	tick(1);
	assert_int_equal(resolver.questions, 1);
	answer(0, "192.0.2.1:7");
	expect_endpoint("(none)");
	tick(1);
	assert_int_equal(resolver.questions, 2);
	assert_string_equal(resolver.host, "other.example.org");
	answer(0, "192.0.2.2:7");
	expect_endpoint("192.0.2.2:7");

	upkeep_resolve_again(&running);
	tick(1);
	assert_int_equal(running_apply(HEAD PEER_A "Endpoint = 192.0.2.3:7\n", NULL), 0);
	answer(0, "192.0.2.2:7");
	expect_endpoint("192.0.2.3:7");

	assert_int_equal(running_apply(HEAD NAMED_A, NULL), 0);
	tick(1);
	assert_int_equal(running_apply(HEAD PEER_B, NULL), 0);
	answer(0, "192.0.2.1:7");
	tick(1);
	assert_null(running.questions);
}

/* Names that take long to ask for wait for the next ticks, each for its turn. */
static void test_slow(void **state)
{
	(void)state;
	assert_int_equal(
		running_apply(HEAD NAMED_A PEER_B "Endpoint = other.example.org:7\n", NULL), 0);
	resolver.takes_ns = STATE_SECOND_NS / 2;
	tick(0);
	assert_int_equal(resolver.questions, 1);
	answer(0, "192.0.2.1:7");
	upkeep_resolve_again(&running);
	tick(1);
	assert_int_equal(resolver.questions, 2);
	assert_string_equal(resolver.host, "other.example.org");
	answer(0, "192.0.2.2:7");
	tick(1);
	assert_int_equal(resolver.questions, 3);
	assert_string_equal(resolver.host, "vpn.example.org");
	answer(0, "192.0.2.1:7");
}

/* DNS is down for many peers: that is a few lines and one, not one for each. */
static void test_many(void **state)
{
	static char text[1 << 16];
	size_t len = (size_t)snprintf(text, sizeof(text), HEAD);

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		uint8_t key[KEY_SIZE] = { 9, (uint8_t)i };
		char base64[KEY_BASE64_LEN + 1];

		secret_to_base64(base64, key);
		len += (size_t)snprintf(
			text + len, sizeof(text) - len,
			"[Peer]\nPublicKey = %s\nEndpoint = host-%u.example.org:7\n", base64, i);
	}
	assert_int_equal(running_apply(text, NULL), 0);
	resolver.refuses = true;
	lines = 0;
	tick(0);
	assert_int_equal(resolver.questions, 100);
	assert_in_range(lines, 2, 20);
	/* Those that are told of are told of once. */
	lines = 0;
	tick(1);
	assert_int_equal(resolver.questions, 200);
	assert_int_equal(lines, 0);
}

/* A name leads behind the tunnel: said once, and again after it led elsewhere. */
static void test_loop(void **state)
{
	static const char text[] = HEAD "Subnet = 10.0.0.0/16\nRange = 10.0.1.0/24\n" NAMED_A
					"AllowedIPs = 10.0.2.0/24\n";
	static const struct {
		const char *address;
		bool looped;
	} rows[] = {
		{ "10.0.2.9:7", true },
		{ "10.1.2.9:7", false },
		{ "10.0.2.8:7", true },
		{ "10.0.1.9:7", false }, /* a container's of this host */
	};

	(void)state;
	assert_int_equal(running_apply(text, NULL), 0);
	tick(0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		answer(0, rows[i].address);
		tick(1);
		assert_int_equal(running_peer(KEY_A)->looped, rows[i].looped);
		upkeep_resolve_again(&running);
		tick(1);
	}
	answer(-ENOENT, NULL);
}

/* What nobody answered before the end is forgotten, not leaked. */
static void test_unanswered(void **state)
{
	(void)state;
	tick(0);
	assert_int_equal(resolver.questions, 1);
}

/* Routes that are marked as ours, and what a start makes of them. */
static void test_left_routes(void **state)
{
	static const char *const bridges[] = { "ovl0", "ovl1", "ovl2" };
	static const struct {
		const char *route;
		bool stays;
	} rows[] = {
		{ "10.70.0.0/16 dev ovl0 proto 111 scope link", false },
		{ "10.71.0.0/16 dev ovl0 proto 111 scope link", true }, /* wanted */
		{ "10.72.0.0/16 dev ovl0 proto static scope link", true }, /* somebody's */
		{ "10.73.0.0/16 dev ovl1 proto 111 scope link",
		  false }, /* a network that is gone */
		{ "10.74.0.0/16 dev ovl2 proto 111 scope link", true }, /* another daemon's */
		{ "10.75.0.0/16 dev va proto 111 scope link", true }, /* no bridge */
	};

	(void)state;
	assert_true(netns_run("ip link add va type veth peer name vb && ip link set va up && "
	                      "ip link set lo up"));
	for (size_t i = 0; i < sizeof(bridges) / sizeof(bridges[0]); i++)
		assert_true(netns_run("ip link add %s type bridge && ip link set %s up && "
		                      "ip addr add 172.2%zu.0.1/16 dev %s",
		                      bridges[i], bridges[i], i, bridges[i]));
	assert_true(netns_run("ip tuntap add ovt-ovl2 mode tap && ip link set ovt-ovl2 master ovl2 "
	                      "&& ip link set vb master ovl1"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(netns_run("ip route add %s", rows[i].route));
	assert_int_equal(running_apply(HEAD "Subnet = 172.20.0.0/16, 10.71.0.0/16\n", NULL), 0);
	netlink_dispatch(running.netlink);
	upkeep_sweep_routes(&running);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(netns_prints("ip route", rows[i].route), rows[i].stays);
	netns_clear();
}

#define RUNNING(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(test_backoff), RUNNING(test_silent), RUNNING(test_left_routes),
		RUNNING(test_again),   RUNNING(test_late),   RUNNING(test_slow),
		RUNNING(test_many),    RUNNING(test_loop),   RUNNING(test_unanswered),
	};

	if (secret_init() || aead_init())
		return 1;
	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
