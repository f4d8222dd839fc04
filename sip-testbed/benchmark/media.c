/* RTP (RFC 3550): a G.711 stream with one loud packet a second, and what came of it on the other leg.
 *
 * A server that mixes decodes and encodes anew, so nothing written into a packet crosses it; loudness does. The delay
 * of a marker is measured from its sending to the kernel's receive time of the packet that carries its first loud
 * sample, plus the place of that sample in the packet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "peer.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER 12
#define SAMPLES 160 /* 20 ms */
#define SAMPLE_NS 125000
#define GAP_NS (20 * MILLISECOND_NS)
#define BIN_NS (MILLISECOND_NS / 10)
#define MARKER_EVERY 50 /* packets: one second */
#define SILENCE 0xFF    /* mu-law; the sign bit is the highest, and all bits are inverted */
#define LOUD 0x80
#define LOUD_BELOW 0x20 /* of the bits without the sign */
#define SOURCE 0x50000000u
#define SENDER_REPORT 200
#define RECEIVER_REPORT 201

uint32_t media_source(const struct leg *leg) { return SOURCE + (uint32_t)leg->index; }

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

void media_open(struct leg *leg)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    int on = 1;
    inet_aton(own_address, &own.sin_addr);
    leg->rtp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (leg->rtp < 0 || bind(leg->rtp, (struct sockaddr *)&own, sizeof own) < 0)
        fail("RTP socket");
    setsockopt(leg->rtp, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    watch(leg->rtp, (uint64_t)leg->index + 1);
}

void media_close(struct leg *leg)
{
    if (leg->rtp > 0)
        close(leg->rtp);
    leg->rtp = 0;
}

int media_port(const struct leg *leg)
{
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    getsockname(leg->rtp, (struct sockaddr *)&own, &size);
    return ntohs(own.sin_port);
}

void media_offer(struct leg *leg, const char *sdp)
{
    struct sockaddr_in remote = {.sin_family = AF_INET};
    char address[64] = "";
    const char *media = strstr(sdp, "m=audio "), *connection = strstr(sdp, "c=IN IP4 ");
    if (!media || !connection || sscanf(connection, "c=IN IP4 %63[0-9.]", address) != 1)
        return;
    inet_aton(address, &remote.sin_addr);
    remote.sin_port = htons((uint16_t)atoi(media + strlen("m=audio ")));
    leg->has_remote = connect(leg->rtp, (struct sockaddr *)&remote, sizeof remote) == 0;
}

void media_send(struct leg *leg)
{
    unsigned char packet[HEADER + SAMPLES] = {0x80};
    uint16_t sequence = htons(leg->sequence++);
    uint32_t timestamp = htonl(leg->timestamp), source = htonl(media_source(leg));
    /* The legs mark at different times, so that an echo would not be taken for the other's marker. */
    int marker = leg->sent % MARKER_EVERY == (leg->side ? MARKER_EVERY * 3 / 4 : MARKER_EVERY / 4);
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &source, 4);
    memset(packet + HEADER, marker ? LOUD : SILENCE, SAMPLES);
    leg->timestamp += SAMPLES;
    leg->sent++;
    if (marker)
        leg->marked_at = now_ns();
    if (send(leg->rtp, packet, sizeof packet, 0) == (ssize_t)sizeof packet)
        counters.rtp_sent++;
    else
        counters.rtp_unsent++;
}

static void put(uint32_t *histogram, uint64_t nanoseconds)
{
    uint64_t bin = nanoseconds / BIN_NS;
    histogram[bin < BINS ? bin : BINS - 1]++;
}

static void hear(struct leg *leg, const struct leg *other, const unsigned char *samples, int count, uint64_t at)
{
    if (!other->marked_at || leg->heard == other->marked_at || at < other->marked_at)
        return;
    for (int i = 0; i < count; i++)
        if ((samples[i] & 0x7F) < LOUD_BELOW) {
            leg->heard = other->marked_at;
            put(counters.delay, at - other->marked_at + (uint64_t)i * SAMPLE_NS);
            return;
        }
}

void media_receive(struct leg *leg, struct leg *other, const unsigned char *packet, int length, uint64_t at)
{
    if (length < HEADER || packet[0] >> 6 != 2)
        return;
    uint16_t sequence = (uint16_t)(packet[2] << 8 | packet[3]);
    int16_t ahead = (int16_t)(sequence - leg->highest);
    counters.rtp_received++;
    if (!leg->receiving || ahead > 0) {
        if (leg->receiving) {
            int64_t off = (int64_t)(at - leg->arrived_at) - (int64_t)GAP_NS;
            put(counters.jitter, (uint64_t)(off < 0 ? -off : off));
            counters.rtp_lost += ahead - 1;
        }
        leg->highest = sequence;
    } else if (ahead == 0) {
        counters.rtp_duplicates++;
    } else {
        counters.rtp_lost--; /* late, and counted as lost when a later one came */
    }
    leg->receiving = 1;
    leg->arrived_at = at;
    hear(leg, other, packet + HEADER, length - HEADER, at);
}

/* Take the first report block of each part of an RTCP packet (RFC 3550 section 6.4): it tells which of our packets
 * the server has not received. */
void media_report(const unsigned char *packet, int length)
{
    while (length >= 4) {
        int blocks = packet[0] & 0x1F, kind = packet[1], size = 4 * ((packet[2] << 8 | packet[3]) + 1);
        int block = kind == SENDER_REPORT ? 28 : kind == RECEIVER_REPORT ? 8 : 0;
        if (size > length)
            return;
        if (block && blocks && block + 24 <= size) {
            uint32_t source;
            memcpy(&source, packet + block, 4);
            struct leg *leg = leg_of_source(ntohl(source));
            if (leg) {
                uint32_t lost = (uint32_t)(packet[block + 5] << 16 | packet[block + 6] << 8 | packet[block + 7]);
                leg->reported = 1;
                leg->reported_lost = (int32_t)(lost << 8) >> 8; /* 24 bits, signed */
            }
        }
        packet += size;
        length -= size;
    }
}

struct leg *leg_of_source(uint32_t source)
{
    uint32_t index = source - SOURCE;
    return index < 2 * CALLS ? leg_at(index / 2, (int)(index % 2)) : NULL;
}
