/* SPDX-License-Identifier: MIT */
/* Metrics as text: the format's rules, escaping, pieces; and where they are listened for. */
#include "running.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include "ctl/json_memory.h"
#include "ctl/metrics.h"
#include "ctl/metrics_text.h"

#define A_FULL    PEER_A "Name = alice\nAllowedIPs = 172.20.1.0/24\nPersistentKeepalive = 25\n"
#define B_FULL    PEER_B "AllowedIPs = 172.20.2.0/24\n"
#define BRIDGED   "[Network]\nName = seven\nBridge = o\"v\\l7\nMode = bridged\nVNI = 7\n"
#define FILE_TEXT HEAD "Subnet = 172.20.0.0/16\n" BRIDGED A_FULL "VNIs = 7\n" B_FULL

static int start(void **state)
{
	return running_open(state) || running_apply(FILE_TEXT, NULL) ? -1 : 0;
}

/* All of it, in pieces that end as soon as they hold @enough; each terminated by zero. */
static void collect(struct buffer *out, size_t enough)
{
	struct metrics_cursor cursor;
	enum metrics_more more;
	struct buffer piece;

	buffer_init(out, 1 << 20);
	buffer_init(&piece, 1 << 20);
	metrics_text_begin(&running, &cursor);
	do {
		more = metrics_text_put(&running, &cursor, enough, &piece);
		assert_true(more == METRICS_MORE || more == METRICS_END);
		assert_true(piece.len > 0 || more == METRICS_END);
		assert_true(buffer_append(out, piece.data, piece.len));
		buffer_consume(&piece, piece.len);
	} while (more == METRICS_MORE);
	buffer_fini(&piece);
	assert_true(buffer_append(out, "", 1));
}

static void expect_line(const struct buffer *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = text->data; (at = strstr(at, line)); at += len)
		if ((at == text->data || at[-1] == '\n') && at[len] == '\n')
			return;
	fail_msg("no line %s in\n%s", line, text->data);
}

static void test_samples(void **state)
{
	struct buffer text;

	(void)state;
	stats_add(&running.device->stats.drops[DROP_RX_REPLAY], 3);
	stats_add(&running_peer(KEY_A)->peer->rx_bytes, 18000000000000000000u);
	stats_add(&running_peer(KEY_A)->peer->drops[DROP_IN_SOURCE], 7);
	stats_add(&running.networks[1]->network->suppressed, 5);
	stats_add(&running.networks[0]->network->drops[DROP_OUT_NO_ROUTE], 9);
	atomic_store(&running_peer(KEY_A)->peer->round_trip_ns, 1500000);
	atomic_store(&running_peer(KEY_A)->peer->echo.smoothed_ns, 2500000);
	atomic_store(&running_peer(KEY_A)->peer->echo.variation_ns, 300000);
	atomic_store(&running_peer(KEY_A)->peer->echo.heard_ns, device_now(running.device));
	atomic_store(&running_peer(KEY_A)->peer->handshake_wall_ns, 1700000000000000001u);
	collect(&text, SIZE_MAX);
	expect_line(&text, "ovltun_build_info{version=\"" OVLTUN_VERSION "\"} 1");
	expect_line(&text, "ovltun_peers 2");
	expect_line(&text, "ovltun_networks 2");
	expect_line(&text, "ovltun_workers 1");
	expect_line(&text, "# TYPE ovltun_drops_total counter");
	expect_line(&text, "ovltun_drops_total{reason=\"rx-replay\"} 3");
	expect_line(&text, "ovltun_drops_total{reason=\"in-source\"} 0");
	expect_line(&text, "ovltun_events_total{event=\"roam\"} 0");
	expect_line(&text, "ovltun_network_attached{network=\"ovl0\"} 0");
	expect_line(&text,
	            "ovltun_network_drops_total{network=\"ovl0\",reason=\"out-no-route\"} 9");
	expect_line(&text, "ovltun_network_suppressed_frames_total{network=\"seven\"} 5");
	expect_line(&text, "ovltun_network_members{network=\"seven\"} 1");
	assert_null(strstr(text.data, "ovltun_network_members{network=\"ovl0\""));
	expect_line(&text, "ovltun_peer_info{peer=\"alice\",public_key=\"" KEY_A "\"} 1");
	/* Without a name the key stands for it. */
	expect_line(&text, "ovltun_peer_info{peer=\"" KEY_B "\",public_key=\"" KEY_B "\"} 1");
	expect_line(&text, "ovltun_peer_session{peer=\"alice\"} 0");
	assert_null(strstr(text.data, "ovltun_peer_session_age_seconds{"));
	expect_line(&text, "ovltun_peer_receive_bytes_total{peer=\"alice\"} 18000000000000000000");
	expect_line(&text, "ovltun_peer_drops_total{peer=\"alice\",reason=\"in-source\"} 7");
	assert_null(strstr(text.data, "ovltun_peer_drops_total{peer=\"" KEY_B));
	expect_line(&text, "ovltun_peer_handshake_round_trip_seconds{peer=\"alice\"} 0.001500000");
	expect_line(&text, "ovltun_peer_round_trip_seconds{peer=\"alice\"} 0.002500000");
	expect_line(&text, "ovltun_peer_round_trip_variation_seconds{peer=\"alice\"} 0.000300000");
	assert_null(strstr(text.data, "ovltun_peer_round_trip_seconds{peer=\"" KEY_B));
	expect_line(&text, "ovltun_peer_latest_handshake_timestamp_seconds{peer=\"alice\"} "
	                   "1700000000.000000001");
	expect_line(&text, "ovltun_peer_keepalive_seconds{peer=\"alice\"} 25");
	expect_line(&text, "ovltun_network_info{network=\"seven\",bridge=\"o\\\"v\\\\l7\","
	                   "mode=\"bridged\",tap=\"ovt-o\\\"v\\\\l7\",vni=\"7\"} 1");
	/* Nothing secret. */
	assert_null(strstr(text.data, PRIVATE));
	buffer_fini(&text);
}

/* NAME or NAME{LABELS}, then a number; of the metric whose head was said last. */
static void check_sample(const char *line, const char *metric)
{
	size_t len = strlen(metric);
	const char *value;

	if (strncmp(line, metric, len) != 0 || (line[len] != '{' && line[len] != ' '))
		fail_msg("not of %s: %s", metric, line);
	value = strrchr(line, ' ');
	assert_non_null(value);
	assert_true(line[len] != '{' || value[-1] == '}');
	value++;
	assert_true(*value && strspn(value, "0123456789.") == strlen(value));
}

static void test_format(void **state)
{
	char metric[128] = "", named[64][128], *save = NULL;
	size_t count = 0;
	struct buffer text;

	(void)state;
	stats_add(&running_peer(KEY_A)->peer->drops[DROP_IN_SOURCE], 7);
	stats_add(&running_peer(KEY_A)->peer->drops[DROP_IN_MARTIAN], 7);
	collect(&text, 1);
	assert_int_equal(text.data[text.len - 2], '\n');
	for (char *line = strtok_r(text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char kind[16], type_of[128];

		if (sscanf(line, "# HELP %127s", metric) == 1) {
			for (size_t i = 0; i < count; i++)
				assert_string_not_equal(named[i], metric);
			assert_true(count < 64);
			memcpy(named[count++], metric, sizeof(metric));
			assert_memory_equal(metric, "ovltun_", 7);
		} else if (sscanf(line, "# TYPE %127s %15s", type_of, kind) == 2) {
			size_t len = strlen(metric);
			bool total = len > 6 && strcmp(metric + len - 6, "_total") == 0;

			assert_string_equal(type_of, metric);
			assert_string_equal(kind, total ? "counter" : "gauge");
		} else {
			check_sample(line, metric);
		}
	}
	assert_true(count > 30);
	buffer_fini(&text);
}

/* However it is cut, it is the same, but for the clock. */
static void test_pieces(void **state)
{
	static const char clock[] = "\novltun_uptime_seconds ";
	struct buffer whole, cut;

	(void)state;
	for (size_t enough = 1; enough < 600; enough += 37) {
		collect(&whole, SIZE_MAX);
		collect(&cut, enough);
		char *a = strstr(whole.data, clock), *b = strstr(cut.data, clock);

		assert_non_null(a);
		assert_non_null(b);
		assert_memory_equal(whole.data, cut.data, (size_t)(a - whole.data));
		assert_string_equal(strchr(a + 1, '\n'), strchr(b + 1, '\n'));
		buffer_fini(&whole);
		buffer_fini(&cut);
	}
}

static void test_escaping(void **state)
{
	static const struct {
		const char *value, *escaped;
	} rows[] = {
		{ "", "" },         { "plain", "plain" }, { "\"", "\\\"" },
		{ "\\", "\\\\" },   { "\n", "\\n" },      { "a\"b\\c\nd", "a\\\"b\\\\c\\nd" },
		{ "\\n", "\\\\n" }, { "{}=,", "{}=," },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer out;

		buffer_init(&out, 64);
		assert_true(metrics_text_put_escaped(&out, rows[i].value));
		assert_true(buffer_append(&out, "", 1));
		assert_string_equal(out.data, rows[i].escaped);
		buffer_fini(&out);
	}
}

/* Peers have moved: the rest would be of others than the beginning. */
static void test_change_in_between(void **state)
{
	struct metrics_cursor cursor;
	struct buffer out;

	(void)state;
	buffer_init(&out, 1 << 20);
	metrics_text_begin(&running, &cursor);
	assert_int_equal(metrics_text_put(&running, &cursor, 1, &out), METRICS_MORE);
	assert_int_equal(running_apply(HEAD A_FULL, NULL), 0);
	assert_int_equal(metrics_text_put(&running, &cursor, 1, &out), METRICS_STALE);
	buffer_fini(&out);
}

static void test_no_memory(void **state)
{
	struct metrics_cursor cursor;
	struct buffer out;

	(void)state;
	buffer_init(&out, 100);
	metrics_text_begin(&running, &cursor);
	assert_int_equal(metrics_text_put(&running, &cursor, SIZE_MAX, &out), METRICS_MEMORY);
	buffer_fini(&out);
}

/* ---- where ---- */

static int bound(const char *text, bool hold)
{
	struct endpoint at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	assert_int_equal(endpoint_parse(&at, text), 0);
	if (hold)
		ret = bind(fd, &at.remote.sa, sizeof(at.remote.in)) || listen(fd, 1);
	else
		ret = connect(fd, &at.remote.sa, sizeof(at.remote.in));
	if (hold && ret == 0)
		return fd;
	close(fd);
	return ret == 0 ? 0 : -1;
}

static bool answers_at(const char *text)
{
	return bound(text, false) == 0;
}

static int apply_at(const char *listen)
{
	char text[2048];

	(void)snprintf(text, sizeof(text), "%s%s%s%s", FILE_TEXT, listen ? "[Metrics]\n" : "",
	               listen ? "Listen = " : "", listen ? listen : "");
	return running_apply(text, NULL);
}

static void test_listen(void **state)
{
	const struct config *before;
	struct metrics *metrics;
	int fd;

	(void)state;
	assert_null(running.metrics);
	assert_int_equal(apply_at("127.0.0.1:9587"), 0);
	assert_true(answers_at("127.0.0.1:9587"));
	metrics = running.metrics;
	assert_int_equal(apply_at("127.0.0.1:9587"), 0);
	assert_ptr_equal(running.metrics, metrics); /* undisturbed */

	/* The same port, at another address that takes the first along; and back. */
	assert_int_equal(apply_at("0.0.0.0:9587"), 0);
	assert_true(answers_at("127.0.0.2:9587"));
	assert_int_equal(apply_at("127.0.0.1:9587"), 0);
	assert_false(answers_at("127.0.0.2:9587"));

	/* Another program's port: nothing of the new configuration is in force. */
	fd = bound("127.0.0.1:9588", true);
	assert_true(fd >= 0);
	before = running.config;
	assert_int_equal(apply_at("127.0.0.1:9588"), -EADDRINUSE);
	assert_string_equal(apply_error.text,
	                    "[Metrics] Listen = 127.0.0.1:9588: Address already in use");
	assert_ptr_equal(running.config, before);
	assert_true(answers_at("127.0.0.1:9587"));
	close(fd);
	assert_int_equal(apply_at("192.0.2.1:9588"), -EADDRNOTAVAIL);
	/* Nor does another get ours. */
	assert_int_equal(bound("127.0.0.1:9587", true), -1);

	assert_int_equal(apply_at("[::1]:9587"), 0);
	assert_false(answers_at("127.0.0.1:9587"));
	assert_int_equal(apply_at(NULL), 0);
	assert_null(running.metrics);
	fd = bound("127.0.0.1:9587", true);
	assert_true(fd >= 0);
	close(fd);
}

#define RUNNING(test) cmocka_unit_test_setup_teardown(test, start, running_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(test_samples),           RUNNING(test_format),    RUNNING(test_pieces),
		RUNNING(test_change_in_between), RUNNING(test_no_memory), RUNNING(test_listen),
		cmocka_unit_test(test_escaping),
	};

	json_memory_init();
	if (secret_init() || aead_init())
		return 1;
	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
