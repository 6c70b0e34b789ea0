/*-------------------------------------------------------------------------
 *
 * fg_client.c
 *		Where this session's client is.
 *
 * The address is taken from the backend's own status entry rather than from
 * MyProcPort: the port's header needs the headers of every authentication
 * library that the server was built with, which a machine that only builds
 * extensions does not have.  The entry is written once, at the start of the
 * session, by this backend alone; it needs no lock to be read here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/ip.h"
#include "miscadmin.h"
#include "utils/backend_status.h"

#include "fg_client.h"

/* The address family, or AF_UNSPEC for a process without a client. */
static int
client_family(void)
{
	if (MyBEEntry == NULL || MyProcPort == NULL)
		return AF_UNSPEC;
	return MyBEEntry->st_clientaddr.addr.ss_family;
}

void
fg_client_address(uint8 address[FG_ADDRESS_LENGTH])
{
	static const uint8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const uint8 loopback[4] = {127, 0, 0, 1};

	memcpy(address, mapped, sizeof(mapped));
	memcpy(address + 12, loopback, sizeof(loopback));

	if (client_family() == AF_INET)
	{
		const struct sockaddr_in *in =
		(const struct sockaddr_in *) &MyBEEntry->st_clientaddr.addr;

		memcpy(address + 12, &in->sin_addr, 4);
	}
	else if (client_family() == AF_INET6)
	{
		const struct sockaddr_in6 *in =
		(const struct sockaddr_in6 *) &MyBEEntry->st_clientaddr.addr;

		memcpy(address, &in->sin6_addr, FG_ADDRESS_LENGTH);
		/* a mapped IPv4 address is one machine; anything else a /64 */
		if (memcmp(address, mapped, sizeof(mapped)) != 0)
			memset(address + 8, 0, 8);
	}
}

uint8
fg_client_inet(uint8 address[FG_ADDRESS_LENGTH])
{
	memset(address, 0, FG_ADDRESS_LENGTH);
	if (client_family() == AF_INET)
	{
		const struct sockaddr_in *in =
		(const struct sockaddr_in *) &MyBEEntry->st_clientaddr.addr;

		memcpy(address, &in->sin_addr, 4);
		return 4;
	}
	if (client_family() == AF_INET6)
	{
		const struct sockaddr_in6 *in =
		(const struct sockaddr_in6 *) &MyBEEntry->st_clientaddr.addr;

		memcpy(address, &in->sin6_addr, FG_ADDRESS_LENGTH);
		return 6;
	}
	return 0;
}

const char *
fg_client_text(void)
{
	char		host[NI_MAXHOST];

	switch (client_family())
	{
		case AF_UNSPEC:
			return "[internal]";
		case AF_INET:
		case AF_INET6:
			if (pg_getnameinfo_all(&MyBEEntry->st_clientaddr.addr,
								   MyBEEntry->st_clientaddr.salen,
								   host, sizeof(host), NULL, 0,
								   NI_NUMERICHOST | NI_NUMERICSERV) == 0)
				return pstrdup(host);
			return "[unknown]";
		default:
			return "[local]";
	}
}
