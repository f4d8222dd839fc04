/* A SIP and RTP peer that measures: what its parts share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PEER_H
#define PEER_H

#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>

#define CALLS 4096 /* calls are numbered one after the other; so many may overlap */
#define SECOND_NS 1000000000ull
#define MILLISECOND_NS 1000000ull
#define BINS 5000 /* of 0.1 ms */

enum state {
    FREE,
    ANSWERED, /* 200 sent, waits for its ACK */
    UP,
    LEAVING, /* BYE sent, waits for its answer */
    OVER     /* its number may be used by another call */
};

/* One leg: the called phone of one INVITE dialog. */
struct leg {
    enum state state;
    int side; /* 0: leg 1 of the call, 1: leg 2 */
    int index;
    unsigned call; /* the last eight digits of the called number */
    char call_id[128];
    char local[256];  /* our To, with its tag */
    char remote[256]; /* the server's From */
    char target[256]; /* the server's Contact */
    unsigned cseq;
    struct sockaddr_in server;
    /* The 200 or BYE that is sent again until it is confirmed (RFC 3261 sections 13.3.1.4 and 17.1.2). */
    char message[2048];
    int length;
    uint64_t again_at, interval, give_up_at, hang_up_at;
    /* RTP sent */
    int rtp;
    int has_remote;
    uint16_t sequence;
    uint32_t timestamp;
    unsigned sent;
    uint64_t marked_at; /* when its last marker was sent */
    /* RTP received */
    int receiving;
    uint16_t highest;
    uint64_t arrived_at;
    uint64_t heard; /* the `marked_at` of the other leg that was heard last */
    /* what the server's last RTCP report says of our packets */
    int reported;
    int32_t reported_lost;
};

/* Everything counted since the start; the histograms since the last reset. */
struct counters {
    uint64_t invites, invites_again, answers_again, acks;
    uint64_t byes_sent, byes_again, byes_answered, byes_received, refused;
    uint64_t rtp_sent, rtp_unsent, rtp_received, rtp_duplicates;
    int64_t rtp_lost;
    uint32_t jitter[BINS]; /* distance of the gap between two packets from 20 ms */
    uint32_t delay[BINS];  /* from a marker's sending to its arrival through the other leg */
};

extern struct counters counters;
extern const char *own_address;
extern int rtcp_port;
extern int64_t hold_ms; /* leg 2 hangs up so long after its ACK; below 0: not by itself */

uint64_t now_ns(void);
void note(uint64_t at, const char *event, const struct leg *leg);
void note_call(uint64_t at, const char *event, int side, unsigned call);
void watch(int descriptor, uint64_t what);

void sip_start(int descriptor, int port);
void sip_receive(char *message, const struct sockaddr_in *from, uint64_t at);
void sip_hang_up(struct leg *leg);
void sip_tick(struct leg *leg, uint64_t now);

void media_open(struct leg *leg);
void media_close(struct leg *leg);
int media_port(const struct leg *leg);
void media_offer(struct leg *leg, const char *sdp);
void media_send(struct leg *leg);
void media_receive(struct leg *leg, struct leg *other, const unsigned char *packet, int length, uint64_t at);
void media_report(const unsigned char *packet, int length);
uint32_t media_source(const struct leg *leg);

struct leg *leg_at(unsigned call, int side);
struct leg *leg_of_source(uint32_t source);
void leg_use(struct leg *leg);

#endif
