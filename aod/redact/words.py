"""Words that name nothing of a customer's: they stay where they are, also as names."""

import re

PLAIN = frozenset(
    """
    acct alert authpriv comm crit emerg err fid filename kern lease notice persistent prefixpath
    realm ses syslog tid jan feb mar apr may jun jul aug sep oct nov dec
    a able abort aborted about access account action active actual add added additional address
    after again agent alias all allocated allow allowed also always and another any api app apps
    archive archives area are arg args array as assets async at attach attempt attempting audit
    auth author auto available backup backups bad base bash batch because been before begin
    being between bin binary bit bits block blocked blocks body boot both branch bridge broken
    buffer bug build builds bus busy but by bytes cache call called calls can cannot cap
    capability card case cat cd certificate change changed channel channels chars check checked
    child cifs class clean clear client clients clock close closed cmd code command comment
    commit common compression conf config configuration configured connect connected connecting
    connection connections console content context control copied copy core could count cp cpu
    cpus create created credits cron current daemon daily data database date day days dead debug
    default defaults delay delete deleted denied deny desktop detail detected dev device devices
    diff dir direct directory disabled disk disks dns do docs document documents does domain
    done down download downloads drive driver drop dropped dump duration during each echo edit
    either empty enable enabled encrypted encryption end ended enter entry env error errors etc
    event events every example exe exec exit exited expired export external extra fail failed
    failing failure fallback false fault feature features field fields file files filesystem
    final find finished first flag flags flush folder folders following font fonts for force
    form format found free from fs full function general get git global good got grep group
    groups guest had handle handler hang has have head header help hidden high history hold home
    hook host hostname hosts hour html http https id idle if image images in index info init
    inode input install installed instance int interface interfaces internal interrupted into
    invalid io ip ipc irq is issue it item items its job jobs kept kernel key keys kill killed
    kworker label lan large last latency latest layer lease len level lib lib64 libs limit line
    lines link links linux list listen load loaded local localhost lock locked locks log logged
    login logs long loop lost low ls mac machine mail main major make many map mapping mask
    master match max media member memory message messages meta method min minor minute missing
    mix mkdir mnt mode model module modules monitor month more most mount mounted mounts move ms
    much multi music must mv name named names namespace need negotiate net network new next no
    nobody node none normal not note notice now null number object of off office offset ok old
    on once one only open opened operation operations option options or order org other others
    out output over owner package packages packet page pages parent part partial password path
    paths peer pending per perl permission permissions photos php pictures pid ping pipe point
    policy pool port ports post power present previous primary print printer printers priority
    private problem proc process processes profile profiles program project projects prompt
    protocol proxy public python python3 query queue quick quit quota ran random range rc read
    readable reading ready reason receive received recent reconnect reconnecting record recovery
    ref refused register release released remote remove removed rename reply report reports
    request requests required reset resource resources response restart restarted restore result
    results resume retry return returned rm root router rows rsync run running runs runtime safe
    same save sbin scan scripts search second seconds secret sector security see seen segment
    send sent serial serve server servers service services session sessions set setting settings
    setup sh share shared shares shell short should show shutdown signal signing since single
    size skipped sleep slot slow smb smb2 smb3 so socket some source space speed src srv stack
    stale start started starting starts stat state stats status stop stopped storage store
    stream string stuck sub success such support supported suspend switch sync sys system
    systemd table tag take tar target task tasks tcp team temp template templates term test
    tests text than that the them then there these they this thread threads through time timed
    timeout timer times tmp to token too took tool tools top total trace track transfer tree
    true try trying type udp uid umount unable under unit units unix unknown until up update
    updated updates upload uploads upper uptime usage use used user username users uses using
    usr utf8 valid value values var vendor verify version vfs via video videos view virtual
    volume volumes wait waited waiting warning was watch way web week well were what when where
    which while who will window with within without word work worker workers workgroup working
    world would write writing written www year yes you zero zone latency inflight manual credits
    reconnect debugdata open_files dmesg journalctl syslogs smbinfo journal cgroup freeze jsonl
    modprobe
    """.split()  # noqa: SIM905 - a list of 700 words, one a line, is none that one reads
)
"""Never taken for a name in free text; at its place in a path, a mount or an event it is."""

FOLDERS = frozenset(
    """
    usr lib lib64 lib32 libexec bin sbin proc sys dev etc run var log tmp mnt media srv opt home
    root boot local share spool cache self fs cifs DebugData Stats open_files dfscache mountinfo
    mounts user system IPC$ snap kubelet kubernetes pods volumes kubernetes.io~csi mount
    globalmount plugins aod krb5 samba journal
    """.split()  # noqa: SIM905 - as above
)
"""Parts of a path that stay: the places that every system has."""

SYSTEM_ROOTS = re.compile(
    r"/(?:usr/(?!local/)|lib(?:32|64|x32)?/|s?bin/|proc/|sys/|boot/|dev/(?!mapper/|disk/|shm/|[^/]*/)"
    r"|etc/(?:systemd|cifs-utils|request-key)|run/systemd/|build/|buildd/"
    r"|etc/aod/config\.yaml$|var/log/aod/audit\.jsonl(?:\.1)?$"
    r"|var/log/(?:syslog|messages|kern\.log|journal/?)(?![\w./-]))"
)
"""Paths that stay as they are; names that are known are replaced in them as well."""

EXTENSIONS = frozenset(
    """
    7z accdb avi bak bin bmp bz2 c cfg conf csv dat db dmp doc docm docx dwg eml exe gif gz h
    html ini iso jar java jpeg jpg js json jsonl ko lck ldb lnk lock log m4a mdb mdf mkv mov mp3 mp4
    mpg msg msi odp ods odt old one ost parquet part pdf php png ppt pptx ps1 pst pub py rar rtf
    sh so sql sqlite svg swp sys tar tgz tif tiff tmp txt url vhd vhdx vmdk wav webm wmv xls
    xlsb xlsm xlsx xml xz yaml yml zip zst
    """.split()  # noqa: SIM905 - as above
)
"""Endings that stay: how a program uses a file depends on them."""

PUBLIC_DOMAINS = re.compile(
    r"(?:privatelink\.)?(?:file|blob)\.core\.windows\.net|z\d+\.file\.storage\.azure\.net"
    r"|(?:efs|fsx)\.[a-z]+-[a-z]+-\d\.amazonaws\.com|(?:svc\.)?cluster\.local"
    r"|local|lan|localdomain|internal|home\.arpa"
)
"""What a cloud calls all its customers' servers, and no customer's own."""

PUBLIC_SITES = re.compile(r"//(?:[a-z]+\.){0,2}(?:kernel|debian|freedesktop|samba)\.org(?:/|$)")
"""Where programs send their readers to."""

KERNEL_THREADS = re.compile(
    r"(?:kworker|ksoftirqd|migration|cpuhp|irq|swapper|jbd2|writeback|kswapd\d+|kcompactd\d+"
    r"|cifsd|cifsiod|cifsoplockd|smb3decryptd|cifs-dfscache|kthreadd|khungtaskd|kauditd"
    r"|oom_reaper|rcu_[a-z_]{1,12})(?:/.*)?|aod(?:-doctor)?|modprobe"
)
"""Names of threads and processes that stay."""

PROGRAMS = re.compile(
    r"kernel|systemd(?:-[a-z]+)?|aod|cifs\.(?:upcall|idmap)|mount\.(?:cifs|smb3)|request-key|key\.dns_resolver"
    r"|smbinfo|automount|winbindd|sssd(?:_[a-z]+)?|krb5kdc|nslcd|rpc\.gssd|gssproxy"
    r"|NetworkManager|nm-dispatcher|dhclient|dhcpcd|wpa_supplicant|connmand|dnsmasq|unbound"
    r"|chronyd|ntpd|ntpdate|firewalld|ifup|ifdown|multipathd|iscsid"
)
"""Programs whose lines of a log are kept: the system, SMB, Kerberos, directories, the network."""

UNITS = re.compile(
    r"(?:-|system|user|machine|init|aod|systemd-.*|session-\d+|dev-[a-z]d[a-z]\d*|.*\.target)"
)
"""Units that every system has, and aod's, without their ending."""

CONFIG_KEYS = re.compile(
    r"guardian\.anomalies(?:\.[\w-]+)*|watcher\.actions|tcpdump\.snaplen"
    r"|metrics\.(?:listen|textfile)|notify\.command"
)
"""Keys of aod's config that look like a host in its domain."""

USERS = frozenset(
    """
    root daemon bin sys nobody nogroup systemd-network systemd-resolve systemd-timesync
    messagebus sshd www-data mail man adm wheel users staff video audio
    """.split()  # noqa: SIM905 - as above
)
"""Users that every system has."""
