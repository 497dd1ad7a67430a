"""What the machine offers: capabilities, kernel, module, mounts; files are read, nothing tried."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from aod.doctor.finding import Finding, Severity, judged
from aod.host import mounts as mount_table
from aod.host.capabilities import PROBES, PROC_STATUS
from aod.host.mounts import Mount, cifs_mounts
from aod.smb import module
from aod.smb.module import Module
from aod.tracer import needs
from aod.tracer.btf import shipped_btf
from aod.tracer.ladder import MODULE_BTF
from aod.tracer.libbpf import libbpf_version

LOCKDOWN = Path("/sys/kernel/security/lockdown")
KPROBES_SWITCH = Path("/sys/kernel/debug/kprobes/enabled")
MODULES = Path("/lib/modules")
FOLDER_LISTS = ("modules.dep", "modules.builtin")
"""Of depmod and of the kernel's build: each names the files of modules, one a line."""
SMB1 = "1.0"


def examine() -> Iterator[Finding]:
    """Yield what there is to say of the machine."""
    release, found = os.uname().release, module.current()
    yield rights()
    yield Finding(Severity.OK, "kernel", f"Linux {release}, libbpf {libbpf_version()}")
    yield types(release, found)
    yield lockdown(_read(LOCKDOWN))
    yield kprobes(needs.missing_kprobes(), _read(KPROBES_SWITCH))
    yield cifs(found, release)
    yield from mounts(mount_table.read())


def rights(proc_status: Path = PROC_STATUS) -> Finding:
    """Judge what this process may do."""
    allowed = f"user {os.geteuid()} with {', '.join(each.constant for each in PROBES)}"
    return judged("rights", needs.missing_capabilities(proc_status), allowed)


def types(
    release: str, found: Module | None, btf: Path = needs.BTF, module_btf: Path = MODULE_BTF
) -> Finding:
    """Judge where the layouts of the kernel's structs are to be had."""
    if lacking := needs.missing_types(btf):
        return Finding(Severity.PROBLEM, "types", lacking)
    if module_btf.exists():
        return Finding(Severity.OK, "types", "BTF of the kernel and of the module cifs")
    if shipped := shipped_btf(release):
        return Finding(
            Severity.OK, "types", f"BTF of the kernel, and of cifs as shipped: {shipped}"
        )
    if not found:
        return Finding(
            Severity.OK, "types", "BTF of the kernel; that of cifs comes with the module"
        )
    if found.users is None:
        return Finding(Severity.OK, "types", "BTF of the kernel, in which cifs is built in")
    return Finding(
        Severity.WARNING,
        "types",
        f"BTF of the kernel, but not of cifs: {module_btf} is missing (less is seen; take a "
        "kernel with CONFIG_DEBUG_INFO_BTF_MODULES=y)",
    )


def lockdown(text: str) -> Finding:
    """Judge the mode in brackets; enum lockdown_reason (security.h) says what each forbids."""
    mode = text.partition("[")[2].partition("]")[0]
    if mode == "confidentiality":
        return Finding(
            Severity.PROBLEM,
            "lockdown",
            "confidentiality: forbids kprobes, and BPF programs to read the kernel's memory "
            "(boot with lockdown=integrity or none)",
        )
    return Finding(
        Severity.OK, "lockdown", f"{mode or 'not in this kernel'}: forbids nothing of aod's"
    )


def kprobes(lacking: str, switch: str) -> Finding:
    """Judge whether there are kprobes, and that they are not switched off for all."""
    if not lacking and switch.strip() == "0":
        lacking = f"kprobes are switched off (echo 1 > {KPROBES_SWITCH})"
    return judged("kprobes", lacking, "to be had")


def cifs(found: Module | None, release: str, modules: Path = MODULES) -> Finding:
    """Judge whether the SMB client is there, or could be; nothing is loaded."""
    if found and found.users is None:
        return Finding(Severity.OK, "cifs", "built into the kernel")
    if found:
        return Finding(Severity.OK, "cifs", f"loaded, used {found.users} times")
    if file := _module_file(modules / release):
        advice = f"is not loaded: modprobe cifs, or mount a share ({file} is there)"
    else:
        advice = (
            f"is not loaded, and {modules / release} has none (install the modules of this "
            f"kernel, on Ubuntu linux-modules-extra-{release})"
        )
    return Finding(Severity.PROBLEM, "cifs", advice)


def mounts(table: Iterable[Mount]) -> Iterator[Finding]:
    """Yield each SMB mount with its dialect; a mount point is never touched."""
    found = cifs_mounts(table)
    if not found:
        yield Finding(
            Severity.NOTE, "mount", "no SMB share is mounted: there is nothing to see yet"
        )
    for mount in found:
        yield _mount(mount)


def _mount(mount: Mount) -> Finding:
    place = f"{mount.mount_point}: {mount.source}"
    if mount.dialect == SMB1:
        text = f"{place} speaks SMB1 and is not seen (mount it with vers=2.1 or later)"
        return Finding(Severity.WARNING, "mount", text)
    return Finding(Severity.OK, "mount", f"{place}, SMB {mount.dialect or 'of unknown dialect'}")


def _module_file(folder: Path) -> str:
    """Return where the module lies below its folder, or ""; compressed ones end in .ko.xz."""
    lines = (line for name in FOLDER_LISTS for line in _read(folder / name).splitlines())
    files = (line.partition(":")[0] for line in lines)
    return next((file for file in files if "/cifs.ko" in file), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # not there, or not for this user
        return ""
