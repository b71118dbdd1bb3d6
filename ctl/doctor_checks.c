/* SPDX-License-Identifier: MIT */
/* The table of checks, causes before effects; see doctor.h. */
#include "ctl/doctor.h"

const struct doctor_check doctor_checks[] = {
	{ "keys", doctor_check_keys },
	{ "configuration", doctor_check_config },
	{ "clock", doctor_check_clock },
	{ "kernel", doctor_check_kernel },
	{ "port", doctor_check_port },
	{ "daemon", doctor_check_daemon },
	{ "bridges", doctor_check_bridges },
	{ "overlaps", doctor_check_overlaps },
	{ "addresses", doctor_check_addresses },
	{ "mtu", doctor_check_mtu },
	{ "forward", doctor_check_forward },
	{ "nat", doctor_check_nat },
	{ "firewall", doctor_check_firewall },
	{ "endpoints", doctor_check_endpoints },
	{ "handshakes", doctor_check_handshakes },
	{ "members", doctor_check_members },
	{ "allowed-ips", doctor_check_allowed },
	{ "drops", doctor_check_drops },
};
const size_t doctor_check_count = sizeof(doctor_checks) / sizeof(doctor_checks[0]);
