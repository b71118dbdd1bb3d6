/* SPDX-License-Identifier: MIT */
/*
 * What io_uring can do beyond system calls, a broken worker cannot: of a ring that is
 * open every operation is tried, straight past the code that made it.
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "dataplane/ring.h"

/* As many as ring_uring.c has: the queues are mapped by their sizes. */
#define SQ_ENTRIES 128
#define CQ_ENTRIES 512

/* As the kernel names a ring's descriptor; -1: there is none. */
static int find_ring_fd(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int found = -1;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char path[300], target[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		if (readlink(path, target, sizeof(target) - 1) > 0 &&
		    strcmp(target, "anon_inode:[io_uring]") == 0)
			found = atoi(entry->d_name);
	}
	closedir(dir);
	return found;
}

/* A second hold on the same queues. */
static void take_queues(int fd, struct io_uring *uring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		         IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
		.cq_entries = CQ_ENTRIES,
	};
	struct io_uring twin;

	assert_int_equal(io_uring_queue_init_params(SQ_ENTRIES, &twin, &params), 0);
	io_uring_queue_exit(&twin);
	assert_int_equal(io_uring_queue_mmap(fd, &params, uring), 0);
}

static int try_operation(struct io_uring *uring, uint8_t opcode, uint8_t flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
	struct io_uring_cqe *cqe;
	int result;

	assert_non_null(sqe);
	/* Of nothing that is there: what is not refused ends by itself. */
	io_uring_prep_rw(opcode, sqe, -1, NULL, 0, 0);
	sqe->flags = flags;
	assert_int_equal(io_uring_submit_and_wait(uring, 1), 1);
	assert_int_equal(io_uring_peek_cqe(uring, &cqe), 0);
	result = cqe->res;
	io_uring_cqe_seen(uring, cqe);
	return result;
}

static bool is_used(uint8_t opcode)
{
	return opcode == IORING_OP_RECVMSG || opcode == IORING_OP_POLL_ADD ||
	       opcode == IORING_OP_ASYNC_CANCEL;
}

static void other_operations_are_refused(void **state)
{
	struct io_uring uring;
	struct ring *ring;
	int err = ring_open_uring(&ring), fd;

	(void)state;
	if (err) {
		print_message("no io_uring here: %s\n", strerror(-err));
		skip();
	}
	fd = find_ring_fd();
	assert_true(fd >= 0);
	take_queues(fd, &uring);
	for (unsigned int opcode = 0; opcode < IORING_OP_LAST; opcode++) {
		int result = try_operation(&uring, (uint8_t)opcode, 0);

		if (is_used((uint8_t)opcode))
			assert_int_not_equal(result, -EACCES);
		else
			assert_int_equal(result, -EACCES);
	}
	/* Nor those in use in another way: linked, or of a registered file. */
	assert_int_equal(try_operation(&uring, IORING_OP_POLL_ADD, IOSQE_FIXED_FILE), -EACCES);
	assert_int_equal(try_operation(&uring, IORING_OP_POLL_ADD, IOSQE_ASYNC), -EACCES);
	/* And nothing can be registered any more, restrictions themselves included. */
	assert_int_equal(io_uring_register_files(&uring, &fd, 1), -EACCES);
	assert_int_equal(io_uring_register_personality(&uring), -EACCES);
	ring_close(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_operations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
