/*-------------------------------------------------------------------------
 *
 * fg_client.h
 *		Where this session's client is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CLIENT_H
#define FG_CLIENT_H

#include "postgres.h"

#define FG_ADDRESS_LENGTH	16

/*
 * The client's address as 16 bytes: IPv4 in its IPv6-mapped form, IPv6 cut to
 * its /64 network.  Local sockets, and processes without a client, count as
 * 127.0.0.1.
 */
extern void fg_client_address(uint8 address[FG_ADDRESS_LENGTH]);
/* The same for people: the whole address, "[local]" or "[internal]"; palloc'd. */
extern const char *fg_client_text(void);

/* The whole address: 4 (4 bytes), 6 (16 bytes) or 0 where there is none. */
extern uint8 fg_client_inet(uint8 address[FG_ADDRESS_LENGTH]);

#endif							/* FG_CLIENT_H */
