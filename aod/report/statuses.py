"""What a status usually means."""

from collections.abc import Mapping

SESSION = "the session expired at the server: Kerberos tickets and the logins after it"

_CREDENTIALS = "the server refuses the login: a changed password, storage key or Kerberos ticket"
_GONE = "the share is not there any more: deleted, renamed or taken offline at the server"
_FULL = "the server has no room left: free space and quotas of the share"
_HELD = "another client or process holds the file: open files and locks at the server"
_SHORT = "the server is short of resources or throttles: its limits and load at that time"
_STORAGE = "the storage behind the server failed: the server's own logs"
_STALE = "handles from before a reconnect are used: applications must open their files again"
_MISSING = "the application asks for files that are not there: its paths, or who removed them"
_DENIED = "permissions at the server (share and file) of the user that the share is mounted as"
_READ_ONLY = "the share or its storage is read-only at the server"

MEANINGS: Mapping[str, tuple[str, str]] = {
    "STATUS_ACCESS_DENIED": (_DENIED, "mounts"),
    "STATUS_NETWORK_ACCESS_DENIED": (_DENIED, "mounts"),
    "STATUS_LOGON_FAILURE": (_CREDENTIALS, "dmesg"),
    "STATUS_WRONG_PASSWORD": (_CREDENTIALS, "dmesg"),
    "STATUS_PASSWORD_EXPIRED": (_CREDENTIALS, "dmesg"),
    "STATUS_ACCOUNT_DISABLED": (_CREDENTIALS, "dmesg"),
    "STATUS_ACCOUNT_LOCKED_OUT": (_CREDENTIALS, "dmesg"),
    "STATUS_NETWORK_SESSION_EXPIRED": (SESSION, "journalctl"),
    "STATUS_USER_SESSION_DELETED": (SESSION, "journalctl"),
    "STATUS_NETWORK_NAME_DELETED": (_GONE, "mounts"),
    "STATUS_BAD_NETWORK_NAME": (_GONE, "mounts"),
    "STATUS_DISK_FULL": (_FULL, "smbinfo"),
    "STATUS_QUOTA_EXCEEDED": (_FULL, "smbinfo"),
    "STATUS_SHARING_VIOLATION": (_HELD, "open_files"),
    "STATUS_LOCK_NOT_GRANTED": (_HELD, "open_files"),
    "STATUS_FILE_LOCK_CONFLICT": (_HELD, "open_files"),
    "STATUS_DELETE_PENDING": (_HELD, "open_files"),
    "STATUS_INSUFFICIENT_RESOURCES": (_SHORT, "debugdata"),
    "STATUS_INSUFF_SERVER_RESOURCES": (_SHORT, "debugdata"),
    "STATUS_REQUEST_NOT_ACCEPTED": (_SHORT, "debugdata"),
    "STATUS_IO_TIMEOUT": (_STORAGE, "stats"),
    "STATUS_IO_DEVICE_ERROR": (_STORAGE, "stats"),
    "STATUS_FILE_CLOSED": (_STALE, "dmesg"),
    "STATUS_INVALID_HANDLE": (_STALE, "dmesg"),
    "STATUS_OBJECT_NAME_NOT_FOUND": (_MISSING, "open_files"),
    "STATUS_OBJECT_PATH_NOT_FOUND": (_MISSING, "open_files"),
    "STATUS_MEDIA_WRITE_PROTECTED": (_READ_ONLY, "mounts"),
}
"""What a status usually means, and the action whose file shows more."""
