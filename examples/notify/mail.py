#!/usr/bin/python3 -I
"""Mail aod's notice through the machine's own sendmail; for notify.command."""

import argparse
import json
import subprocess
import sys
from email.message import EmailMessage

TIMEOUT_S = 8
"""Less than the 10 s that aod gives."""


def main() -> None:
    """Read the notice from stdin and hand a mail to sendmail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", action="append", required=True, help="address; may be repeated")
    parser.add_argument("--from", dest="sender", default="root", help="address of the sender")
    parser.add_argument("--sendmail", default="/usr/sbin/sendmail", help="path of sendmail")
    options = parser.parse_args()
    mail = mail_of(json.load(sys.stdin), options.sender, options.to)
    command = [options.sendmail, "-i", "-f", options.sender, "--", *options.to]
    try:
        subprocess.run(command, input=bytes(mail), timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"mail not sent: {error}")


def mail_of(notice: dict[str, str], sender: str, to: list[str]) -> EmailMessage:
    """Return the mail: a name from outside cannot add a header."""
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Subject"] = " ".join(f"aod on {notice['host']}: {notice['sentence']}".split())[:200]
    kept = notice["bundle"] or "nothing"
    reason = f" ({notice['reason']})" if notice["reason"] else ""
    mail.set_content(
        f"{notice['sentence']}\n\nThe bundle was {notice['outcome']}{reason}: {kept}\n\n"
        f"{json.dumps(notice, indent=2)}\n"
    )
    return mail


if __name__ == "__main__":
    main()
