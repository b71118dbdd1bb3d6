/* SPDX-License-Identifier: MIT */
/* What a state is used for depends on what the service manager was told, and the manager is the test's. */
#include "config_files.h"

#include <fcntl.h>
#include <unistd.h>
#include "ctl/handover.h"
#include "ctl/notify.h"

#define KEPT_MAX 4

static struct {
	const char *unheard; /* told to let go of that, it does not hear it */
	bool slow; /* says nothing to a barrier */
	const char *names[KEPT_MAX];
	int fds[KEPT_MAX];
	unsigned int count;
} manager;

int __wrap_notify_store(const char *name, const int *fds, unsigned int n);
int __wrap_notify_unstore(const char *name);
bool __wrap_notify_barrier(uint64_t timeout_ns);
unsigned int __wrap_notify_take_stored(void (*take)(void *arg, const char *name, int fd),
                                       void *arg);

int __wrap_notify_store(const char *name, const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		assert_true(manager.count < KEPT_MAX);
		manager.names[manager.count] = name;
		manager.fds[manager.count++] = dup(fds[i]);
	}
	return 0;
}

int __wrap_notify_unstore(const char *name)
{
	return manager.unheard && strcmp(manager.unheard, name) == 0 ? -ENOBUFS : 0;
}

bool __wrap_notify_barrier(uint64_t timeout_ns)
{
	(void)timeout_ns;
	return !manager.slow;
}

unsigned int __wrap_notify_take_stored(void (*take)(void *arg, const char *name, int fd), void *arg)
{
	unsigned int count = manager.count;

	while (manager.count) {
		manager.count--;
		take(arg, manager.names[manager.count], manager.fds[manager.count]);
	}
	return count;
}

/* Whether the next life would use the sessions, by what it says. */
static bool goes_on(const char *unheard, bool slow)
{
	struct config *config = parse(HEAD);
	struct state state = { .config = config };
	size_t networks = config->network_count;
	struct handover *handover;
	int said[2], error = dup(STDERR_FILENO);
	char text[1024] = "";

	assert_int_equal(device_open(&state.device, &environment_system), 0);
	config->network_count = 0; /* none is open */
	manager.unheard = NULL;
	manager.slow = false;
	assert_int_equal(handover_give(&state), 0);
	assert_int_equal(manager.count, 1);
	manager.unheard = unheard;
	manager.slow = slow;
	assert_int_equal(pipe2(said, O_NONBLOCK | O_CLOEXEC), 0);
	assert_true(dup2(said[1], STDERR_FILENO) >= 0);
	handover = handover_take(state.device, config);
	assert_true(dup2(error, STDERR_FILENO) >= 0);
	assert_non_null(handover);
	(void)!read(said[0], text, sizeof(text) - 1);
	handover_close(handover);
	config->network_count = networks;
	config_free(config);
	device_close(state.device);
	close(said[0]);
	close(said[1]);
	close(error);
	if (text[0])
		assert_non_null(strstr(text, "sessions begin anew: the service manager does not "
		                             "say that it has let go of what it kept"));
	return !text[0];
}

static void a_state_is_used_when_nobody_else_gets_it(void **unused)
{
	(void)unused;
	assert_true(goes_on(NULL, false));
	assert_false(goes_on(NULL, true));
	/* A barrier says that it has done what it was told; this it never was. */
	assert_false(goes_on("ovltun-state", false));
	/* These may stay there. */
	assert_true(goes_on("ovltun-tap", false));
	assert_true(goes_on("ovltun-udp", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_is_used_when_nobody_else_gets_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
