/* SIP over UDP (RFC 3261), the side that is called: answers every INVITE at once, and hangs up.
 *
 * The called number tells the leg: its last nine digits are 1 or 2 for leg 1 or 2, and the number of the call.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "peer.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define T1_NS (SECOND_NS / 2)
#define T2_NS (4 * SECOND_NS)
#define PATIENCE_NS (64 * T1_NS)
#define DIGITS 9

static int sip_socket, sip_port;

/* The headers of a request that its responses repeat. */
struct request {
    const char *message;
    char via[512], from[256], to[256], call_id[128], cseq[64];
};

void sip_start(int descriptor, int port)
{
    sip_socket = descriptor;
    sip_port = port;
}

static int header(const char *message, const char *name, char *value, size_t size)
{
    char start[32];
    size_t length = (size_t)snprintf(start, sizeof start, "\r\n%s:", name);
    const char *found = strcasestr(message, start);
    value[0] = 0;
    if (!found)
        return 0;
    found += length;
    found += strspn(found, " \t");
    length = strcspn(found, "\r\n");
    if (length >= size)
        return 0;
    memcpy(value, found, length);
    value[length] = 0;
    return 1;
}

/* Find the leg that a request's URI names: `METHOD sip:+4930100000007@...`. */
static struct leg *leg_of_uri(const char *message, unsigned *call)
{
    const char *user = strstr(message, " sip:");
    size_t length;
    if (!user)
        return NULL;
    user += strlen(" sip:");
    user += *user == '+';
    length = strspn(user, "0123456789");
    if (length < DIGITS)
        return NULL;
    user += length - DIGITS;
    if (*user != '1' && *user != '2')
        return NULL;
    *call = (unsigned)strtoul(user + 1, NULL, 10);
    return leg_at(*call, *user - '1');
}

static void send_message(const char *message, int length, const struct sockaddr_in *to)
{
    sendto(sip_socket, message, (size_t)length, 0, (const struct sockaddr *)to, sizeof *to);
}

__attribute__((format(printf, 3, 4))) static int text(char *into, size_t size, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(into, size, format, values);
    va_end(values);
    return length < (int)size ? length : (int)size - 1;
}

static void respond(const struct request *request, const char *status, const char *to, const struct sockaddr_in *server)
{
    char message[2048];
    int length = text(message, sizeof message,
                      "SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
                      "Content-Length: 0\r\n\r\n",
                      status, request->via, request->from, to, request->call_id, request->cseq);
    send_message(message, length, server);
}

static void repeat_until_confirmed(struct leg *leg, uint64_t now)
{
    leg->interval = T1_NS;
    leg->again_at = now + T1_NS;
    leg->give_up_at = now + PATIENCE_NS;
}

static void answer(struct leg *leg, const struct request *request)
{
    char sdp[256];
    int size = text(sdp, sizeof sdp,
                    "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\n"
                    "a=rtpmap:0 PCMU/8000\r\na=rtcp:%d\r\na=ptime:20\r\n",
                    own_address, own_address, media_port(leg), rtcp_port);
    leg->length = text(leg->message, sizeof leg->message,
                       "SIP/2.0 200 OK\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
                       "Contact: <sip:%d%08u@%s:%d>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"
                       "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
                       request->via, request->from, leg->local, leg->call_id, request->cseq, leg->side + 1,
                       leg->call, own_address, sip_port, size, sdp);
    uint64_t now = now_ns();
    send_message(leg->message, leg->length, &leg->server);
    if (leg->state != UP)
        note(now, "answer", leg);
    leg->state = ANSWERED;
    repeat_until_confirmed(leg, now);
}

static void take_invite(struct leg *leg, unsigned call, const struct request *request, const struct sockaddr_in *from,
                        uint64_t at)
{
    char contact[256];
    const char *body = strstr(request->message, "\r\n\r\n");
    unsigned cseq = (unsigned)strtoul(request->cseq, NULL, 10);
    int known = !strcmp(leg->call_id, request->call_id) && leg->state != OVER && leg->state != FREE;
    if (known && cseq == leg->cseq) {
        counters.invites_again++;
        note(at, "invite-again", leg);
        send_message(leg->message, leg->length, from);
        return;
    }
    if (!known) {
        if (leg->state != FREE && leg->state != OVER) {
            counters.refused++;
            /* The leg may be that of another call, whose number is CALLS more or less. */
            note_call(at, "refused", leg->side, call);
            respond(request, "503 Service Unavailable", request->to, from);
            return;
        }
        leg_use(leg);
        leg->call = call;
        strcpy(leg->call_id, request->call_id);
        strcpy(leg->remote, request->from);
        text(leg->local, sizeof leg->local, "%.200s;tag=%d%08u", request->to, leg->side + 1, call);
        counters.invites++;
        note(at, "invite", leg);
        respond(request, "180 Ringing", leg->local, from);
        media_open(leg);
    }
    leg->cseq = cseq;
    leg->server = *from;
    header(request->message, "Contact", contact, sizeof contact);
    sscanf(contact, "%*[^<]<%255[^>]", leg->target);
    sscanf(contact, "<%255[^>]", leg->target);
    if (body)
        media_offer(leg, body + 4);
    answer(leg, request);
}

static void take_ack(struct leg *leg, uint64_t at)
{
    if (leg->state != ANSWERED)
        return;
    leg->state = UP;
    counters.acks++;
    note(at, "ack", leg);
    if (hold_ms >= 0 && leg->side == 1)
        leg->hang_up_at = at + (uint64_t)hold_ms * MILLISECOND_NS;
}

static void take_bye(struct leg *leg, uint64_t at)
{
    if (leg->state == OVER)
        return;
    counters.byes_received++;
    note(at, "bye", leg);
    leg->state = OVER;
}

static void take_response(const char *message, uint64_t at)
{
    unsigned side, call;
    const char *branch = strstr(message, "branch=z9hG4bKbye");
    if (strncmp(message, "SIP/2.0 2", 9) && strncmp(message, "SIP/2.0 4", 9))
        return;
    if (!branch || sscanf(branch, "branch=z9hG4bKbye%1u%8u", &side, &call) != 2 || side < 1 || side > 2)
        return;
    struct leg *leg = leg_at(call, (int)side - 1);
    if (leg->state == LEAVING && leg->call == call) {
        counters.byes_answered++;
        note(at, "bye-answered", leg);
        leg->state = OVER;
    }
}

void sip_receive(char *message, const struct sockaddr_in *from, uint64_t at)
{
    struct request request = {.message = message};
    unsigned call = 0;
    if (!strncmp(message, "SIP/2.0 ", 8)) {
        take_response(message, at);
        return;
    }
    if (!header(message, "Via", request.via, sizeof request.via) ||
        !header(message, "From", request.from, sizeof request.from) ||
        !header(message, "To", request.to, sizeof request.to) ||
        !header(message, "Call-ID", request.call_id, sizeof request.call_id) ||
        !header(message, "CSeq", request.cseq, sizeof request.cseq))
        return; /* not SIP, and nowhere to answer to */
    struct leg *leg = leg_of_uri(message, &call);
    int known = leg && leg->state != FREE && !strcmp(leg->call_id, request.call_id);
    if (!strncmp(message, "INVITE ", 7) && leg) {
        take_invite(leg, call, &request, from, at);
    } else if (!strncmp(message, "ACK ", 4)) {
        if (known)
            take_ack(leg, at);
    } else if (!strncmp(message, "OPTIONS ", 8) || known) {
        respond(&request, "200 OK", request.to, from);
        if (!strncmp(message, "BYE ", 4))
            take_bye(leg, at);
    } else if (!strncmp(message, "INVITE ", 7)) {
        respond(&request, "404 Not Found", request.to, from);
    } else {
        respond(&request, "481 Call/Transaction Does Not Exist", request.to, from);
    }
}

void sip_hang_up(struct leg *leg)
{
    leg->length = text(leg->message, sizeof leg->message,
                       "BYE %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;branch=z9hG4bKbye%d%08u\r\nMax-Forwards: 70\r\n"
                       "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
                       leg->target, own_address, sip_port, leg->side + 1, leg->call, leg->local, leg->remote,
                       leg->call_id);
    uint64_t now = now_ns();
    send_message(leg->message, leg->length, &leg->server);
    counters.byes_sent++;
    note(now, "bye-sent", leg);
    leg->state = LEAVING;
    repeat_until_confirmed(leg, now);
}

void sip_tick(struct leg *leg, uint64_t now)
{
    if (leg->state == UP && leg->hang_up_at && now >= leg->hang_up_at) {
        sip_hang_up(leg);
    } else if ((leg->state == ANSWERED || leg->state == LEAVING) && now >= leg->give_up_at) {
        note(now, "given-up", leg);
        leg->state = OVER;
    } else if ((leg->state == ANSWERED || leg->state == LEAVING) && now >= leg->again_at) {
        send_message(leg->message, leg->length, &leg->server);
        if (leg->state == LEAVING)
            counters.byes_again++;
        else
            counters.answers_again++;
        note(now, leg->state == LEAVING ? "bye-again" : "answer-again", leg);
        leg->interval = leg->interval < T2_NS / 2 ? leg->interval * 2 : T2_NS;
        leg->again_at = now + leg->interval;
    }
}
