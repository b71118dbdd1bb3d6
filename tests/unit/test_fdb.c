/* SPDX-License-Identifier: MIT */
/*
 * To whom a station belongs: each rule of fdb.h in numbered rows, with what must not
 * happen beside what must.
 */
#include "unit.h"

#include <errno.h>
#include "fdb_lab.h"

static void test_first_has_it(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "look - m1", "", "-" },
		{ 2, 0, "claim A m1", "came", "A" },
		{ 3, 10, "claim A m1", "ok", "A" },
		{ 4, 2000, "claim A m1", "ok", "A" },
		{ 5, 2000, "claim A i1@m1", "came", "A@1" },
		{ 6, 2000, "claim A j1@m1", "came", "A@1" },
		/* 300 s after it was heard of last. */
		{ 7, 301999, "tick - m1", "", "A" },
		{ 8, 302000, "tick - m1", "", "-" },
		{ 9, 302000, "look - i1", "", "-" },
		{ 10, 302000, "claim B m1", "came", "B" },
		/* So too when nobody has called fdb_tick(). */
		{ 11, 602000, "look - m1", "", "-" },
		{ 12, 602000, "claim A m1", "came", "A" },
		/* Its owner was silent that long, and is heard again first. */
		{ 13, 902000, "claim A m1", "ok", "A" },
	};

	(void)state;
	RUN(rows);
}

static void test_heard_of(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		{ 3, 200000, "claim A m1", "ok", "A" },
		/* The MAC was heard of, its address was not. */
		{ 4, 300000, "tick - i1", "", "-" },
		{ 5, 300000, "tick - m1", "", "A" },
		/* An address heard of is its MAC heard of. */
		{ 6, 400000, "claim A i1@m1", "came", "A@1" },
		{ 7, 500000, "tick - m1", "", "A" },
		{ 8, 699999, "tick - m1", "", "A" },
		{ 9, 700000, "tick - m1", "", "-" },
	};

	(void)state;
	RUN(rows);
}

static void test_announced_stay(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "announce A m1", "came", "A" },
		{ 2, 0, "claim B m2", "came", "B" },
		{ 3, 10, "announce B m2", "ok", "B" },
		/* What is heard in between makes it no less announced. */
		{ 4, 5000, "claim B m2", "ok", "B" },
		{ 5, 0, "announce X m3", "came", "X" },
		{ 6, 0, "announce S m4", "came", "S" },
		{ 7, 300000, "tick - m1", "", "A" },
		{ 8, 310000, "tick - m2", "", "B" },
		/* The dead one's do not stay; who merely has no session is not dead. */
		{ 9, 310000, "look - m3", "", "-" },
		{ 10, 310000, "look - m4", "", "S" },
		{ 11, 999000, "tick - m1", "", "A" },
		{ 12, 999000, "withdraw A m1", "", "-" },
	};

	(void)state;
	member_of('X')->news.heard = 7;
	member_of('S')->news.heard = 7;
	RUN(rows);
	assert_int_equal(member_of('X')->news.heard, 0);
	assert_int_equal(member_of('S')->news.heard, 7);
}

static void test_moves_when_nobodys(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		/* Not another's to withdraw. */
		{ 3, 1, "withdraw B m1", "", "A" },
		{ 4, 1, "withdraw L m1", "", "A" },
		{ 5, 1, "withdraw A m1", "", "-" },
		{ 6, 1, "look - i1", "", "-" },
		{ 7, 1, "claim B m1", "came", "B" },
		/* A dead owner's moves at once, with its addresses. */
		{ 8, 2, "claim X m2", "came", "X" },
		{ 9, 2, "claim X i2@m2", "came", "X@2" },
		{ 10, 3, "claim B m2", "moved", "B" },
		{ 11, 3, "look - i2", "", "B@2" },
		{ 12, 4, "claim X i3@m3", "came", "X@3" },
		{ 13, 5, "claim L i3@m4", "moved", "L@4" },
		/* One without a session is asked, in more time. */
		{ 14, 6, "claim S m5", "came", "S" },
		{ 15, 6, "claim B m5", "contested S?m5", "S?" },
		{ 16, 7, "claim C m6", "came", "C" },
		{ 17, 7, "fade C m6", "", "C" },
		{ 18, 7, "claim B m6", "contested C?m6", "C?" },
		{ 19, 8, "claim C m7", "came", "C" },
		{ 20, 8, "live C m7", "", "C" },
		{ 21, 8, "claim B m7", "contested C?m7", "C?" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_silent(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		{ 3, 1000, "claim B m1", "contested A?m1", "A?" },
		{ 4, 1001, "claim B m1", "contested", "A?" },
		/* A third is dropped as well, and does not get it. */
		{ 5, 1002, "claim C m1", "contested", "A?" },
		/* Frames on their way are no answer. */
		{ 6, 1003, "claim A m1", "ok", "A?" },
		{ 7, 1003, "announce A m1", "ok", "A?" },
		/* Nor is another's word. */
		{ 8, 1004, "confirm C m1", "", "A?" },
		{ 9, 1004, "confirm B m1", "", "A?" },
		{ 10, 1066, "tick - m1", "", "A?" },
		{ 11, 1067, "tick - m1", " A?m1", "A?" },
		{ 12, 1134, "tick - m1", " A?m1", "A?" },
		{ 13, 1200, "tick - m1", "", "A?" },
		{ 14, 1201, "tick - m1", "", "B" },
		{ 15, 1201, "look - i1", "", "B@1" },
		{ 16, 1202, "claim B m1", "ok", "B" },
		{ 17, 1202, "claim A m1", "contested B?m1", "B?" },
	};

	(void)state;
	RUN(rows);
}

/* A worker that could not hear does not judge. */
static void test_contest_late_tick(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 1000, "claim B m1", "contested A?m1", "A?" },
		{ 3, 5000, "tick - m1", " A?m1", "A?" },
		{ 4, 5000, "tick - m1", "", "A?" },
		{ 5, 5067, "tick - m1", " A?m1", "A?" },
		{ 6, 5134, "tick - m1", "", "B" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_slow(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim S m1", "came", "S" },
		{ 2, 1000, "claim B m1", "contested S?m1", "S?" },
		{ 3, 1300, "tick - m1", "", "S?" },
		{ 4, 2667, "tick - m1", " S?m1", "S?" },
		{ 5, 4334, "tick - m1", " S?m1", "S?" },
		{ 6, 5999, "tick - m1", "", "S?" },
		{ 7, 6001, "tick - m1", "", "B" },
		{ 8, 6001, "claim S m2", "came", "S" },
		{ 9, 6001, "claim B m2", "contested S?m2", "S?" },
		{ 10, 11000, "confirm S m2", "", "S" },
		{ 11, 11001, "tick - m2", "", "S" },
	};

	(void)state;
	RUN(rows);
}

/* Its session is so new that it could not be asked yet: that is no silence. */
static void test_contest_before_hello(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 1000, "mute A m1", "", "A" },
		{ 3, 1000, "claim B m1", "contested A?m1", "A?" },
		{ 4, 1300, "tick - m1", "", "A?" },
		{ 5, 2667, "tick - m1", " A?m1", "A?" },
		{ 6, 2700, "confirm A m1", "", "A" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_kept(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 1000, "claim B m1", "contested A?m1", "A?" },
		{ 3, 1010, "confirm A m1", "", "A" },
		/* 1 s, then 2, 4 … in which nobody else is heard. */
		{ 4, 1011, "claim B m1", "refused", "A" },
		{ 5, 1011, "claim C m1", "refused", "A" },
		{ 6, 1011, "claim A m1", "ok", "A" },
		{ 7, 2009, "claim B m1", "refused", "A" },
		{ 8, 2010, "claim B m1", "contested A?m1", "A?" },
		{ 9, 2010, "confirm A m1", "", "A" },
		{ 10, 4009, "claim C m1", "refused", "A" },
		{ 11, 4010, "claim C m1", "contested A?m1", "A?" },
		{ 12, 4010, "confirm A m1", "", "A" },
		{ 13, 8009, "claim C m1", "refused", "A" },
		{ 14, 8010, "claim C m1", "contested A?m1", "A?" },
		{ 15, 8010, "confirm A m1", "", "A" },
		{ 16, 16010, "claim C m1", "contested A?m1", "A?" },
		{ 17, 16010, "confirm A m1", "", "A" },
		{ 18, 32010, "claim C m1", "contested A?m1", "A?" },
		{ 19, 32010, "confirm A m1", "", "A" },
		{ 20, 64009, "claim C m1", "refused", "A" },
		{ 21, 64010, "claim C m1", "contested A?m1", "A?" },
		{ 22, 64010, "confirm A m1", "", "A" },
		/* A minute is the most. */
		{ 23, 124009, "claim C m1", "refused", "A" },
		{ 24, 124010, "claim C m1", "contested A?m1", "A?" },
		{ 25, 124010, "confirm A m1", "", "A" },
		{ 26, 184009, "claim C m1", "refused", "A" },
		/* A withdrawal ends it. */
		{ 27, 184009, "withdraw A m1", "", "-" },
		{ 28, 184009, "claim C m1", "came", "C" },
		{ 29, 184010, "claim A m1", "contested C?m1", "C?" },
		{ 30, 184010, "confirm C m1", "", "C" },
		/* After a quiet minute it is a second again. */
		{ 31, 245011, "claim A m1", "contested C?m1", "C?" },
		{ 32, 245011, "confirm C m1", "", "C" },
		{ 33, 246011, "claim A m1", "contested C?m1", "C?" },
		/* A confirmation that nobody asked for ends nothing and begins nothing. */
		{ 34, 246011, "confirm C m1", "", "C" },
		{ 35, 248010, "confirm C m1", "", "C" },
		{ 36, 248011, "claim A m1", "contested C?m1", "C?" },
		{ 37, 248012, "confirm C m1", "", "C" },
		/* Others are not heard; but nobody keeps a dead one's, and its new owner begins anew. */
		{ 38, 248013, "claim A m1", "refused", "C" },
		{ 39, 248014, "die C m1", "", "C" },
		{ 40, 248015, "claim A m1", "moved", "A" },
		{ 41, 248016, "claim B m1", "contested A?m1", "A?" },
		{ 42, 248017, "confirm A m1", "", "A" },
		{ 43, 249016, "claim B m1", "refused", "A" },
		{ 44, 249017, "claim B m1", "contested A?m1", "A?" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_given_up(void **state)
{
	static const struct row rows[] = {
		/* The owner says that it is gone: who waited has it. */
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		{ 3, 1, "claim B m1", "contested A?m1", "A?" },
		{ 4, 2, "withdraw C m1", "", "A?" },
		{ 5, 2, "withdraw A m1", "", "B" },
		{ 6, 2, "look - i1", "", "B@1" },
		/* The claimant says that it has it no more. */
		{ 7, 3, "claim A m1", "contested B?m1", "B?" },
		{ 8, 4, "withdraw A m1", "", "B" },
		{ 9, 500, "tick - m1", "", "B" },
		/* The owner is forgotten, the claimant is. */
		{ 10, 1000, "claim C m1", "contested B?m1", "B?" },
		{ 11, 1001, "forget B m1", "", "C" },
		{ 12, 1002, "claim B m1", "contested C?m1", "C?" },
		{ 13, 1003, "forget B m1", "", "C" },
		{ 14, 1500, "tick - m1", "", "C" },
		{ 15, 1501, "claim B m1", "contested C?m1", "C?" },
		{ 16, 1502, "remove B m1", "", "C" },
		{ 17, 2000, "tick - m1", "", "C" },
		{ 18, 2001, "claim A m1", "contested C?m1", "C?" },
		{ 19, 2002, "remove C m1", "", "A" },
		/* What is no more claims nothing, even if a worker has not heard of that. */
		{ 20, 2003, "claim C m3", "refused", "-" },
		{ 21, 2003, "claim C m1", "refused", "A" },
		{ 22, 2003, "static C m3", "-22", "-" },
		{ 23, 2003, "claim L i1@m4", "came", "L@4" },
		{ 24, 2003, "check C i1", "no", "L@4" },
	};

	(void)state;
	RUN(rows);
}

static void test_local_macs(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim L m1", "came", "L" },
		/* Never a peer's, not even announced. */
		{ 2, 1, "claim A m1", "refused", "L" },
		{ 3, 1, "announce A m1", "refused", "L" },
		{ 4, 1, "claim A i9@m1", "refused", "-" },
		{ 5, 500, "tick - m1", "", "L" },
		{ 6, 501, "withdraw L m1", "", "-" },
		{ 7, 501, "claim A m1", "came", "A" },
		/* This host's claim is a contest like any. */
		{ 8, 502, "claim L m1", "contested A?m1", "A?" },
		{ 9, 503, "confirm A m1", "", "A" },
		{ 10, 503, "claim L m1", "refused", "A" },
		{ 11, 1600, "claim L m1", "contested A?m1", "A?" },
		{ 12, 1601, "withdraw A m1", "", "L" },
		{ 13, 1602, "claim A m1", "refused", "L" },
	};

	(void)state;
	RUN(rows);
}

/* A container's address: it is asked itself. */
static void test_local_addresses(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim L m1", "came", "L" },
		{ 2, 0, "claim L i1@m1", "came", "L@1" },
		{ 3, 1, "claim A m2", "came", "A" },
		{ 4, 1, "claim A i1@m2", "contested L?i1@1", "L@1?" },
		/* Other frames of it are no answer, an ARP message is. */
		{ 5, 2, "claim L m1", "ok", "L" },
		{ 6, 2, "look - i1", "", "L@1?" },
		{ 7, 3, "claim L i1@m1", "ok", "L@1" },
		{ 8, 4, "claim A i1@m2", "refused", "L@1" },
		{ 9, 1500, "claim A i1@m2", "contested L?i1@1", "L@1?" },
		{ 10, 1567, "tick - i1", " L?i1@1", "L@1?" },
		{ 11, 1634, "tick - i1", " L?i1@1", "L@1?" },
		{ 12, 1701, "tick - i1", "", "A@2" },
		{ 13, 1701, "look - m1", "", "L" },
		/* Another container of this host: the same. */
		{ 14, 2000, "claim L i5@m1", "came", "L@1" },
		{ 15, 2001, "claim L i5@m6", "contested L?i5@1", "L@1?" },
		{ 16, 2002, "claim L i5@m6", "contested", "L@1?" },
		{ 17, 2003, "claim L i5@m1", "ok", "L@1" },
		{ 18, 2004, "claim L i5@m6", "refused", "L@1" },
		{ 19, 3100, "claim L i5@m6", "contested L?i5@1", "L@1?" },
		{ 20, 3167, "tick - i5", " L?i5@1", "L@1?" },
		{ 21, 3234, "tick - i5", " L?i5@1", "L@1?" },
		{ 22, 3301, "tick - i5", "", "L@6" },
		{ 23, 3301, "look - m1", "", "L" },
	};

	(void)state;
	RUN(rows);
}

static void test_addresses_are_where_their_mac_is(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		/* Not at a MAC of somebody else's. */
		{ 2, 0, "claim B i1@m1", "refused", "-" },
		{ 3, 0, "announce B i1@m1", "refused", "-" },
		/* The MAC is claimed along with it. */
		{ 4, 0, "claim B i2@m2", "came", "B@2" },
		{ 5, 0, "look - m2", "", "B" },
		/* While its MAC is contested the claimant waits, a third is refused. */
		{ 6, 1, "claim B m1", "contested A?m1", "A?" },
		{ 7, 1, "claim B i1@m1", "contested", "-" },
		{ 8, 1, "claim C i1@m1", "refused", "-" },
		{ 9, 1, "claim A i1@m1", "came", "A@1" },
		{ 10, 2, "withdraw A m1", "", "B" },
		{ 11, 2, "look - i1", "", "B@1" },
		/* A peer may move its own from one of its MACs to another. */
		{ 12, 3, "claim B i1@m2", "moved", "B@2" },
		{ 13, 4, "withdraw B m1", "", "-" },
		{ 14, 4, "look - i1", "", "B@2" },
		{ 15, 5, "withdraw B i1", "", "-" },
		{ 16, 5, "look - m2", "", "B" },
		{ 17, 5, "look - i2", "", "B@2" },
		/* A claimant whose MAC has gone meanwhile gets nothing. */
		{ 18, 6, "claim C m3", "came", "C" },
		{ 19, 6, "claim C i2@m3", "contested B?i2@2", "B@2?" },
		{ 20, 7, "withdraw C m3", "", "-" },
		{ 21, 8, "withdraw B i2", "", "-" },
		/* The MAC goes, but one waits for its address. */
		{ 22, 9, "claim B i4@m2", "came", "B@2" },
		{ 23, 9, "claim C i4@m3", "contested B?i4@2", "B@2?" },
		{ 24, 10, "withdraw B m2", "", "-" },
		{ 25, 10, "look - i4", "", "C@3" },
	};

	(void)state;
	RUN(rows);
}

static void test_statics(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "static A m1", "0", "A" },
		{ 2, 0, "static A m1", "0", "A" },
		{ 3, 0, "static B m1", "-17", "A" },
		{ 4, 1, "claim B m1", "refused", "A" },
		{ 5, 1, "claim L m1", "refused", "A" },
		{ 6, 1, "withdraw A m1", "", "A" },
		{ 7, 1, "forget A m1", "", "A" },
		{ 8, 999000, "tick - m1", "", "A" },
		/* An address only with its MAC. */
		{ 9, 999000, "static A i1@m2", "-22", "-" },
		{ 10, 999000, "static B i1@m1", "-22", "-" },
		{ 11, 999000, "static A i1@m1", "0", "A@1" },
		{ 12, 999000, "claim A m2", "came", "A" },
		{ 13, 999000, "claim A i1@m2", "refused", "A@1" },
		{ 14, 999000, "static A m2", "0", "A" },
		{ 15, 999000, "static A i1@m2", "-17", "A@1" },
		{ 16, 999000, "forget A i1", "", "A@1" },
		/* What is learned besides is not static. */
		{ 17, 999000, "claim A i2@m1", "came", "A@1" },
		{ 18, 999000, "forget A i2", "", "-" },
		/* From whoever has it, a local one too. */
		{ 19, 999000, "claim L m3", "came", "L" },
		{ 20, 999000, "claim L i3@m3", "came", "L@3" },
		{ 21, 999000, "static B m3", "0", "B" },
		{ 22, 999000, "look - i3", "", "B@3" },
		{ 23, 999000, "claim A i3@m1", "contested B?i3@3", "B@3?" },
		{ 24, 999000, "unstatic - m3", "0", "-" },
		{ 25, 999000, "look - i3", "", "A@1" },
		{ 26, 999000, "unstatic - m3", "-2", "-" },
		{ 27, 999000, "claim L m3", "came", "L" },
		{ 28, 999000, "unstatic - m3", "-2", "L" },
		{ 29, 999000, "check A m3", "yes", "L" },
		/* In the midst of a contest. */
		{ 30, 999001, "claim B m4", "came", "B" },
		{ 31, 999001, "claim C m4", "contested B?m4", "B?" },
		{ 32, 999002, "static B m4", "0", "B" },
		{ 33, 999900, "tick - m4", "", "B" },
		{ 34, 999900, "unstatic - m1", "0", "-" },
		{ 35, 999900, "look - i1", "", "-" },
		{ 36, 999900, "remove A m2", "", "-" },
	};

	(void)state;
	RUN(rows);
	assert_int_equal(member_of('A')->macs + member_of('A')->addrs, 0);
	assert_int_equal(member_of('A')->first, 0);
	assert_int_equal(member_of('B')->macs, 0);
}

static void test_moves_are_limited(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim X m1", "came", "X" },
		{ 2, 1000, "claim A m1", "moved", "A" },
		{ 3, 2000, "claim X m1", "contested A?m1", "A?" },
		{ 4, 2001, "withdraw A m1", "", "X" },
		{ 5, 3000, "claim A m1", "moved", "A" },
		{ 6, 4000, "claim X m1", "contested A?m1", "A?" },
		{ 7, 4001, "withdraw A m1", "", "X" },
		{ 8, 5000, "claim A m1", "moved", "A" },
		/* The sixth in a minute. */
		{ 9, 6000, "claim X m1", "busy", "A" },
		{ 10, 6000, "claim B m1", "busy", "A" },
		{ 11, 6000, "claim L m1", "busy", "A" },
		{ 12, 6000, "claim A m1", "ok", "A" },
		{ 13, 60999, "claim B m1", "busy", "A" },
		{ 14, 61000, "claim B m1", "contested A?m1", "A?" },
		{ 15, 61001, "withdraw A m1", "", "B" },
		{ 16, 61002, "claim A m1", "contested B?m1", "B?" },
		{ 17, 61003, "confirm B m1", "", "B" },
		/* And the next minute's five. */
		{ 18, 62003, "claim X m1", "contested B?m1", "B?" },
		{ 19, 62003, "withdraw B m1", "", "X" },
		{ 20, 62004, "claim B m1", "moved", "B" },
		{ 21, 62005, "claim X m1", "contested B?m1", "B?" },
		{ 22, 62006, "withdraw B m1", "", "X" },
		{ 23, 62007, "claim B m1", "moved", "B" },
		{ 24, 121000, "claim A m1", "busy", "B" },
		{ 25, 121001, "claim A m1", "contested B?m1", "B?" },
		{ 26, 121001, "confirm B m1", "", "B" },
		/* An address that a peer keeps changing. */
		{ 27, 70000, "claim A i1@m2", "came", "A@2" },
		{ 28, 70001, "claim A i1@m3", "moved", "A@3" },
		{ 29, 70002, "claim A i1@m2", "moved", "A@2" },
		{ 30, 70003, "claim A i1@m3", "moved", "A@3" },
		{ 31, 70004, "claim A i1@m2", "moved", "A@2" },
		{ 32, 70005, "claim A i1@m3", "moved", "A@3" },
		{ 33, 70006, "claim A i1@m2", "busy", "A@3" },
	};

	(void)state;
	RUN(rows);
}

static void test_checks(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "check A m1", "no", "-" },
		{ 2, 0, "claim B m2", "came", "B" },
		{ 3, 0, "check A m2", "no", "B" },
		/* A MAC that cannot be asked is there. */
		{ 4, 0, "claim L m1", "came", "L" },
		{ 5, 0, "check A m1", "yes", "L" },
		{ 6, 0, "claim L i1@m1", "came", "L@1" },
		{ 7, 10, "check A i1", "asked L?i1@1", "L@1" },
		{ 8, 20, "check A i1", "asked L?i1@1", "L@1" },
		{ 9, 30, "check C i1", "asked L?i1@1", "L@1" },
		/* It answers: all are told at once, each once. */
		{ 10, 40, "claim L i1@m1", "ok", "L@1" },
		{ 11, 40, "tick - i1", " C:i1=yes A:i1=yes", "L@1" },
		{ 12, 41, "tick - i1", "", "L@1" },
		/* A MAC that was heard of just now is there. Else its addresses are asked in turn. */
		{ 13, 50, "claim L j1@m1", "came", "L@1" },
		{ 14, 1000, "check A m1", "yes", "L" },
		{ 15, 10039, "check A m1", "yes", "L" },
		{ 16, 11000, "check A m1", "asked L?j1@1", "L" },
		{ 17, 11067, "tick - m1", " L?i1@1", "L" },
		{ 18, 11068, "claim L m1", "ok", "L" },
		{ 19, 11068, "tick - m1", " A:m1=yes", "L" },
		/* Silence: it is gone from here too. */
		{ 20, 12000, "check A j1", "asked L?j1@1", "L@1" },
		{ 21, 12067, "tick - j1", " L?j1@1", "L@1" },
		{ 22, 12134, "tick - j1", " L?j1@1", "L@1" },
		{ 23, 12201, "tick - j1", " A:j1=no", "-" },
		{ 24, 12201, "look - m1", "", "L" },
		{ 25, 23000, "check A m1", "asked L?i1@1", "L" },
		{ 26, 23067, "tick - m1", " L?i1@1", "L" },
		{ 27, 23134, "tick - m1", " L?i1@1", "L" },
		{ 28, 23201, "tick - m1", " A:m1=no", "-" },
		{ 29, 23201, "look - i1", "", "-" },
		/* Withdrawn while it was asked; and a member that is no more is not told. */
		{ 30, 24000, "claim L i3@m3", "came", "L@3" },
		{ 31, 24000, "check A i3", "asked L?i3@3", "L@3" },
		{ 32, 24000, "check C i3", "asked L?i3@3", "L@3" },
		{ 33, 24001, "remove C i3", "", "L@3" },
		{ 34, 24002, "withdraw L m3", "", "-" },
		{ 35, 24003, "tick - i3", " A:i3=no", "-" },
		/* A claim on what is being checked is a contest, and one answer serves both. */
		{ 36, 25000, "claim L i3@m3", "came", "L@3" },
		{ 37, 25000, "check A i3", "asked L?i3@3", "L@3" },
		{ 38, 25100, "claim B i3@m2", "contested L?i3@3", "L@3?" },
		{ 39, 25166, "tick - i3", "", "L@3?" },
		{ 40, 25167, "claim L i3@m3", "ok", "L@3" },
		{ 41, 25167, "tick - i3", " A:i3=yes", "L@3" },
		{ 42, 25168, "claim B i3@m2", "refused", "L@3" },
		/* The claimant gives up; who checked still waits, and is not told yes for it. */
		{ 43, 27000, "check A i3", "asked L?i3@3", "L@3" },
		{ 44, 27000, "claim B i3@m2", "contested L?i3@3", "L@3?" },
		{ 45, 27001, "withdraw B i3", "", "L@3" },
		{ 46, 27002, "tick - i3", "", "L@3" },
		{ 47, 27067, "tick - i3", " L?i3@3", "L@3" },
		{ 48, 27134, "tick - i3", " L?i3@3", "L@3" },
		{ 49, 27201, "tick - i3", " A:i3=no", "-" },
	};

	(void)state;
	RUN(rows);
}

/* A quiet container is asked before it is forgotten. */
static void test_local_ageing(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim L m1", "came", "L" },
		{ 2, 0, "claim L i1@m2", "came", "L@2" },
		{ 3, 0, "announce L m3", "came", "L" },
		{ 4, 300000, "tick - m1", " L?i1@2 L?i1@2", "-" },
		{ 5, 300001, "claim L i1@m2", "ok", "L@2" },
		{ 6, 300100, "tick - m2", "", "L" },
		{ 7, 600000, "tick - m2", "", "L" },
		{ 8, 600001, "tick - m2", " L?i1@2 L?i1@2", "L" },
		{ 9, 600068, "tick - m2", " L?i1@2 L?i1@2", "L" },
		{ 10, 600135, "tick - m2", " L?i1@2 L?i1@2", "L" },
		{ 11, 600202, "tick - m2", "", "-" },
		{ 12, 600202, "look - i1", "", "-" },
		/* What the control thread knows stays until it says otherwise. */
		{ 13, 999000, "tick - m3", "", "L" },
		{ 14, 999000, "withdraw L m3", "", "-" },
	};

	(void)state;
	RUN(rows);
}

static void test_whole(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "announce A m1", "came", "A" },
		{ 2, 0, "announce A i1@m1", "came", "A@1" },
		{ 3, 0, "announce A i2@m1", "came", "A@1" },
		{ 4, 0, "announce A m2", "came", "A" },
		{ 5, 0, "announce A i3@m2", "came", "A@2" },
		{ 6, 0, "claim A m4", "came", "A" },
		{ 7, 0, "announce B m5", "came", "B" },
		{ 8, 10, "begin A m1", "", "A" },
		{ 9, 10, "announce A m1", "ok", "A" },
		{ 10, 10, "announce A i1@m1", "ok", "A@1" },
		{ 11, 10, "announce A m6", "came", "A" },
		{ 12, 10, "end A m1", "", "A" },
		{ 13, 10, "look - i1", "", "A@1" },
		{ 14, 10, "look - i2", "", "-" },
		{ 15, 10, "look - m2", "", "-" },
		{ 16, 10, "look - i3", "", "-" },
		{ 17, 10, "look - m4", "", "A" },
		{ 18, 10, "look - m5", "", "B" },
		{ 19, 10, "look - m6", "", "A" },
		/* An end without a beginning. */
		{ 20, 11, "end A m1", "", "A" },
		{ 21, 12, "end B m5", "", "B" },
		/* What is not named goes to who waits for it. */
		{ 22, 13, "claim C m1", "contested A?m1", "A?" },
		{ 23, 13, "begin A m1", "", "A?" },
		{ 24, 13, "end A m1", "", "C" },
		{ 25, 13, "look - i1", "", "-" },
		{ 26, 13, "look - m6", "", "-" },
	};

	(void)state;
	RUN(rows);
}

static void test_nonsense(void **state)
{
	static const uint8_t bad_macs[][ETHER_ADDR_SIZE] = {
		{ 0 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, { 1, 0, 0x5e, 0, 0, 1 }, { 3 }
	};
	static const uint8_t bad4[][4] = {
		{ 0 }, { 0, 1, 2, 3 }, { 127, 0, 0, 1 }, { 224, 0, 0, 1 }, { 255, 255, 255, 255 }
	};
	static const uint8_t bad6[][16] = { { 0 }, { [15] = 1 }, { 0xff, 2, [15] = 1 } };
	struct fdb_key keys[12], key = mac_key(1);
	struct fdb_question question;
	struct fdb_counts counts;
	size_t n = 0;
	bool ask;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		keys[n++] = fdb_key_mac(bad_macs[i]);
	for (size_t i = 0; i < 5; i++)
		keys[n++] = fdb_key_ip(4, bad4[i]);
	for (size_t i = 0; i < 3; i++)
		keys[n++] = fdb_key_ip(6, bad6[i]);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(fdb_claim(fdb, member_of('A'), &keys[i], key.addr, FDB_ANNOUNCED,
		                           START, &ask, &question),
		                 FDB_REFUSED);
		assert_int_equal(fdb_add_static(fdb, member_of('A'), &keys[i], key.addr, START),
		                 -EINVAL);
	}
	/* Nor a good address at a bad MAC, nor a key of no kind. */
	key = ip_key(1);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fdb_claim(fdb, member_of('A'), &key, bad_macs[i], FDB_LEARNED,
		                           START, &ask, &question),
		                 FDB_REFUSED);
	key.kind = FDB_NONE;
	assert_int_equal(
		fdb_claim(fdb, member_of('A'), &key, key.addr, FDB_LEARNED, START, &ask, &question),
		FDB_REFUSED);
	fdb_get_counts(fdb, &counts);
	assert_int_equal(counts.entries, 0);
	assert_int_equal(counts.refused, 17);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_first_has_it),
		ROW(test_heard_of),
		ROW(test_announced_stay),
		ROW(test_moves_when_nobodys),
		ROW(test_contest_silent),
		ROW(test_contest_late_tick),
		ROW(test_contest_slow),
		ROW(test_contest_before_hello),
		ROW(test_contest_kept),
		ROW(test_contest_given_up),
		ROW(test_local_macs),
		ROW(test_local_addresses),
		ROW(test_addresses_are_where_their_mac_is),
		ROW(test_statics),
		ROW(test_moves_are_limited),
		ROW(test_checks),
		ROW(test_local_ageing),
		ROW(test_whole),
		ROW(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
