"""An SMTP server (aiosmtpd) that tells on its standard output, a JSON object a line, what comes to it.

Mails are taken apart by Python's email package, calendars by icalendar: neither knows of the bridge.
"""

import argparse
import asyncio
import json
import ssl
from email import message_from_bytes, policy

import icalendar
from aiosmtpd.smtp import SMTP, AuthResult


def say(**what):
    print(json.dumps(what), flush=True)


def calendar(part):
    parsed = icalendar.Calendar.from_ical(part.get_payload(decode=True))
    (event,) = [one for one in parsed.walk() if one.name == "VEVENT"]
    text = {name: str(event[name]) for name in ("SUMMARY", "DESCRIPTION", "LOCATION", "UID", "ORGANIZER", "ATTENDEE")}
    times = {name: event[name].dt.isoformat() for name in ("DTSTART", "DTEND", "DTSTAMP")}
    return {"METHOD": str(parsed["METHOD"]), **text, **times}


def told(part):
    kind = part.get_content_type()
    what = {"type": kind, "file": part.get_filename(), "parameters": dict(part["content-type"].params)}
    if kind in ("text/calendar", "application/ics"):
        return {**what, "event": calendar(part)}
    return {**what, "text": part.get_content()}


class Handler:
    def __init__(self, options):
        self.options = options

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in self.options.refuse:
            say(event="refused", to=address)
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.options.defer:
            say(event="deferred", to=envelope.rcpt_tos)
            return "451 4.7.1 greylisted, come again"
        mail = message_from_bytes(envelope.content, policy=policy.default)
        parts = [told(part) for part in mail.walk() if not part.is_multipart()]
        headers = [[name, str(value)] for name, value in mail.items()]
        say(
            event="mail",
            tls=session.ssl is not None,
            user=session.auth_data and session.auth_data.login.decode(),
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            headers=headers,
            parts=parts,
            faults=[str(fault) for part in mail.walk() for fault in part.defects],
        )
        return "250 taken"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--no-starttls", action="store_true")
    parser.add_argument("--user", help="USER:PASSWORD that is asked for")
    parser.add_argument("--defer", action="store_true", help="take nothing yet")
    parser.add_argument("--refuse", action="append", default=[], help="an address that there is not")
    options = parser.parse_args()

    def authenticate(server, session, envelope, mechanism, data):
        shown = f"{data.login.decode()}:{data.password.decode()}"
        is_good = shown == options.user
        say(event="login", good=is_good, tls=session.ssl is not None, mechanism=mechanism)
        return AuthResult(success=is_good, handled=is_good, auth_data=data)

    secure = {}
    if options.certificate and not options.no_starttls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        secure = {"tls_context": context, "require_starttls": True}
    if options.user:
        secure |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": bool(secure)}

    async def serve():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(Handler(options), **secure), "127.0.0.1", options.port)
        say(event="ready")
        await server.serve_forever()

    asyncio.run(serve())


main()
