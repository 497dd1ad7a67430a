"""Fifty names and twenty secrets, and the files of an incident in which each of them stands."""

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from aod.actions.action import Context, Result, Skip
from aod.actions.output import Output
from aod.events import Events
from aod.smb import Command
from tests import events
from tests.conftest import Collect

SERVERS = (
    *("fin01", "NAS-ZURICH", "files07", "dc-geneva", "srv_ledger"),
    *("vault9", "hrstore", "backup-lugano", "azbankstore", "kestrel"),
)
SHARES = (
    *("payroll$", "Group Data", "Board Minutes", "hr-2026", "Löhne"),
    *("ledger_archive", "M&A", "treasury", "swift-in", "k2x"),
)
USERS = (
    *("alice.meier", "bob.huber", "svc-payroll", "o'neill", "jean-luc"),
    *("zoé", "admin.k", "t.rossi", "mwanza", "dkeller"),
)
PROCESSES = (
    *("payrollcalculator", "Web Content", "ledgerd", "swift-gateway", "report_builder"),
    *("risk.engine", "hr-sync", "trade:feed", "matchmaker", "(sd-payd)"),
)
FILES = (
    *(
        "Merger Plan.docx",
        "Q3 Layoffs.xlsx",
        "Gehälter 2026.csv",
        "client#4711.pdf",
        "~$bonus.xlsx",
    ),
    *(
        "blackbook.pst",
        "project-falcon",
        "acme deal (final).pptx",
        "o'connor.txt",
        "überweisung.log",
    ),
)
DOMAIN = "bank.example"
NAMES = {
    "server": SERVERS,
    "share": SHARES,
    "user": USERS,
    "process": PROCESSES,
    "file": FILES,
}

_BYTES = "4f 3c 91 0a de ad be ef 00 11 22 33 44 55 66"
SECRETS = (
    *("Hunter2-mount", "Hunter2-pass2", "Hunter2,comma", "Hunter2-json", "Hunter2-cli"),
    *("Hunter2-url", "Hunter2-smbclient", "YWxpY2U6SHVudGVyMg==", "bearer.Hunter2-abcdefgh"),
    "YIIGhgYJKoZIhvcSAQICAQBuggZ1MIIGcaADAgEFoQMCAQ6iBwMFACAAAACjggV7YYIFdzCCBXOg",
    "f7Qz0Yx2LmN8+pVb3Wc6Rt1Hk9Js4Gd5Ea/uIoPq7XyZ0aBcDeFgHiJkLmNoPqRsTuVwXyZ012345678Aw==",
    "Qk1%2BzP0vWm3xYtR8sLqHunter2%3D",
    *(f"{_BYTES} {number}" for number in ("a0", "a1", "a2", "a3")),
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJIdW50ZXIyIn0.SflKxwRJSMeKKF2QT4fw",
    "MIIEowIBAAKCAQEAHunter2InAPemFile",
    "6fb5a5d2c3e4f10918273645aabbccdd",
    "$6$Hunter2salt$Hk9Js4Gd5EauIoPq7XyZ",
)

STAMP = "2026-11-27T20:14:47.123456+00:00"
CLASSIC = "Nov 27 20:14:47"
DMESG = "2026-11-27T20:14:47,123456+00:00"


def octal(name: str) -> str:
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in name)


def upcall(host: str, user: str) -> str:
    ids = "uid=0x3e9;creduid=0x3e9"
    return f"ver=0x2;host={host};ip4=10.44.7.2;sec=krb5;{ids};user={user};pid=0x6a3"


def debugdata() -> str:
    lines = ["Display Internal CIFS Data Structures for Debugging", "Servers: "]
    for number, (server, share) in enumerate(zip(SERVERS, SHARES, strict=True), 1):
        lines += [
            f"{number}) ConnectionId: 0x{number:x} Hostname: {server}.{DOMAIN} ",
            "ClientGUID: C1C497DE-B5FA-0C40-A6A0-2FBDE98E66E2",
            "TCP status: 1 Instance: 1",
            "\tSessions: ",
            f"\t1) Address: 10.44.7.{number} Uses: 2 Capability: 0x30004f\tSession Status: 1 ",
            "\tSecurity type: RawNTLMSSP  SessionId: 0xf716caa3",
            f"\tUser: {1000 + number} Cred User: {1000 + number}",
            f"\tWorkstation name: {server}",
            "\tShares: ",
            f"\t0) IPC: \\\\{server}.{DOMAIN}\\IPC$ Mounts: 1 DevInfo: 0x0 Attributes: 0x0",
            f"\t1) \\\\{server}.{DOMAIN}\\{share} Mounts: 1 DevInfo: 0x20 Attributes: 0x1006f",
            "\ttid: 0x50fabcf9\tMaximal Access: 0x1f01ff",
        ]
    return "\n".join([*lines, ""])


def stats() -> str:
    lines = ["Resources in use", "CIFS Session: 1"]
    for number, (server, share) in enumerate(zip(SERVERS, SHARES, strict=True), 1):
        lines += [f"{number}) \\\\{server}.{DOMAIN}\\{share}", "SMBs: 9", "Reads: 3 total 0 failed"]
    return "\n".join([*lines, ""])


def open_files() -> str:
    header = "# <tree id> <ses id> <persistent fid> <flags> <count> <pid> <uid> <filename>"
    rows = [f"0x5 0xf716caa3 0x{i:x} 0x8000 1 268 1001 {file}" for i, file in enumerate(FILES)]
    return "\n".join(
        [
            "# Version:1",
            "# Format:",
            header,
            *rows,
            "0x5 0xf7 0x9 0x8000 1 2 0 Merger",
            "Plan.docx",
            "",
        ]
    )


def mounts() -> str:
    lines = ["# /proc/self/mounts"]
    for server, share, user in zip(SERVERS, SHARES, USERS, strict=True):
        at = octal(share)
        options = f"rw,vers=3.1.1,username={user},domain=BANKCORP,uid=1003,addr=10.44.7.1"
        lines.append(f"//{server}.{DOMAIN}/{at} /mnt/{at} cifs {options},pass={SECRETS[0]} 0 0")
        lines.append(f"36 35 0:52 / /mnt/{at} rw shared:1 - cifs //{server}/{at} {options}")
    return "\n".join([*lines, ""])


def dmesg() -> str:
    server, share, user = SERVERS[0].upper(), SHARES[1], USERS[0]
    kernel = [
        "Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org) (gcc-12 12.2.0)",
        f"CIFS: VFS: \\\\{server}.{DOMAIN.upper()} has not responded in 180 seconds. "
        "Reconnecting...",
        *(
            f"CIFS: VFS: BAD_NETWORK_NAME: \\\\{each}\\{s}"
            for each, s in zip(SERVERS, SHARES, strict=True)
        ),
        *(
            f"CPU: 0 PID: 4711 Comm: {name[:15]} Not tainted 6.1.0-56-amd64 #1"
            for name in PROCESSES
        ),
        *(
            f"INFO: task {name[:15]}:4711 blocked for more than 120 seconds."
            for name in PROCESSES
            if ":" not in name
        ),
        *(
            f"Out of memory: Killed process 4711 ({name[:15]}) total-vm:1kB"
            for name in PROCESSES
            if "(" not in name
        ),
        f'audit: type=1400 apparmor="DENIED" name="/mnt/{share}/{FILES[0]}" '
        f'comm="{PROCESSES[2]}" fsuid=1001',
        f"fs/smb/client/cifs_spnego.c: key description = {upcall(SERVERS[1], user)}",
        f"CIFS: Attempting to mount //{SERVERS[2]}/{octal(share)}/{octal(FILES[1])}",
        f"CIFS: VFS: cifs_mount \\\\{SERVERS[3]}\\{share}\\{FILES[1]} failed with -13",
        *(
            f"CIFS: VFS: {label} {value}"
            for label, value in zip(
                ("Session Key  ", "Signing Key  ", "ServerIn Key ", "ServerOut Key"),
                SECRETS[12:16],
                strict=True,
            )
        ),
        " wait_for_response+0x4b1/0xb20 [cifs]",
        "usb 1-1: Product: Phone of mwanza",
    ]
    users = [
        f"user  :info  : {DMESG} {PROCESSES[3]}[12]: batch of {USERS[3]} done",
        f"daemon:info  : {DMESG} systemd[1]: Mounted mnt-Group\\x20Data.mount - /mnt/Group Data.",
    ]
    return "\n".join([*(f"kern  :info  : {DMESG} {line}" for line in kernel), *users, ""])


def journal(head: str, host: str) -> str:
    lines = [
        "cifs.upcall[1700]: key description: cifs.spnego;0;0;39010000;"
        + upcall(f"{SERVERS[4]}.{DOMAIN}", USERS[2]),
        *(
            "cifs.upcall[1700]: handle_krb5_mech: getting service ticket for "
            f"cifs/{each}.{DOMAIN}@{DOMAIN.upper()}"
            for each in SERVERS
        ),
        *(
            f"winbindd[33]: authentication for user [BANKCORP\\{each}] as {each}@{DOMAIN} FAILED"
            for each in USERS
        ),
        *(f"{each}[4711]: working on {FILES[7]} for {USERS[9]}" for each in PROCESSES),
        "   and a second line about Merger Plan.docx",
        "systemd[1]: Started ledgerd.service - Ledger of treasury.",
        "systemd[1]: swift-gateway.service: Main process exited, code=exited, status=1/FAILURE",
        f"systemd[1]: mnt-Group\\x20Data.mount: Mount process exited, code=exited, {SERVERS[0]}",
        f"systemd[1]: New session 4 of user {USERS[8]}.",
        f"systemd-logind[1]: New session 5 of user {USERS[4]}.",
        *(f"kernel: CIFS: VFS: \\\\{each} Send error in SessSetup = -13" for each in SERVERS),
        f"mount.cifs[9]: mount -t cifs //{SERVERS[5]}/{SHARES[7]} "
        f"-o username={USERS[1]},password={SECRETS[1]}",
        f'mount.cifs[9]: options {{"password": "{SECRETS[2]}", "secret": "{SECRETS[3]}"}}',
        f"mount.cifs[9]: helper --password {SECRETS[4]} "
        f"smb://bob.huber:{SECRETS[5]}@{SERVERS[6]}/{quote(SHARES[1])}/{quote(FILES[2])}",
        f"aod[9]: smbclient -U {USERS[1]}%{SECRETS[6]} //{SERVERS[7]}/x",
        f"sssd[9]: Authorization: Basic {SECRETS[7]}",
        f"sssd[9]: Authorization: Bearer {SECRETS[8]}",
        f"sssd[9]: sent Negotiate {SECRETS[9]}",
        f"sssd[9]: AccountKey={SECRETS[10]};x",
        f"NetworkManager[9]: GET https://{SERVERS[8]}.file.core.windows.net/{SHARES[7]}"
        f"?sv=2022&sig={SECRETS[11]}&se=1",
        f"sssd[9]: token {SECRETS[16]}",
        "sssd[9]: -----BEGIN PRIVATE KEY-----",
        f"sssd[9]: {SECRETS[17]}",
        "sssd[9]: -----END PRIVATE KEY-----",
        f"winbindd[9]: nt_hash={SECRETS[18]}",
        f"sssd[9]: shadow {SECRETS[19]}",
    ]
    return "\n".join([*(line if line[0] == " " else f"{head} {host} {line}" for line in lines), ""])


def smbinfo() -> str:
    lines = []
    for server, share in zip(SERVERS, SHARES, strict=True):
        lines += [
            f"# smbinfo fileallinfo /mnt/{share} (//{server}/{share})",
            "Creation Time: Sat Nov 22",
        ]
    return "\n".join([*lines, ""])


def tool() -> str:
    """Return what an action of somebody else might print: everything, in all ways."""
    everything = [name for names in NAMES.values() for name in names]
    plain = [f"we saw {name.lower()}, and {name.upper()}." for name in everything]
    as_json = [json.dumps({"comm": name, "note": f"about {name}"}) for name in PROCESSES]
    as_json += [
        json.dumps({"file": f"/mnt/x/{name}", "note": f"about {name} there"}) for name in FILES
    ]
    as_url = [
        f"https://{SERVERS[9]}/{quote(share)}/{quote(file)}"
        for share, file in zip(SHARES, FILES, strict=True)
    ]
    as_path = [
        f"/home/{user}/{file}: Permission denied" for user, file in zip(USERS, FILES, strict=True)
    ]
    return "\n".join([*plain, *as_json, *as_url, *as_path, ""])


TEXTS = {
    "debugdata": debugdata,
    "stats": stats,
    "open_files": open_files,
    "mounts": mounts,
    "dmesg": dmesg,
    "journalctl": lambda: journal(STAMP, "plexhost"),
    "syslogs": lambda: journal(CLASSIC, "plexhost"),
    "smbinfo": smbinfo,
    "tool": tool,
}
ACTIONS = (*TEXTS, "tcpdump", "blob", "refused")


def operations() -> Events:
    """Return ten operations, the ids of each its place from 1 on."""
    made = events.make(*range(10), latency_ns=300_000_000, command=Command.SMB2_READ)
    for name in ("connection_id", "session_id", "tree_id", "file_id", "cgroup_id"):
        made[name] = range(1, 11)
    for index, process in enumerate(PROCESSES):
        made["comm"][index] = process.encode()[:15]
        made["uid"][index] = 1001 + index
    return made


class Names:
    """What the ids of the operations are called."""

    def has_unknown(self, events: Events) -> bool:
        return False

    def look_up(self, events: Events) -> None:
        """Do nothing: all is known."""

    def shares(self, events: Events) -> Sequence[str]:
        """Return none: no log is looked at."""
        return ()

    def server(self, connection_id: int, session_id: int) -> str:
        """Return a name with its domain for every other one."""
        name = SERVERS[connection_id - 1]
        return name if connection_id % 2 else f"{name}.{DOMAIN}"

    def channel(self, connection_id: int) -> str:
        """Return that of a session with one connection."""
        return "primary"

    def share(self, session_id: int, tree_id: int, connection_id: int) -> str:
        """Return the share of a tree."""
        return SHARES[tree_id - 1]

    def file(self, session_id: int, tree_id: int, file_id: int) -> str:
        """Return the name of a file."""
        return FILES[file_id - 1]

    def unit(self, cgroup_id: int) -> str:
        """Return a unit for every other one, else a pod."""
        return "ledgerd.service" if cgroup_id % 2 else "pod 0b1c2d3e-aaaa-bbbb-cccc-0123456789ab"


def scripts() -> dict[str, Collect]:
    """Return what each action does."""

    def writes(data: bytes, stderr: str = "") -> Collect:
        async def collect(context: Context, output: Output) -> Result:
            await output.write(data)
            return Result(stderr=stderr)

        return collect

    async def refused(context: Context, output: Output) -> Result:
        raise Skip(
            f"//{SERVERS[0]}/{SHARES[1]}: held back for {USERS[3]}, {FILES[3]}, "
            f"password={SECRETS[0]}"
        )

    complaint = f"cannot open /mnt/{SHARES[2]}/{FILES[4]}: {USERS[5]}"
    found: dict[str, Collect] = {
        name: writes(text().encode(), complaint) for name, text in TEXTS.items()
    }
    packets = b"\xd4\xc3\xb2\xa1\0\0" + "".join(SERVERS).encode()
    return found | {"tcpdump": writes(packets), "blob": writes(packets), "refused": refused}


def fake_root(path: Path) -> Path:
    """Make /etc/passwd and the mounts of the machine below a folder."""
    users = [f"{user}:x:{1001 + i}:1000::/home/{user}:/bin/sh" for i, user in enumerate(USERS)]
    texts = {
        "etc/passwd": "\n".join(["root:x:0:0:root:/root:/bin/bash", *users, ""]),
        "proc/self/mountinfo": "\n".join(
            f"36 35 0:{i} / /mnt/{octal(share)} rw shared:1 - "
            f"cifs //{server}.{DOMAIN}/{octal(share)} rw"
            for i, (server, share) in enumerate(zip(SERVERS, SHARES, strict=True))
        ),
        "proc/fs/cifs/DebugData": debugdata(),
        "proc/fs/cifs/open_files": open_files(),
    }
    for name, text in texts.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return path
