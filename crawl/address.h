/* address - whom a URL leads to: which hosts are private, and which of them must be told a name. */
#ifndef SLUICE_CRAWL_ADDRESS_H
#define SLUICE_CRAWL_ADDRESS_H
#include "core/base.h"

struct sockaddr;
/* Inside crawl/ only. True for every address that does not lead into the open internet: loopback,
 * link-local (169.254.169.254 holds a cloud machine's keys), private, shared (100.64/10),
 * unspecified, multicast and reserved ranges, also inside IPv6 forms that carry an IPv4 address
 * (mapped, compatible, NAT64, 6to4). Source: RFC 6890, 6598, 4193, 6052, 3056. */
bool address_is_private(const struct sockaddr *address);
/* True when host (without brackets) is localhost or is written as an address that is private
 * by the given rule. Names are not looked up. */
bool address_host_is_private(struct str host, bool (*is_private)(const struct sockaddr *));
/* The same for the text of an address, as libcurl tells it; what is no address counts as
 * private. */
bool address_text_is_private(const char *ip, bool (*is_private)(const struct sockaddr *));
/* (crawl/proxy.c) Whether the environment names a proxy as libcurl reads it (http_proxy and so on),
 * and whether this is the address and port of one: what goes there was the user's choice, however
 * private. What the proxy then connects to only it knows; hosts written as private addresses are
 * refused before it is asked. */
bool proxy_is_set(void);
bool proxy_is_at(const struct sockaddr *address);
bool proxy_is_text(const char *ip, int port);
/* The same number for the same IP address, whatever the port; never 0. */
uint64_t address_hash(const struct sockaddr *address);
#endif
