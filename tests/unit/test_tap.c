/* SPDX-License-Identifier: MIT */
#include "ring_lab.h"

#include <linux/if_tun.h>

static void need_tap(void)
{
	struct tap tap;

	if (!have_namespace) {
		print_message("skipped: no network namespace can be made here\n");
		skip();
	}
	open_tap(&tap, "taptest0");
	tap_close(&tap);
}

static void device_is_as_asked_for(void **state)
{
	int header = 0;
	struct ifreq ifr = { .ifr_flags = 0 };
	struct tap tap;

	(void)state;
	need_tap();
	assert_int_equal(tap_open(&tap, "taptest0", 1), 0);
	assert_string_equal(tap.name, "taptest0");
	assert_int_equal(ioctl(tap.fds[0], TUNGETIFF, &ifr), 0);
	assert_int_equal(ifr.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR),
	                 IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	assert_int_equal(ifr.ifr_flags & IFF_MULTI_QUEUE, 0);
	assert_int_equal(ioctl(tap.fds[0], TUNGETVNETHDRSZ, &header), 0);
	assert_int_equal(header, sizeof(struct wire_vnet));
	assert_int_equal(fcntl(tap.fds[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(tap.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	/* It goes with its descriptor, and closing twice is harmless. */
	tap_close(&tap);
	assert_int_equal(tap.fds[0], -1);
	assert_int_equal(if_nametoindex("taptest0"), 0);
	tap_close(&tap);
}

/* Neither another daemon's device nor a persistent one of the administrator's is shared. */
static void name_in_use_is_refused(void **state)
{
	struct tap tap, other;

	(void)state;
	need_tap();
	assert_int_equal(tap_open(&tap, "taptest0", 1), 0);
	assert_int_equal(tap_open(&other, "taptest0", 1), -EBUSY);
	assert_int_equal(other.fds[0], -1);
	assert_int_equal(ioctl(tap.fds[0], TUNSETPERSIST, 1ul), 0);
	tap_close(&tap);
	assert_int_equal(tap_open(&other, "taptest0", 1), -EBUSY);
	link_delete("taptest0");
	assert_int_equal(tap_open(&other, "lo", 1), -EBUSY);
}

static void bad_names_are_refused(void **state)
{
	struct tap tap;

	(void)state;
	assert_int_equal(tap_open(&tap, "", 1), -EINVAL);
	assert_int_equal(tap_open(&tap, "sixteencharacter", 1), -ENAMETOOLONG);
	assert_int_equal(tap.fds[0], -1);
	need_tap();
	assert_int_equal(tap_open(&tap, "a/b", 1), -EINVAL);
	assert_int_equal(tap.fds[0], -1);
}

static bool is_queue_of(int fd, const char *name)
{
	struct ifreq ifr = { .ifr_flags = 0 };

	return ioctl(fd, TUNGETIFF, &ifr) == 0 && ifr.ifr_flags & IFF_MULTI_QUEUE &&
	       strcmp(ifr.ifr_name, name) == 0;
}

static void several_queues_are_one_device(void **state)
{
	struct tap tap, other;
	int header;

	(void)state;
	need_tap();
	assert_int_equal(tap_open(&tap, "taptest0", TAP_QUEUES_MAX + 1), -EINVAL);
	assert_int_equal(tap_open(&tap, "taptest0", 0), -EINVAL);
	assert_int_equal(tap_open(&tap, "taptest0", 4), 0);
	assert_int_equal(tap.queues, 4);
	for (unsigned int i = 0; i < 4; i++) {
		header = 0;
		assert_true(is_queue_of(tap.fds[i], "taptest0"));
		assert_int_equal(ioctl(tap.fds[i], TUNGETVNETHDRSZ, &header), 0);
		assert_int_equal(header, sizeof(struct wire_vnet));
		assert_int_equal(fcntl(tap.fds[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
		assert_int_equal(fcntl(tap.fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	}
	assert_int_equal(tap.fds[4], -1);
	/* Not even one that could be a queue of it. */
	assert_int_equal(tap_open(&other, "taptest0", 2), -EBUSY);
	assert_int_equal(other.queues, 0);
	tap_close(&tap);
	assert_int_equal(if_nametoindex("taptest0"), 0);
}

/* What is left of a device by one process is one for the next, whole or not at all. */
static void queues_are_adopted(void **state)
{
	char name[IFNAMSIZ];
	struct tap tap, next, other;
	int fds[3], none = open("/dev/net/tun", O_RDWR | O_CLOEXEC),
		    null = open("/dev/null", O_RDWR);

	(void)state;
	need_tap();
	assert_int_equal(tap_open(&tap, "taptest0", 2), 0);
	assert_int_equal(tap_open(&other, "taptest1", 1), 0);
	assert_true(tap_name(tap.fds[1], name));
	assert_string_equal(name, "taptest0");
	assert_false(tap_name(none, name));
	assert_false(tap_name(null, name));
	/* One of several, of two devices, of none. */
	assert_int_equal(tap_adopt(&next, tap.fds, 1), -EINVAL);
	fds[0] = tap.fds[0];
	fds[1] = other.fds[0];
	assert_int_equal(tap_adopt(&next, fds, 2), -EINVAL);
	fds[1] = none;
	assert_int_equal(tap_adopt(&next, fds, 2), -EBADFD);
	assert_true(tap_adopt(&next, &null, 1) < 0);
	assert_int_equal(next.queues, 0);
	assert_int_equal(tap_adopt(&next, fds, 0), -EINVAL);
	/* Both, in any order; and the one, which is a device without queues. */
	fds[0] = tap.fds[1];
	fds[1] = tap.fds[0];
	assert_int_equal(tap_adopt(&next, fds, 2), 0);
	assert_int_equal(next.queues, 2);
	assert_string_equal(next.name, "taptest0");
	assert_int_equal(next.uso, tap.uso);
	tap_close(&next);
	assert_int_equal(if_nametoindex("taptest0"), 0);
	assert_int_equal(tap_adopt(&next, other.fds, 1), 0);
	assert_string_equal(next.name, "taptest1");
	/* Deleted meanwhile. */
	link_delete("taptest1");
	assert_true(tap_adopt(&other, next.fds, 1) < 0);
	tap_close(&next);
	close(none);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_is_as_asked_for),
		cmocka_unit_test(name_in_use_is_refused),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(several_queues_are_one_device),
		cmocka_unit_test(queues_are_adopted),
	};

	enter_namespace();
	return cmocka_run_group_tests_name("tap", tests, NULL, NULL);
}
