"""Tests of aod.redact.secrets."""

import json

import pytest

from aod.redact.secrets import PEM_LINES, REMOVED, Secrets, scrub, scrub_arguments

SECRET = "Tr0ub4dor&3;x"
BLOB = "YIIGhgYJKoZIhvcSAQICAQBuggZ1MIIGcaADAgEFoQMCAQ6iBwMFACAAAACjggV7YYIFdzCCBXOg"
STORAGE_KEY = "f7Qz0Yx2LmN8+pVb3Wc6Rt1Hk9Js4Gd5Ea/uIoPq7XyZ0aBcDeFgHiJkLmNoPqRsTuVwXyZ012345678Aw=="
HEX_BYTES = "4f 3c 91 0a de ad be ef 00 11 22 33 44 55 66 77"
HEX = "5f4dcc3b5aa765d61d8327deb882cf99"

FORMS = [
    (f"mount -o username=bob,password={SECRET},vers=3.0", SECRET),
    (f"//nas/x /mnt cifs rw,pass={SECRET},uid=0 0 0", SECRET),
    (f"options: password2={SECRET},sec=ntlmssp", SECRET),
    (f"passwd: {SECRET}", SECRET),
    (f'{{"password": "{SECRET}", "user": "bob"}}', SECRET),
    (f"{{'client_secret': '{SECRET}'}}", SECRET),
    (rf"{{\"access_token\": \"{SECRET}\"}}", SECRET),
    (f"SMB_PASSWORD='{SECRET} with blanks' mount.cifs", "with blanks"),
    (f"export AZURE_STORAGE_KEY={STORAGE_KEY}", STORAGE_KEY),
    (f"AccountName=bank;AccountKey={STORAGE_KEY};EndpointSuffix=core", STORAGE_KEY),
    (f"the key is {STORAGE_KEY}", STORAGE_KEY),
    (
        "GET /share?sv=2022-11-02&sig=Qk1%2BzP0vWm3xYtR8sLq%3D&se=2027 HTTP/1.1",
        "Qk1%2BzP0vWm3xYtR8",
    ),
    ("SharedAccessSignature=sv=2022&sig=AbCdEfGhIjKlMnOpQrSt0123", "AbCdEfGhIjKlMnOpQrSt"),
    ("Authorization: Basic Ym9iOmdlaGVpbQ==", "Ym9iOmdlaGVpbQ=="),
    ("authorization: Digest username=bob, response=6629fae49393a053", "6629fae49393a053"),
    ("curl -H 'Authorization: Bearer abc.def-ghi_jklmnop' x", "abc.def-ghi_jklmnop"),
    (f"HTTP 401, sent Negotiate {BLOB}", BLOB),
    ("Set-Cookie: sid=0123456789abcdef; Path=/", "0123456789abcdef"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.SflKxwRJSMeKKF2QT4fw", "SflKxwRJSMeKKF2QT4fw"),
    ("x-api-key: 8d7f6e5c4b3a2910", "8d7f6e5c4b3a2910"),
    (f"smbclient //nas/x -U bob%{SECRET}", SECRET),
    ("curl -u bob:geheim99 https://nas", "geheim99"),
    ("mount smb://bob:geheim99@nas/x failed", "geheim99"),
    ("sshpass -p geheim99 ssh nas", "geheim99"),
    ("azcopy --token geheim99 copy", "geheim99"),
    (f"CIFS: VFS: Session Key   {HEX_BYTES}", HEX_BYTES),
    (f"CIFS: VFS: ServerIn Key  {HEX_BYTES}", HEX_BYTES),
    (f"CIFS: VFS: ServerOut Key {HEX_BYTES}", HEX_BYTES),
    (f"Server Decryption Key: {HEX_BYTES.replace(' ', '')}", HEX_BYTES.replace(" ", "")),
    ("1 host/nas@CORP (aes256-cts-hmac-sha1-96) (0x" + HEX * 2 + ")", HEX),
    (f"bob:1000:{HEX}:{HEX}:[U]:", HEX),
    ("bob:$6$rounds=5000$saltsalt$Hk9Js4Gd5EauIoPq7XyZ:19000:0", "Hk9Js4Gd5EauIoPq7XyZ"),
    ("$y$j9T$abcdefghijkl$mnopqrstuvwxyz0123", "mnopqrstuvwxyz0123"),
    ("NTLM TlRMTVNTUAADAAAAGAAYAHYAAAAYABgA", "TlRMTVNTUAADAAAAGAAYAHYAAAAYABgA"),
    (f"00000010: {HEX_BYTES}  O<......3DUfw", HEX_BYTES[:11]),
    (f"spnego blob {BLOB}{BLOB}", BLOB),
    ("token ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijklmnop"),
    ("nt_hash=5f4dcc3b5aa765d61d83", "5f4dcc3b5aa765d61d83"),
    ("PWD=geheim99", "geheim99"),
]

NEGATIVES = [
    "Failed password for bob from 10.1.2.3 port 4711 ssh2",
    "pam_unix(passwd:chauthtok): password changed for bob",
    "sudo: bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/ls",
    'type=ANOM_ABEND pid=12 comm="x" sig=11 res=1',
    'type=SYSCALL key=(null) key="watch"',
    "key description: cifs.spnego;0;0;39010000;ver=0x2;host=nas;uid=0x0;creduid=0x0;pid=0x6a3",
    "//nas/x /mnt cifs rw,relatime,vers=3.1.1,credentials=/etc/smb.cred,username=bob,uid=0 0 0",
    "CIFS: VFS: Session Id    11 22 33 44 55 66 77 88",
    "Code: 48 89 e5 41 57 41 56 41 55 41 54 53 48 83 ec 28 65 48 8b 04 25 28 00 00 00",
    "container 3f4dcc3b5aa765d61d8327deb882cf995f4dcc3b5aa765d61d8327deb882cf99 started",
    "SHA-256 aa:bb is the fingerprint, Key fingerprint = 0x12",
    "bypass=1 compass=2 tokens=17 keys=3",
    "/usr/lib/modules/drivers/net/ethernet/intel/aVeryLongNameOfAFolder/andOneMore/e1000",
    "wait_for_response+0x4b1/0xb20 [cifs] 0xffff888103a2c000",
    "20:14:47 CIFS: VFS: \\\\nas01 has not responded in 180 seconds. Reconnecting...",
    "tid: 0x86f11bd8 Lease key 0045e9c0-7563-b94f-ac9b-d5f87915db57 RHW",
    "Number of credits: 639,1,1 Dialect 0x311 Serial Number: 0x3e553c3d",
    "journalctl -u ssh.service --since=-5m",
]


@pytest.mark.parametrize(("text", "secret"), FORMS)
def test_a_secret_is_taken_out(text: str, secret: str) -> None:
    cleaned = scrub(f"before {text} \nafter\n")

    assert secret in text
    assert secret not in cleaned
    assert REMOVED in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith("\nafter\n")


@pytest.mark.parametrize("text", NEGATIVES)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize("text", [text for text, _ in FORMS])
def test_a_clean_text_stays_as_it_is(text: str) -> None:
    cleaned = scrub(text)

    assert scrub(cleaned) == cleaned


def test_json_is_still_json() -> None:
    cleaned = json.loads(scrub('{"password": "x,y z", "n": 1}'))

    assert cleaned == {"password": REMOVED, "n": 1}


def test_a_private_key_is_taken_out_across_blocks() -> None:
    secrets = Secrets()

    blocks = [
        "a: -----BEGIN RSA PRIVATE KEY-----\n a: MIIEowIBAAKC\n",
        "a: Line Two\na: -----END RSA PRIVATE KEY----- b\nc\n",
    ]

    assert "".join(map(secrets.scrub, blocks)) == f"a: {REMOVED} b\nc\n"


def test_a_private_key_without_an_end_hides_no_more_than_the_longest_one() -> None:
    text = "-----BEGIN PRIVATE KEY-----\n" + "x\n" * PEM_LINES + "y\n"

    assert scrub(text) == "x\ny\n"


def test_an_argument_after_the_option_of_a_secret_is_taken_out() -> None:
    arguments = ["/usr/bin/send", "--token", "abc", "--to", "ops", "--password=x y"]

    assert scrub_arguments(arguments) == [
        *("/usr/bin/send", "--token", REMOVED),
        *("--to", "ops", f"--password={REMOVED}"),
    ]
